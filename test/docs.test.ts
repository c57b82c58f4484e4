/** The samples of README.md and docs do what they say: they are run, and print what stands below them. */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { format, promisify } from "node:util";
import { afterAll, describe, expect, test, vi } from "vitest";
import { isCudaOffered } from "./backends/cuda/cuda.ts";
import { isOffered, openGpu } from "./backends/webgpu/gpu.ts";
import { END, type Sample, samplesOf } from "./samples.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const DOCUMENTS = ["README.md", ...listGuides()];

/** In the package, where `stepjit` means the package itself. */
const folder = join(root, ".docs");
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function listGuides(): string[] {
  const files = readdirSync(join(root, "docs"));
  return files.filter((file) => file.endsWith(".md")).map((file) => `docs/${file}`);
}

function read(document: string): string {
  return readFileSync(join(root, document), "utf8");
}

/** Writes a sample where others of its document can import it. */
function write(document: string, index: number, { file, code }: Sample): string {
  const path = join(folder, basename(document, ".md"), file ?? `${index}.ts`);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, code);
  return path;
}

/** Runs a program that has compiled nothing yet; what each of its blocks prints. */
async function run(path: string): Promise<string[]> {
  const printed: string[] = [];
  for (const method of ["log", "info", "warn", "error"] as const)
    vi.spyOn(console, method).mockImplementation((...values) => void printed.push(format(...values)));
  try {
    vi.resetModules();
    await import(path);
  } finally {
    vi.restoreAllMocks();
  }
  return printed.join("\n").split(END).map(steady);
}

/** What varies: what the engine and the machine have, times, rates, positions in sources, and where we have put them. */
const VARYING: readonly (readonly [what: RegExp, becomes: string])[] = [
  [/simd128 shared relaxed/g, "simd128 shared"],
  [/(simd128 shared), \d+ threads/g, "$1"],
  [/\d+\.\d+ (ms|GB)/g, "N $1"],
  [/^ +(launch|phase \d.*?) {2}.*$/gm, "$1"],
  [/\.docs\/[^/]+\//g, ""],
  [/ +# \S+:\d+:\d+$/gm, ""],
];

function steady(text: string): string {
  return VARYING.reduce((left, [what, becomes]) => left.replaceAll(what, becomes), text.trim());
}

/** A line `…` stands for any lines. */
function expectPrinted(found: string, expected: string): void {
  const parts = steady(expected)
    .split(/^…$/m)
    .map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  if (!new RegExp(`^${parts.join("[^]*")}$`).test(found)) expect(found).toBe(steady(expected));
}

test("the reasons that the guide lists are printed by its samples, and those of reasons.test.ts", () => {
  const guide = read("docs/why-did-it-recompile.md");
  const printed = samplesOf(guide).samples.flatMap(({ prints }) => prints);
  const reasons = Array.from(
    guide.matchAll(/^\|[^|]+\|[^|]+\| `([^|]+)` \|/gm),
    ([, reason]) => reason as string,
  );
  expect(reasons.length).toBeGreaterThan(8);
  for (const reason of reasons) {
    expect(printed.join("\n")).toContain(reason);
    expect(read("test/reasons.test.ts")).toContain(reason);
  }
});

const documents = DOCUMENTS.map((document) => {
  const { samples, unrun } = samplesOf(read(document));
  return {
    document,
    unrun,
    samples: samples.map((sample, index) => ({ ...sample, path: write(document, index, sample) })),
  };
});

test("the types of all samples fit", async () => {
  const files = documents.flatMap(({ samples }) => samples.map(({ path }) => path));
  const config = join(folder, "tsconfig.json");
  const compilerOptions = { noUncheckedIndexedAccess: false, noUnusedLocals: false };
  writeFileSync(config, JSON.stringify({ extends: "../tsconfig.json", compilerOptions, include: [], files }));
  const tsc = promisify(execFile)(join(root, "node_modules/.bin/tsc"), ["-p", config]);
  const { stdout } = await tsc.catch((error) => error as { stdout: string });
  expect(stdout).toBe("");
});

test.each([
  ["```typescript\nf();\n```", "a block is one of ts"],
  ["```ts\nf();", "has no end"],
  ["```ts\nf();\n```\n# Next\n```text\n1\n```", "a text stands behind the sample"],
  ["```ts\n// f.ts\nf();\n```\n```text\n1\n```", "a text stands behind the sample"],
])("a block that would be left alone is refused: %j", (markdown, message) => {
  expect(() => samplesOf(markdown)).toThrow(message);
});

test("a sample that is not to be run says why", () => {
  expect(samplesOf("```ts needs a moon\nf();\n```")).toEqual({
    samples: [],
    unrun: [{ line: 1, why: "needs a moon" }],
  });
});

describe.each(documents.map((one) => [one.document, one] as const))("%s", (document, { samples, unrun }) => {
  test("every sample is run", () => expect(unrun).toEqual([]));

  test("every file that it links to is there", () => {
    const links = Array.from(
      read(document).matchAll(/\]\((?!https?:|#)([^)#]+)/g),
      ([, link]) => link as string,
    );
    expect(links.filter((link) => !existsSync(join(root, dirname(document), link)))).toEqual([]);
  });

  for (const { title, file, code, path, prints } of samples) {
    const onGpu = code.includes("stepjit/webgpu");
    const name = `${document}, ${title}`;
    const isMissing = (onGpu && !isOffered(name)) || (code.includes("stepjit/cuda") && !isCudaOffered(name));
    if (file?.endsWith(".test.ts"))
      describe(title, async () => {
        vi.resetModules();
        await import(path);
      });
    else
      test.skipIf(isMissing)(title, async () => {
        const close = onGpu ? openGpu() : () => {};
        const found = await run(path).finally(close);
        prints.forEach((expected, index) => {
          if (expected !== undefined) expectPrinted(found[index] as string, expected);
        });
      });
  }
});

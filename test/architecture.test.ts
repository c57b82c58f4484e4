/** Who may import whom. The table is the architecture: arrows point up, nothing but the command imports index.ts, and no two parts need each other. */
import { readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { Node, Project, type StringLiteral } from "ts-morph";
import { describe, expect, test } from "vitest";

/** Each part of src (a folder or a file), what it may import besides itself, and which packages. `type:` means types only. */
const PARTS: Readonly<
  Record<string, { readonly parts: readonly string[]; readonly packages?: readonly string[] }>
> = {
  "error.ts": { parts: [] },
  "dispose.ts": { parts: [] },

  // The module, and what is done to it.
  ir: { parts: ["error.ts"] },
  passes: { parts: ["ir", "error.ts"] },
  trace: { parts: ["ir", "error.ts"] },
  "trace/syntax": {
    parts: ["error.ts"],
    packages: ["ts-morph", "magic-string", "unplugin", "@jridgewell/remapping", "node:*"],
  },

  // Where kernels run, and over what.
  "backends/backend.ts": { parts: ["type:ir", "type:error.ts", "type:dispose.ts"] },
  "backends/common": { parts: ["ir"] },
  "backends/gpu": { parts: ["ir", "plan", "backends/common", "type:backends/backend.ts", "error.ts"] },
  plan: { parts: ["ir", "passes/batch.ts", "type:backends/backend.ts", "error.ts"] },
  "backends/reference": { parts: ["ir", "plan", "type:backends/backend.ts", "error.ts", "dispose.ts"] },
  "backends/wasm": {
    parts: ["ir", "plan", "backends/common", "type:backends/backend.ts", "error.ts", "dispose.ts"],
    packages: ["watr", "node:worker_threads"],
  },

  "backends/dry": { parts: ["type:ir", "type:backends/backend.ts", "error.ts", "dispose.ts"] },
  "backends/webgpu": {
    parts: [
      "ir",
      "plan",
      "backends/common",
      "backends/gpu",
      "type:backends/backend.ts",
      "error.ts",
      "dispose.ts",
    ],
  },
  "backends/cuda": {
    parts: [
      "ir",
      "plan",
      "backends/common",
      "backends/gpu",
      "backends/cuda/native",
      "type:backends/backend.ts",
      "error.ts",
      "dispose.ts",
    ],
  },
  "backends/cuda/native": { parts: ["error.ts"], packages: ["koffi", "node:*"] },

  // What users hold: tensors, optimizers. Of the IR they know extents and dtypes only.
  "tensor.ts": { parts: ["type:ir/type.ts", "type:backends/backend.ts", "error.ts", "dispose.ts"] },
  optim: {
    parts: [
      "trace",
      "ir/dims.ts",
      "ir/extent.ts",
      "ir/type.ts",
      "tensor.ts",
      "type:backends/backend.ts",
      "error.ts",
      "dispose.ts",
    ],
  },
  "make-tensor.ts": {
    parts: ["tensor.ts", "optim", "backends/wasm", "type:backends/backend.ts", "type:ir/type.ts", "error.ts"],
  },

  "webgpu.ts": { parts: ["backends/webgpu", "make-tensor.ts", "tensor.ts", "optim", "error.ts"] },

  "cuda.ts": {
    parts: ["backends/cuda", "backends/cuda/native", "make-tensor.ts", "tensor.ts", "optim", "error.ts"],
  },

  // A step: all of the above, with whatever backend it is given.
  step: {
    parts: ["ir", "passes", "trace", "plan", "optim", "tensor.ts", "type:backends/backend.ts", "error.ts"],
  },
  inspect: { parts: ["step", "ir", "passes", "plan", "optim", "type:backends/backend.ts", "error.ts"] },

  // The whole.
  "compile.ts": {
    parts: [
      "step",
      "inspect",
      "optim",
      "trace",
      "backends/reference",
      "backends/wasm",
      "type:backends/backend.ts",
      "error.ts",
      "dispose.ts",
    ],
  },
  "index.ts": { parts: ["*"] },
  vitest: { parts: ["step", "type:compile.ts", "type:inspect"], packages: ["vitest"] },
  report: {
    parts: [
      "step",
      "inspect",
      "ir",
      "passes",
      "plan",
      "type:compile.ts",
      "type:backends/backend.ts",
      "error.ts",
    ],
    packages: ["node:*"],
  },
  // Runs in a browser, from a file of its own: of the rest it knows types, and its packages are built into it.
  "report/page": {
    parts: ["type:report", "type:step"],
    packages: ["@dagrejs/dagre", "d3-selection", "d3-zoom", "refractor"],
  },
  cli: { parts: ["*", "index.ts"], packages: ["commander", "node:*"] },
  tfjs: { parts: ["*"], packages: ["@tensorflow/*"] },
};

const root = fileURLToPath(new URL("..", import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

interface Import {
  readonly file: string;
  /** A path in src, or a package's name. */
  readonly target: string;
  readonly isType: boolean;
}

const imports = readImports();
const inside = imports.filter(({ target }) => target.startsWith("src/"));
const outside = imports.filter(({ target }) => !target.startsWith("src/"));

function readImports(): Import[] {
  const project = new Project({ skipAddingFilesFromTsConfig: true });
  return project.addSourceFilesAtPaths(join(root, "src/**/*.ts")).flatMap((source) =>
    source.getImportStringLiterals().map((literal) => ({
      file: relative(root, source.getFilePath()),
      target: resolve(source.getFilePath(), literal.getLiteralValue()),
      isType: isTypeOnly(literal),
    })),
  );
}

/** `./x.ts` and the package's own names become paths in src. */
function resolve(from: string, specifier: string): string {
  if (specifier.startsWith(".")) return relative(root, join(dirname(from), specifier));
  const own = manifest.exports[specifier.replace(/^stepjit/, ".")]?.["stepjit-src"];
  return specifier.startsWith("stepjit") && own ? join(own) : specifier;
}

function isTypeOnly(literal: StringLiteral): boolean {
  const parent = literal.getParent();
  if (Node.isLiteralTypeNode(parent)) return true; // typeof import("…")
  if (Node.isExportDeclaration(parent)) return parent.isTypeOnly();
  if (!Node.isImportDeclaration(parent)) return false;
  const named = parent.getNamedImports();
  const hasMore = parent.getDefaultImport() !== undefined || parent.getNamespaceImport() !== undefined;
  return parent.isTypeOnly() || (!hasMore && named.length > 0 && named.every((one) => one.isTypeOnly()));
}

/** The longest entry of the table that holds a file. */
function partOf(file: string): string | undefined {
  const path = file.replace(/^src\//, "");
  return Object.keys(PARTS)
    .filter((part) => path === part || path.startsWith(`${part}/`))
    .sort((a, b) => b.length - a.length)[0];
}

function allows(rule: string, { target, isType }: Import): boolean {
  const part = rule.replace(/^type:/, "");
  if (rule.startsWith("type:") && !isType) return false;
  return part === "*" || part === partOf(target) || target === `src/${part}`;
}

const matches = (pattern: string, name: string) =>
  pattern.endsWith("*")
    ? name.startsWith(pattern.slice(0, -1))
    : name === pattern || name.startsWith(`${pattern}/`);

test("every file belongs to a part", () => {
  const files = [...new Set([...imports.map(({ file }) => file), ...inside.map(({ target }) => target)])];
  expect(files.length).toBeGreaterThan(50);
  expect(files.filter((file) => partOf(file) === undefined)).toEqual([]);
});

describe.each(Object.keys(PARTS))("%s", (part) => {
  const { parts, packages = [] } = PARTS[part] as (typeof PARTS)[string];
  const mine = ({ file }: Import) => partOf(file) === part;

  test("imports what it may", () => {
    const strays = inside
      .filter((one) => mine(one) && partOf(one.target) !== part)
      .filter((one) => !parts.some((rule) => allows(rule, one)))
      .map(({ file, target, isType }) => `${file} imports ${isType ? "types of " : ""}${target}`);
    expect(strays).toEqual([]);
  });

  test("uses its packages only", () => {
    const strays = outside
      .filter((one) => mine(one) && !packages.some((pattern) => matches(pattern, one.target)))
      .map(({ file, target }) => `${file} imports ${target}`);
    expect(strays).toEqual([]);
  });
});

test("only the command imports index.ts", () => {
  const users = inside.filter(({ target }) => target === "src/index.ts").map(({ file }) => file);
  expect(users.filter((file) => !file.startsWith("src/cli/"))).toEqual([]);
});

test("only src/tfjs knows TensorFlow.js", () => {
  const users = outside.filter(({ target }) => target.startsWith("@tensorflow/")).map(({ file }) => file);
  expect(users.filter((file) => !file.startsWith("src/tfjs/"))).toEqual([]);
});

test("what is imported is declared: node's own, a dependency, or a peer; of the page, which is built, for development", () => {
  const declared = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies });
  const built = Object.keys(manifest.devDependencies);
  const strays = outside
    .filter(({ target, isType }) => !isType && !target.startsWith("node:"))
    .filter(({ file, target }) => {
      const names = file.startsWith("src/report/page/") ? built : declared;
      return !names.some((name) => matches(name, target));
    })
    .map(({ file, target }) => `${file} imports ${target}`);
  expect(strays).toEqual([]);
});

test("no two parts need each other, on whatever way round", () => {
  const edges = new Map(Object.keys(PARTS).map((part) => [part, new Set<string>()]));
  for (const { file, target } of inside) {
    const [from, to] = [partOf(file), partOf(target)];
    if (from && to && from !== to) edges.get(from)?.add(to);
  }
  const cycles: string[] = [];
  const done = new Set<string>();
  const walk = (part: string, way: readonly string[]) => {
    if (way.includes(part)) cycles.push([...way.slice(way.indexOf(part)), part].join(" → "));
    if (way.includes(part) || done.has(part)) return;
    for (const next of edges.get(part) ?? []) walk(next, [...way, part]);
    done.add(part);
  };
  for (const part of edges.keys()) walk(part, []);
  expect(cycles).toEqual([]);
});

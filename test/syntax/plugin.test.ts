import { pathToFileURL } from "node:url";
import { rolldown } from "rolldown";
import * as self from "stepjit/ops";
import { build } from "vite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as relative from "../../src/trace/ops.ts";
import stepjit from "../../src/trace/syntax/plugin.ts";
import { Project } from "./project.ts";

const project = new Project();

beforeAll(async () => {
  await project.installStepjit();
  project.write({
    "src/main.ts": `import { double } from "dep";
import { exp } from "stepjit/ops";
export function f(x: number, y: number): number {
  "use stepjit";
  return x > y ? double(x) * y : exp(x as number);
}
export const plain = (x: number) => x * 2;
`,
    "src/bad.ts": 'export const A = { update({ grad }: any) {\n  "use stepjit";\n  if (grad) return 1;\n} };',
    "node_modules/dep/package.json": '{ "name": "dep", "type": "module", "exports": "./dep.js" }',
    "node_modules/dep/dep.js": 'export const double = (x) => { "use stepjit"; return x * 2; };',
  });
});
afterAll(() => project.remove());

const external = (id: string) => id.startsWith("stepjit");

async function withRolldown(entry: string): Promise<string> {
  const bundle = await rolldown({
    input: project.path(entry),
    external,
    cwd: project.folder,
    plugins: [stepjit.rolldown()],
  });
  const { output } = await bundle.generate({ sourcemap: "inline" });
  return output[0].code;
}

async function withVite(entry: string): Promise<string> {
  const result = await build({
    root: project.folder,
    configFile: false,
    logLevel: "silent",
    plugins: [stepjit.vite()],
    build: {
      write: false,
      minify: false,
      lib: { entry: project.path(entry), formats: ["es"] },
      rolldownOptions: { external },
    },
  });
  const [bundle] = Array.isArray(result) ? result : [];
  return bundle?.output[0].code ?? "";
}

describe.each([
  ["rolldown", withRolldown],
  ["vite", withVite],
] as const)("%s", (name, bundle) => {
  test("transforms marked functions, dependencies included, and nothing else", async () => {
    const code = await bundle("src/main.ts");
    expect(code).toContain('"src/main.ts:5:12"');
    expect(code).toContain('"dep/dep.js:1:56"');
    expect(code).toContain("x * 2");
    expect(code).not.toContain("use stepjit");
    project.write({ [`out-${name}.mjs`]: code });
    const { f } = (await import(pathToFileURL(project.path(`out-${name}.mjs`)).href)) as {
      f(x: number, y: number): number;
    };
    expect(f(3, 2)).toBe(12);
    expect(f(0, 2)).toBe(1);
  });

  test("fails with the code frame", async () => {
    await expect(bundle("src/bad.ts")).rejects.toThrow(/src\/bad\.ts:3:7: `if` on a traced value.*\^\^\^\^/s);
  });
});

test("these very tests go through it, and the package's own name is its sources", () => {
  const f = (x: number) => {
    "use stepjit";
    return x * 2;
  };
  expect(f.toString()).toContain("test/syntax/plugin.test.ts:");
  expect(f(4)).toBe(8);
  expect(self.mul).toBe(relative.mul);
});

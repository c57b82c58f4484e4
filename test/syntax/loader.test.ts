import { rmSync, symlinkSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { Project } from "./project.ts";

const project = new Project();
const CACHE = "node_modules/.cache/stepjit";

beforeAll(() => project.installStepjit());
beforeEach(() => rmSync(project.path("node_modules/.cache"), { recursive: true, force: true }));
afterAll(() => project.remove());

const MARKED = `import { type Pair, scale } from "./scale.mts";

const weights: Pair = [2, 3];
export function weigh(x: number): number {
  "use stepjit";
  if (x < 0) {
    throw new Error(\`negative\`);
  }
  return scale(x, weights[0]) ** 2 * weights[1]!;
}
console.log(weigh(5), weigh.toString().includes("$mul"));
`;

const SCALE = `export type Pair = readonly [number, number];
export function scale(x: number, by: number): number {
  "use stepjit";
  return x * by;
}
`;

test("runs TypeScript, and marked functions in it", async () => {
  project.write({ "app.ts": MARKED, "scale.mts": SCALE });
  expect(await project.node("app.ts")).toEqual({ code: 0, stdout: "300 true\n", stderr: "" });
});

test("runs marked JavaScript, of dependencies too, and leaves other files alone", async () => {
  project.write({
    "app.mjs": 'import { f } from "dep"; import c from "./plain.cjs"; console.log(f(c.x), f.toString());',
    "plain.cjs": 'exports.x = 4; // "use stepjit"',
    "node_modules/dep/package.json": '{ "name": "dep", "type": "module", "exports": "./lib/f.js" }',
    "node_modules/dep/lib/f.js": 'export const f = (x) => { "use stepjit"; return x * 2; };',
  });
  const { stdout, stderr } = await project.node("app.mjs");
  expect(stderr).toBe("");
  expect(stdout).toBe('8 (x) => { return $mul(x, 2, "dep/lib/f.js:1:51"); }\n');
  expect(project.list(CACHE)).toHaveLength(1);
});

test("the package's own sources, run as they are, mean themselves by its name", async () => {
  project.write({
    "app.ts": 'import { f } from "./node_modules/stepjit/src/f.ts"; console.log(f(2));',
    "node_modules/stepjit/src/f.ts": 'export const f = (x: number) => { "use stepjit"; return x * 2; };',
    "node_modules/stepjit/src/trace/ops.ts": 'export const mul = () => "of src";',
  });
  expect(await project.node("app.ts")).toEqual({ code: 0, stdout: "of src\n", stderr: "" });
});

test("a stack trace names the line of the source", async () => {
  project.write({ "app.ts": `${MARKED}interface Gone {\n  x: number;\n}\nweigh(-1);\n`, "scale.mts": SCALE });
  const { code, stderr } = await project.node("app.ts");
  expect(code).toBe(1);
  expect(stderr).toContain(`at weigh (${project.path("app.ts")}:7:11)`);
  expect(stderr).toContain(`${project.path("app.ts")}:15:1`);
});

test("what cannot be traced stops the program with its line", async () => {
  project.write({
    "app.ts":
      'export const A = {\n  update({ grad }: { grad: number }) {\n    "use stepjit";\n    return grad > 0 ? grad | 1 : 0;\n  },\n};\n',
  });
  const { code, stderr } = await project.node("app.ts");
  expect(code).toBe(1);
  expect(stderr).toContain('app.ts: one place in code marked "use stepjit" cannot be traced');
  expect(stderr).toContain("app.ts:4:23: a bitwise operator");
});

test("a syntax error is reported at its line", async () => {
  project.write({ "app.ts": 'export function f(x: number) {\n  "use stepjit";\n  return x * ;\n}\n' });
  const { code, stderr } = await project.node("app.ts");
  expect(code).toBe(1);
  expect(stderr).toContain("app.ts:3:14: Expression expected.");
});

test("the second run takes what the first one kept", async () => {
  project.write({ "app.ts": MARKED, "scale.mts": SCALE });
  await project.node("app.ts");
  const kept = project.list(CACHE);
  expect(kept).toHaveLength(2);
  for (const entry of kept)
    writeFileSync(project.path(`${CACHE}/${entry}`), 'export const scale = 0; console.log("kept");');
  expect((await project.node("app.ts")).stdout).toBe("kept\n");
  project.write({ "app.ts": `${MARKED}console.log("changed");` });
  expect((await project.node("app.ts")).stderr).toContain("scale is not a function");
  expect(project.list(CACHE)).toHaveLength(3);
});

test("a cache that cannot be written costs nothing", async () => {
  project.write({ "app.ts": MARKED, "scale.mts": SCALE });
  symlinkSync("/dev/null", project.path("node_modules/.cache"));
  expect((await project.node("app.ts")).stdout).toBe("300 true\n");
});

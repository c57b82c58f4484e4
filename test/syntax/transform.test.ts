import { SourceMap } from "node:module";
import { describe, expect, test } from "vitest";
import * as ops from "../../src/trace/ops.ts";
import { HELPER_OPERANDS, isHelper } from "../../src/trace/syntax/helpers.ts";
import { transform } from "../../src/trace/syntax/transform.ts";
import { transformed } from "./evaluate.ts";

const inFunction = (body: string) => `function f(a, b) {\n  "use stepjit";\n  ${body}\n}`;

describe("what is marked", () => {
  test.each([
    ["a file that does not say so", "export const f = (a, b) => a * b;"],
    ["a mention in a comment", '// "use stepjit"\nexport const f = (a, b) => a * b;'],
    ["a string that is no directive", 'export const f = (a) => { a * 2; "use stepjit"; };'],
    ["a parenthesised string", 'export const f = (a) => { ("use stepjit"); return a * 2; };'],
    ["a file with a syntax error", 'export const f = (a) => { "use stepjit"; return a * ; };'],
  ])("not: %s", (_, code) => {
    expect(transform(code, "/f.js")).toBeUndefined();
  });

  test.each([
    ["a function", 'function f(a) { "use stepjit"; return a * 2; }'],
    ["an arrow", 'const f = (a) => { "use stepjit"; return a * 2; };'],
    ["a method", 'const o = { update(a) { "use stepjit"; return a * 2; } };'],
    ["a class member", 'class C { m(a) { "use strict"; "use stepjit"; return a * 2; } }'],
    ["a getter", 'const o = { get m() { "use stepjit"; return this.a * 2; } };'],
    ["single quotes and no semicolon", "function f(a) { 'use stepjit'\n return a * 2 }"],
    ["the whole file", '"use stepjit";\nconst f = (a) => a * 2;'],
    [
      "a function inside a marked one",
      'function f() { "use stepjit"; return (a) => { "use stepjit"; return a * 2; }; }',
    ],
  ])("%s", (_, code) => {
    const result = transformed(code).code;
    expect(result).toContain("$mul(");
    expect(result).not.toContain("use stepjit");
    expect(transform(result, "/f.js")).toBeUndefined();
  });

  test("code outside stays as it is", () => {
    const { code } = transformed(`const k = 2 * 3;\n${inFunction("return a * b;")}\nconst l = k * k;`);
    expect(code).toContain("const k = 2 * 3;\n");
    expect(code).toContain("\nconst l = k * k;");
  });
});

describe("the import", () => {
  test("names each helper once, on the line of the first statement", () => {
    expect(
      transformed(`#!/usr/bin/env node\n"use strict";\n// why\n${inFunction("return a * b * a - b;")}`).code,
    ).toBe(
      '#!/usr/bin/env node\n"use strict";\n// why\nimport { mul as $mul, sub as $sub } from "stepjit/ops"; function f(a, b) {\n' +
        '\n  return $sub($mul($mul(a, b, "f.js:6:12"), a, "f.js:6:16"), b, "f.js:6:20");\n}',
    );
  });

  test("is left out where no helper is used", () => {
    expect(transformed(inFunction("return a;")).code).toBe("function f(a, b) {\n\n  return a;\n}");
  });

  test("avoids the file's own names", () => {
    expect(transformed(inFunction("const $mul = 1, $$ = 2; return a * $mul;")).code).toContain(
      "$$mul(a, $mul,",
    );
    expect(transformed(inFunction("const $$mul = 1; return a * $$mul;")).code).toContain("$$$mul(a, $$mul,");
  });
});

describe("calls of stepjit/ops", () => {
  const call = (expression: string, names = "sqrt, sum, lerp as mix, clamp") =>
    transformed(
      `import { ${names} } from "stepjit/ops"; const f = (a, b) => { "use stepjit"; return ${expression}; };`,
    )
      .code.replaceAll(/"f\.js:\d+:\d+"/g, "p")
      .match(/return (.*); };/)?.[1];

  test.each([
    ["sqrt(a)", "sqrt(a, p)"],
    ["mix(a, b, 0.9)", "mix(a, b, 0.9, p)"],
    ["sum(a)", "sum(a, undefined, p)"],
    ['sum(a, "step",)', 'sum(a, "step",p)'],
    ["sqrt(a * sum(b))", "sqrt($mul(a, sum(b, undefined, p), p), p)"],
    ['sqrt(a, "given")', '$within(p, () => sqrt(a, "given"))'],
    ["clamp(...a)", "$within(p, () => clamp(...a))"],
  ])("%s", (input, output) => {
    expect(call(input)).toBe(output);
  });

  test("through a namespace", () => {
    const code = 'import * as o from "stepjit/ops"; const f = (a) => { "use stepjit"; return o.sqrt(a); };';
    expect(transformed(code).code).toContain('o.sqrt(a, "f.js:1:78")');
  });

  test("a name that shadows an import is any function", () => {
    expect(call("((sqrt) => sqrt(a))(b)")).toBe("$within(p, () => ((sqrt) => $within(p, () => sqrt(a)))(b))");
  });

  test("every helper exists, and every export that takes a position is known", () => {
    for (const name of Object.keys(HELPER_OPERANDS)) expect(ops).toHaveProperty(name);
    const functions = Object.entries(ops).filter(([, value]) => typeof value === "function");
    const unknown = functions.map(([name]) => name).filter((name) => !isHelper(name));
    expect(unknown.sort()).toEqual(["tracing", "within"]);
  });
});

describe("TypeScript", () => {
  test.each([
    ["return (a as number) * b!;", "return $mul((a as number), b!, p);"],
    ["return a * b as number;", "return $mul(a, b, p) as number;"],
    ["return (a * 2) satisfies number;", "return ($mul(a, 2, p)) satisfies number;"],
    [
      "const x: Y<number> extends 1 ? 2 : 3 = 2; return x;",
      "const x: Y<number> extends 1 ? 2 : 3 = 2; return x;",
    ],
    [
      "const g = <T,>(x: T): T => x; return g<number>(a) * 2;",
      "const g = <T,>(x: T): T => x; return $mul($within(p, () => g<number>(a)), 2, p);",
    ],
    [
      "let t = 1; (t as number) *= b; return t;",
      "let t = 1; (t as number) = $mul((t as number), b, p); return t;",
    ],
    ["return a < b ? a : b as number;", "return $select($less(a, b, p), () => a, () => b as number, p);"],
    [
      "type T = -1 | 2; enum E { A = 1 << 2, B = A * 2 } return a;",
      "type T = -1 | 2; enum E { A = 1 << 2, B = A * 2 } return a;",
    ],
  ])("%s", (input, output) => {
    const { code } = transformed(
      `function f(a: number, b: number): number { "use stepjit"; ${input} }`,
      "/f.ts",
    );
    expect(code.replaceAll(/"f\.ts:\d+:\d+"/g, "p")).toContain(output);
  });

  test("JSX", () => {
    const { code } = transformed(
      'const f = (a) => { "use stepjit"; return <p title="a * b">a * b {a * 2}</p>; };',
      "/f.tsx",
    );
    expect(code).toContain('<p title="a * b">a * b {$mul(a, 2, "f.tsx:1:68")}</p>');
  });
});

test("an operator's position is the operator's, a call's the name that is called", () => {
  const { code } = transformed(inFunction("return a.b(a)\n    * (a ? -a : b);"));
  expect(code).toContain(
    'return $mul($within("f.js:3:12", () => a.b(a))\n    , ($select(a, () => $neg(a, "f.js:4:12"), () => b, "f.js:4:10")), "f.js:4:5");',
  );
});

test("positions begin at the package, a dependency's with its name", () => {
  const code = inFunction("return a * b;");
  const at = (file: string) => transformed(code, file).code.match(/"(\S*):3:12"/)?.[1];
  expect(at(`${import.meta.dirname}/deep/er.js`)).toBe("test/syntax/deep/er.js");
  expect(at("/app/node_modules/.pnpm/lion@1/node_modules/lion/dist/lion.js")).toBe("lion/dist/lion.js");
  expect(at("/app/node_modules/@zoo/lion/lion.js")).toBe("@zoo/lion/lion.js");
});

test("the source map leads back to the operands, line by line", () => {
  const code = `const k = 1;\n${inFunction("const x = a * 2;\n  return x > b ? thing(x) : -k;")}`;
  const result = transformed(code);
  expect(result.code.split("\n")).toHaveLength(code.split("\n").length);
  expect(result.map.sources).toEqual(["/f.js"]);
  const map = new SourceMap(JSON.parse(result.map.toString()));
  const pairs = [
    ["a, 2", "a * 2"],
    ["x, b", "x > b"],
    ["thing(x)", "thing(x)"],
    ["k, ", "k;\n}"],
  ] as const;
  for (const [generated, original] of pairs) {
    const from = placeOf(generated, result.code);
    const { originalLine, originalColumn } = map.findEntry(from.line, from.column) as Record<string, number>;
    expect({ line: originalLine, column: originalColumn }, original).toEqual(placeOf(original, code));
  }
});

function placeOf(word: string, text: string) {
  const before = text.slice(0, text.lastIndexOf(word)).split("\n");
  return { line: before.length - 1, column: before.at(-1)?.length ?? 0 };
}

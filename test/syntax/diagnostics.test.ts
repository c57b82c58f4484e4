import { describe, expect, test } from "vitest";
import { StepjitError } from "../../src/error.ts";
import { transform } from "../../src/trace/syntax/transform.ts";

const update = (body: string, before = "") =>
  `${before}\nexport const A = { update({ param, grad, state, hyper, flags, step, first, numel }) {\n  "use stepjit";\n  ${body}\n} };`;
const helper = (body: string) => `\n\nexport function helper(x, y, name) {\n  "use stepjit";\n  ${body}\n}`;

function messageOf(code: string, file = "/f.ts"): string {
  try {
    transform(code, file);
  } catch (error) {
    expect(error).toBeInstanceOf(StepjitError);
    expect(error).toHaveProperty("code", "traced-value");
    return (error as Error).message;
  }
  return "";
}

/** What the carets of each problem stand under. */
function underlined(message: string): string[] {
  const lines = message.split("\n");
  return lines.flatMap((line, at) => {
    const carets = /^\s+\|\s*(\^+)$/.exec(line)?.[1];
    const start = line.indexOf("^");
    return carets ? [(lines[at - 1] ?? "").slice(start, start + carets.length)] : [];
  });
}

describe("in an update", () => {
  test.each([
    ["if (grad > 0) return 1;", ["grad > 0"], "use `mask ? a : b`"],
    ["if (first) return param;", ["first"], "both sides are computed and selected element by element"],
    ["if (numel > 10 || flags.x) return param;", ["numel > 10 || flags.x"], "or branch on a flag"],
    ["const m = state.m; const mask = m * 2 > hyper.lr; if (!mask) return 1;", ["!mask"], "`if`"],
    ["let x = 1; for (let i = 0; i < 3; i++) { if (x > 2) break; x = x * grad; }", ["x > 2"], "`if`"],
    ["const [b1] = hyper.betas; if (b1) return 1;", ["b1"], "`if`"],
    ["for (const b of hyper.betas) { if (b) return 1; }", ["b"], "`if`"],
    ["const f = () => grad * 2; if (f() > 1) return 1;", ["f() > 1"], "`if`"],
    ["const l = []; l.push(grad); if (l[0]) return 1;", ["l[0]"], "`if`"],
    ["let q; ({ q } = state); if (q) return 1;", ["q"], "`if`"],
    ["while (step < 3) {}", ["step < 3"], "the number of rounds is fixed"],
    ["do {} while (grad);", ["grad"], "the number of rounds is fixed"],
    ["for (let i = 0; i < step; i++) {}", ["i < step"], "the number of rounds is fixed"],
    ["switch (step) { case 1: return 1; }", ["step"], "`switch`"],
    ["switch (1) { case step: return 1; }", ["step"], "`switch`"],
    ["return grad & 1;", ["grad"], "of masks use `&&`, `||`, `!==`"],
    ["return 1 | grad;", ["grad"], "bitwise"],
    ["return (grad > 0) ^ (param > 0);", ["(grad > 0)"], "bitwise"],
    ["return grad << 1 >> 2 >>> 3;", ["grad << 1 >> 2", "grad << 1", "grad"], "bitwise"],
    ["let x = 1; x &= grad; return 1;", ["x"], "bitwise"],
    ["return ~grad;", ["grad"], "of a mask use `!`"],
    ["return state.m ?? 0;", ["state.m"], "never null or undefined"],
    ["state.m ??= grad;", ["state.m"], "`x = mask ? a : x`"],
    ["let x = 1; x &&= grad > 0;", ["x"], "`x = mask ? a : x`"],
    ["let x = 1; x ||= grad > 0;", ["x"], "`x = mask ? a : x`"],
    ["state.count++;", ["state.count"], "`x = x + 1`"],
    [`throw new Error(\`got \${grad} and \${1}\`);`, ["grad"], "template string"],
    ['const s = "lr " + hyper.lr;', ["hyper.lr"], "joined to a string"],
    ['let s = grad; s += "x";', ["s"], "joined to a string"],
    ["return +grad;", ["grad"], "unary `+`"],
    ["return Number(grad) + String(1);", ["grad"], "plain value"],
    ["return Number.isFinite(grad) ? grad : 0;", ["grad"], "plain value"],
    ["return Math.tanh(grad);", ["grad"], "there are abs, ceil, exp"],
    ["return Math.max(...hyper.betas);", ["...hyper.betas"], "without spread"],
    ["const t = [1, 2]; return t[step];", ["step"], "choose with `mask ? a : b`"],
    ["delete state.m;", ["state.m"], "declared with `when`"],
    ["let x = 1; grad > 0 ? (x = 2) : 0;", ["x = 2"], "it would always happen"],
    ["let x = 1; grad > 0 && x++;", ["x++"], "it would always happen"],
    ["state[f()] *= grad;", ["state[f()]"], "evaluated twice"],
    ["f().x += grad;", ["grad"], "evaluated twice"],
    ["outer = grad;", ["outer"], "outside the function"],
    ["outer++;", ["outer"], "outside the function"],
    ["[outer, { a: outer2 = 1 }] = [1, {}];", ["outer", "outer2"], "keep what lasts in `state`"],
    ["const f = async () => await 1;", ["await 1"], "runs once, to be recorded"],
    ["const f = async () => { for await (const x of []) {} };", ["await"], "`for await`"],
    ["const f = function* () { yield 1; };", ["yield 1"], "`yield`"],
    ["try { return grad; } catch {}", ["try"], "nothing can be caught"],
  ] as const)("%s", (body, carets, text) => {
    const message = messageOf(update(body, "let outer, outer2;"));
    expect(underlined(message)).toEqual(carets);
    expect(message).toContain(text);
    expect(message).toMatch(/^f\.ts: .*\n\nf\.ts:4:\d+: /);
  });

  test.each([
    "if (flags.maximize && !flags.x) return -grad;",
    "const { amsgrad } = flags; if (amsgrad) return grad;",
    "for (let i = 0; i < 5; i++) { const x = i & 1; if (x) continue; }",
    "for (let i = 0; i < hyper.betas.length; i++) {}",
    "if (grad === undefined || typeof grad === 'number') return 1;",
    `const n = flags.steps ?? 5; return \`\${n}\${flags.x}\`.length;`,
    "const local = {}; local.x = 1; delete local.x;",
    "let x = 1; flags.x ? (x = 2) : 0; return x;",
    "const list = []; list.push(grad); if (list.length > 0) return grad;",
    "const f = (mask) => { if (mask) return 1; }; return f(1);",
    "state.m = grad; state.m *= 2; state[flags.x ? 'a' : 'b'] = grad;",
    "let x = 1; const g = () => { x = 2; }; g(); return x;",
    "return Math.random() < 1 ? grad : param;",
  ])("allowed: %s", (body) => {
    expect(messageOf(update(body, "let outer;"))).toBe("");
  });
});

test.each([
  ["update(context) { 'use stepjit'; if (context.grad) return 1; }", ["context.grad"]],
  ["update(context) { 'use stepjit'; if (context.flags.x) return 1; }", []],
  [
    "update(context) { 'use stepjit'; const { flags, ...rest } = context; if (flags.x) return rest.grad; }",
    [],
  ],
  [
    "update({ grad, ...rest }) { 'use stepjit'; if (rest.flags.x) return 1; if (rest.param) return 2; }",
    ["rest.param"],
  ],
  ["update: ({ grad: g = 1, flags: f }) => { 'use stepjit'; if (f.x) return 1; if (g) return 2; }", ["g"]],
  ["update: function ({ hyper: { betas: [, b2] } }) { 'use stepjit'; if (b2) return 1; }", ["b2"]],
])("the context: %s", (method, carets) => {
  expect(underlined(messageOf(`const A = { ${method} };`))).toEqual(carets);
});

describe("in a helper, whose parameters may be traced", () => {
  test.each([
    ["return x & 1;", ["x"]],
    ["return ~x;", ["x"]],
    ["return x ?? 1;", ["x"]],
    ["x ||= 1;", ["x"]],
    [`return \`\${x}\`;`, ["x"]],
    ["return 'x is ' + x;", ["x"]],
  ])("%s", (body, carets) => {
    const message = messageOf(helper(body));
    expect(underlined(message)).toEqual(carets);
    expect(message).toContain("or may be, traced");
  });

  test.each([
    "if (x > 0) return y;",
    "while (x > 0) x--;",
    "switch (x) { case y: return 1; }",
    "return [1, 2][x];",
    "return Number.isFinite(x);",
    "const m = x > 0; return m ? (y = 1) : 2;",
  ])("left to the trace: %s", (body) => {
    expect(messageOf(helper(body))).toBe("");
  });

  test("a parameter that is a string is not", () => {
    expect(messageOf(`function f(name: string) { "use stepjit"; return \`\${name}\`; }`)).toBe("");
  });
});

test("all problems of a file come together, each with its line", () => {
  const message = messageOf(
    `const A = {\n\tupdate({ grad, state }) {\n\t\t"use stepjit";\n\t\tif (grad) return 1;\r\n\t\treturn state.m ?? 1;\n\t},\n};`,
  );
  expect(message).toBe(
    [
      'f.ts: 2 places in code marked "use stepjit" cannot be traced',
      "",
      "f.ts:4:7: `if` on a traced value: the step cannot branch on it",
      "  4 | \t\tif (grad) return 1;",
      "    | \t\t    ^^^^",
      "  use `mask ? a : b`: both sides are computed and selected element by element; or branch on a flag.",
      "",
      "f.ts:5:10: `??` on a value that is, or may be, traced: a traced value is never null or undefined",
      "  5 | \t\treturn state.m ?? 1;",
      "    | \t\t       ^^^^^^^",
      "  give a parameter a default, or choose with a flag.",
    ].join("\n"),
  );
});

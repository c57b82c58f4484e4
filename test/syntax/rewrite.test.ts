import { describe, expect, test } from "vitest";
import { plainFunction, rewriteBody, transformedFunction } from "./evaluate.ts";

/** Body of `f(a, b, c, o)` before and after; `p` stands for a position. */
const ROWS: readonly (readonly [group: string, input: string, output: string])[] = [
  ["arithmetic", "return a + b;", "return add(a, b, p);"],
  ["arithmetic", "return a - b - c;", "return sub(sub(a, b, p), c, p);"],
  ["arithmetic", "return a - (b - c);", "return sub(a, (sub(b, c, p)), p);"],
  ["arithmetic", "return a + b * c;", "return add(a, mul(b, c, p), p);"],
  ["arithmetic", "return a*b/c%2;", "return remainder(div(mul(a,b, p),c, p),2, p);"],
  ["arithmetic", "return a ** b ** 2;", "return pow(a, pow(b, 2, p), p);"],
  ["arithmetic", "return -a * - b;", "return mul(neg(a, p), neg( b, p), p);"],
  ["arithmetic", "return -1 + a;", "return add(-1, a, p);"],
  ["arithmetic", "return +a;", "return +a;"],
  ["arithmetic", "return a /* one */ + /* two */ b;", "return add(a /* one */ , /* two */ b, p);"],
  ["arithmetic", "return a // left\n  + b;", "return add(a // left\n  , b, p);"],

  ["comparisons", "return a < b;", "return less(a, b, p);"],
  [
    "comparisons",
    "return [a <= b, a > b, a >= b];",
    "return [lessEqual(a, b, p), greater(a, b, p), greaterEqual(a, b, p)];",
  ],
  ["comparisons", "return [a === b, a !== b];", "return [equal(a, b, p), notEqual(a, b, p)];"],
  ["comparisons", "return [a == b, a != b];", "return [equal(a, b, p), notEqual(a, b, p)];"],
  ["comparisons", "return '1' == 1;", "return '1' == 1;"],
  ["comparisons", "return a === undefined || b != null;", "return or(a === undefined, () => b != null, p);"],
  ["comparisons", "return o.kind === 'x';", "return o.kind === 'x';"],

  ["choices", "return a > 0 ? b : c;", "return select(greater(a, 0, p), () => b, () => c, p);"],
  [
    "choices",
    "return a ? b ? 1 : 2 : c ? 3 : 4;",
    "return select(a, () => select(b, () => 1, () => 2, p), () => select(c, () => 3, () => 4, p), p);",
  ],
  ["choices", "return a ? { x: b } : {};", "return select(a, () => ({ x: b }), () => ({}), p);"],
  [
    "choices",
    "return (a ? { x: b }.x * 2 : 0);",
    "return (select(a, () => (mul({ x: b }.x, 2, p)), () => 0, p));",
  ],
  ["choices", "return a\n  ? b\n  : c;", "return select(a\n  , () => b\n  , () => c, p);"],
  ["choices", "return a && b || !c;", "return or(and(a, () => b, p), () => not(c, p), p);"],
  ["choices", "return a && { x: 1 };", "return and(a, () => ({ x: 1 }), p);"],

  ["assignments", "a *= b + 1; return a;", "a = mul(a, add(b, 1, p), p); return a;"],
  [
    "assignments",
    "a += 1; a -= b; a /= 2; a %= 3; a **= 2; return a;",
    "a = add(a, 1, p); a = sub(a, b, p); a = div(a, 2, p); a = remainder(a, 3, p); a = pow(a, 2, p); return a;",
  ],
  ["assignments", "o.x *= a; o['y'] = o.x; return o.y;", "o.x = mul(o.x, a, p); o['y'] = o.x; return o.y;"],
  [
    "assignments",
    "const l = [1, 2]; const i = 0; l[i + 1] -= a; return l;",
    "const l = [1, 2]; const i = 0; l[add(i, 1, p)] = sub(l[i + 1], a, p); return l;",
  ],
  ["assignments", "return a + (b *= 2);", "return add(a, (b = mul(b, 2, p)), p);"],
  ["assignments", "let n = 0; n++; --n; return n;", "let n = 0; n++; --n; return n;"],
  ["assignments", "const { x = a * 2 } = {}; return x;", "const { x = mul(a, 2, p) } = {}; return x;"],

  ["strings", "return 'a' + 'b' + 1;", "return 'a' + 'b' + 1;"],
  ["strings", "let s = ''; s += 'x'; return s;", "let s = ''; s += 'x'; return s;"],
  [
    "strings",
    "return typeof a + (1 in [1, 2]) + (o instanceof Object);",
    "return typeof a + (1 in [1, 2]) + (o instanceof Object);",
  ],

  [
    "control",
    "if (a > b) return a; else return b;",
    "if (condition(greater(a, b, p), p)) return a; else return b;",
  ],
  [
    "control",
    "let n = 0; while (n < 3) n++; return n;",
    "let n = 0; while (condition(less(n, 3, p), p)) n++; return n;",
  ],
  [
    "control",
    "let n = 0; do { n += 2; } while (n < 3); return n;",
    "let n = 0; do { n = add(n, 2, p); } while (condition(less(n, 3, p), p)); return n;",
  ],
  [
    "control",
    "let s = 0; for (let i = 0; i < 4; i++) s += i; return s;",
    "let s = 0; for (let i = 0; condition(less(i, 4, p), p); i++) s = add(s, i, p); return s;",
  ],
  ["control", "for (;;) return a;", "for (;;) return a;"],
  [
    "control",
    "switch (a) { case 1: return b; default: return c; }",
    "switch (condition(a, p)) { case 1: return b; default: return c; }",
  ],
  [
    "control",
    "let s = 0; for (const x of [a, b]) s += x; return s;",
    "let s = 0; for (const x of [a, b]) s = add(s, x, p); return s;",
  ],

  ["calls", "return Math.sqrt(a);", "return sqrt(a, p);"],
  ["calls", "return Math.max(a, b);", "return max(a, b, p);"],
  ["calls", "return Math.max(a, b, c, 1,);", "return max(max(max(a, b, p), c, p), 1,p);"],
  ["calls", "return Math.min(a) + Math.PI;", "return add(within(p, () => Math.min(a)), Math.PI, p);"],
  ["calls", "return Math.hypot(3, 4);", "return Math.hypot(3, 4);"],
  [
    "calls",
    "const Math = { sqrt: (x) => x }; return Math.sqrt(a);",
    "const Math = { sqrt: (x) => x }; return within(p, () => Math.sqrt(a));",
  ],
  [
    "calls",
    "const g = (x) => x * 2; return g(a);",
    "const g = (x) => mul(x, 2, p); return within(p, () => g(a));",
  ],
  ["calls", "return o.double(a);", "return within(p, () => o.double(a));"],
  [
    "calls",
    "return [a, b].map((x) => -x).join();",
    "return within(p, () => within(p, () => [a, b].map((x) => neg(x, p))).join());",
  ],
  ["calls", "return o.none?.(a).b.c(1)?.d;", "return within(p, () => o.none?.(a).b.c(1)?.d);"],
  ["calls", "return parseInt('3');", "return parseInt('3');"],
  [
    "calls",
    "function g() { return a + 1; } return g();",
    "function g() { return add(a, 1, p); } return within(p, () => g());",
  ],
  [
    "calls",
    "class G { x = a * 2; get() { return this.x + 1; } } return new G().get();",
    "class G { x = mul(a, 2, p); get() { return add(this.x, 1, p); } } return new G().get();",
  ],
  ["calls", "return (() => arguments.length)() + a;", "return add((() => arguments.length)(), a, p);"],
];

const ARGUMENTS = [
  [1, 2, 3],
  [0, -0, 1],
  [-2.5, 4, 0],
  [Number.NaN, 1, Infinity],
];

const object = () => ({ x: 3, y: 1, kind: "x", double: (x: number) => 2 * x });

describe.each([...new Set(ROWS.map(([group]) => group))])("%s", (group) => {
  test.each(ROWS.filter((row) => row[0] === group).map(([, ...row]) => row))("%s", (input, output) => {
    expect(rewriteBody(input)).toBe(output);
    const plain = plainFunction("a, b, c, o", input);
    const rewritten = transformedFunction("a, b, c, o", input);
    for (const args of ARGUMENTS) expect(rewritten(...args, object())).toEqual(plain(...args, object()));
  });
});

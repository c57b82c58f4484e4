/**
 * The maths of an update, by name: what operators become under `"use stepjit"`, and what may be called without any build step.
 *
 * Every function takes numbers or traced values. On numbers it computes at once, so flags and loops over constants stay ordinary
 * TypeScript; with a traced value among its arguments it records one op. In types everything is a `number` (masks are booleans):
 * branded numbers would not survive operators. The last argument, `position` (file:line:column), is written by the transform.
 *
 * @module stepjit/ops
 */
import { StepjitError } from "../error.ts";
import { type Axis, axesOf, ELEMENT, type Extent } from "../ir/extent.ts";
import { type Op, opInfo } from "../ir/ops.ts";
import { isTraced, type Traced } from "./traced.ts";
import type { Operand, Tracer } from "./tracer.ts";

/** Where a reduction ends: a level, or fewer axes (`slab`, `rows`, `cols`). */
export type ReduceTo = "param" | "group" | "step" | typeof slab | typeof rows | typeof cols;

/** One value per leading index of a matrix. */
export const slab = "[lead]" as const;
/** One value per row. */
export const rows = "[lead,row]" as const;
/** One value per column. */
export const cols = "[lead,col]" as const;
/** One value per element. */
export const element = ELEMENT;

/** A function of a number or a traced value. */
export type Unary = (x: number, position?: string) => number;
/** A function of two, each a number or traced. */
export type Binary = (a: number, b: number, position?: string) => number;
/** A comparison of two, each a number or traced: a mask where one is. */
export type Compare = (a: number, b: number, position?: string) => boolean;

/** A function of numbers that records `op` as soon as one argument is traced. */
function mathOf(op: Op): (...args: unknown[]) => unknown {
  const { arity, rule, evaluate } = opInfo(op);
  return (...args) => {
    const operands = args.slice(0, arity);
    const tracer = tracerOf(operands);
    if (tracer) return tracer.map(op, operands as Operand[], args[arity] as string | undefined);
    const result = (evaluate as (...numbers: unknown[]) => number)(...operands);
    return rule === "map" ? result : Boolean(result);
  };
}

function tracerOf(operands: readonly unknown[]): Tracer | undefined {
  return (operands.find(isTraced) as Traced | undefined)?.tracer;
}

const unary = (op: Op) => mathOf(op) as Unary;
const binary = (op: Op) => mathOf(op) as Binary;
const compare = (op: Op) => mathOf(op) as Compare;

/** `a + b`. */
export const add = binary("add");
/** `a - b`. */
export const sub = binary("sub");
/** `a * b`. */
export const mul = binary("mul");
/** `a / b`. */
export const div = binary("div");
/** `a ** b`. */
export const pow = binary("pow");
/** The smaller one; NaN if either is NaN. */
export const min = binary("min");
/** The larger one; NaN if either is NaN. */
export const max = binary("max");
/** `-x`. */
export const neg = unary("neg");
/** `Math.abs(x)`. */
export const abs = unary("abs");
/** -1, 0 or 1; NaN for NaN. */
export const sign = unary("sign");
/** `Math.sqrt(x)`; NaN below 0. */
export const sqrt = unary("sqrt");
/** `Math.exp(x)`. */
export const exp = unary("exp");
/** `Math.expm1(x)`: exp(x) - 1, accurate near 0. */
export const expm1 = unary("expm1");
/** `Math.log(x)`, the natural logarithm. */
export const log = unary("log");
/** `Math.log1p(x)`: log(1 + x), accurate near 0. */
export const log1p = unary("log1p");
/** `Math.floor(x)`. */
export const floor = unary("floor");
/** `Math.ceil(x)`. */
export const ceil = unary("ceil");
/** The nearest number that a float32 holds: how torch rounds what it keeps in an f32 tensor of one number. */
export const fround = unary("fround");
/** `a < b`; false if either is NaN. */
export const less = compare("less");
/** `a <= b`; false if either is NaN. */
export const lessEqual = compare("lessEqual");
/** `a > b`; false if either is NaN. */
export const greater = compare("greater");
/** `a >= b`; false if either is NaN. */
export const greaterEqual = compare("greaterEqual");

/** `a === b`, for values of any kind that are not traced. */
export function equal(a: unknown, b: unknown, position?: string): boolean {
  return tracerOf([a, b]) ? compare("equal")(a as number, b as number, position) : a === b;
}

/** `a !== b`, for values of any kind that are not traced. */
export function notEqual(a: unknown, b: unknown, position?: string): boolean {
  return tracerOf([a, b]) ? compare("notEqual")(a as number, b as number, position) : a !== b;
}

/** True for a nullable hyperparameter that is null: it reaches the maths as NaN. */
export function isNull(x: number, position?: string): boolean {
  return notEqual(x, x, position);
}

/** Neither NaN nor infinite. */
export const finite = mathOf("finite") as (x: number, position?: string) => boolean;

/** `!a`. */
export function not(a: unknown, position?: string): boolean {
  return isTraced(a) ? (mathOf("not")(a, position) as boolean) : !a;
}

/** `a && b()`: of masks the elementwise conjunction; `b` is not computed if `a` is plainly false. */
export function and<A, B>(a: A, b: () => B, position?: string): A | B {
  return logical("and", a, b, position);
}

/** `a || b()`: of masks the elementwise disjunction; `b` is not computed if `a` is plainly true. */
export function or<A, B>(a: A, b: () => B, position?: string): A | B {
  return logical("or", a, b, position);
}

function logical<A, B>(op: "and" | "or", a: A, b: () => B, position?: string): A | B {
  if (!isTraced(a)) return Boolean(a) === (op === "and") ? b() : a;
  const other = b();
  if (!isTraced(other)) return Boolean(other) === (op === "and") ? a : other;
  return mathOf(op)(a, other, position) as A | B;
}

/**
 * `condition ? a() : b()`. A traced condition computes both and chooses element by element; a plain one computes only its side.
 */
export function select<A, B>(condition: unknown, a: () => A, b: () => B, position?: string): A | B {
  return isTraced(condition)
    ? (mathOf("select")(condition, a(), b(), position) as A | B)
    : condition
      ? a()
      : b();
}

/** `a - b * floor(a / b)` on traced values, JavaScript's `%` on numbers. */
export const remainder: Binary = (a, b, position) =>
  tracerOf([a, b]) ? sub(a, mul(b, floor(div(a, b, position), position), position), position) : a % b;

/** x², with x computed once. */
export const square: Unary = (x, position) => mul(x, x, position);

/** a + weight * (b - a), torch's lerp. */
export function lerp(a: number, b: number, weight: number, position?: string): number {
  return add(a, mul(weight, sub(b, a, position), position), position);
}

/** Between `low` and `high`; NaN stays NaN. */
export function clamp(x: number, low: number, high: number, position?: string): number {
  return min(max(x, low, position), high, position);
}

/** The sum, by default over all elements of the parameter. At a level it is accumulated in f64. */
export function sum(x: number, to: ReduceTo = "param", position?: string): number {
  return reduce("reduce.sum", x, to, position);
}

/** The largest value, by default over all elements of the parameter. */
export function maximum(x: number, to: ReduceTo = "param", position?: string): number {
  return reduce("reduce.max", x, to, position);
}

/** The mean, by default over all elements of the parameter. */
export function mean(
  x: number,
  to: "param" | typeof slab | typeof rows | typeof cols = "param",
  position?: string,
): number {
  const value = traced(x, "mean");
  const { tracer } = value;
  const input = (op: "numel" | "size", axis?: Axis) =>
    tracer.input(op, { dtype: "f64", extent: "param" }, axis) as unknown as number;
  const { extent } = tracer.typeOf(value);
  const kept = axesOf(to);
  const count =
    extent === ELEMENT && to === "param"
      ? input("numel")
      : axesOf(extent)
          .filter((axis) => !kept.includes(axis))
          .map((axis) => input("size", axis))
          .reduce((a, b) => mul(a, b, position), 1);
  return div(sum(x, to, position), count, position);
}

/** The Euclidean norm, by default of the whole parameter. */
export function norm(x: number, to: ReduceTo = "param", position?: string): number {
  return sqrt(sum(mul(x, x, position), to, position), position);
}

function reduce(op: "reduce.sum" | "reduce.max", x: number, to: ReduceTo, position?: string): number {
  const value = traced(x, op);
  return value.tracer.reduce(op, value, to as Extent, position) as unknown as number;
}

function traced(x: unknown, what: string): Traced {
  if (isTraced(x)) return x;
  throw new StepjitError(
    "traced-value",
    `${what} needs a traced value (param, grad, state …), got ${String(x)}`,
  );
}

/** @internal Guards `if`, `while`, `for` and `switch` in a marked function: a traced value has no truth while it is traced. */
export function condition<T>(value: T, position?: string): T {
  if (!isTraced(value)) return value;
  throw new StepjitError(
    "traced-value",
    `${position ? `${position}: ` : ""}the step cannot branch on a traced value (${value.tracer.describe(value)}): ` +
      "write `mask ? a : b`, which computes both and chooses element by element, or branch on a flag.",
  );
}

let innermost: Tracer | undefined;

/** @internal Evaluates a call so that ops recorded inside it, which carry no position of their own, are found at this one. */
export function within<T>(position: string, call: () => T): T {
  const { calls } = innermost ?? {};
  if (!calls) return call();
  calls.push(position);
  try {
    return call();
  } finally {
    calls.pop();
  }
}

/** @internal Runs a trace: `within` needs to know whose positions it keeps. */
export function tracing<T>(tracer: Tracer, run: () => T): T {
  const outer = innermost;
  innermost = tracer;
  try {
    return run();
  } finally {
    innermost = outer;
  }
}

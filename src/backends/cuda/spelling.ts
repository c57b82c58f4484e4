/**
 * How each op of the IR is written in CUDA C++, over elements and above them. Operands are names. In default numerics each op is rounded
 * once: texts are compiled without contraction, with correctly rounded division and square root, and what C's functions give in f32 is
 * computed in f64 instead, as every backend does. `fast` numerics take the hardware's approximations for f32.
 */
import type { Op } from "../../ir/ops.ts";
import type { FloatType } from "../../ir/type.ts";
import type { Numerics } from "../backend.ts";
import { fillIn } from "../common/text.ts";

const SPELLING: Partial<Record<Op, string>> = {
  add: "a + b",
  sub: "a - b",
  mul: "a * b",
  div: "a / b",
  pow: "power(a, b)",
  min: "min_of(a, b)",
  max: "max_of(a, b)",
  neg: "-a",
  abs: "fabs(a)",
  sign: "sign_of(a)",
  sqrt: "sqrt(a)",
  exp: "exp(a)",
  expm1: "expm1(a)",
  log: "log(a)",
  log1p: "log1p(a)",
  floor: "floor(a)",
  ceil: "ceil(a)",
  fround: "(double)(float)a",

  less: "a < b",
  lessEqual: "a <= b",
  greater: "a > b",
  greaterEqual: "a >= b",
  equal: "a == b",
  notEqual: "a != b",
  finite: "a - a == 0.0", // NaN and infinities leave NaN

  and: "a && b",
  or: "a || b",
  not: "!a",
  select: "a ? b : c",
};

/** Of f32 operands. */
const SINGLE: Partial<Record<Op, string>> = {
  pow: "(float)power((double)a, (double)b)",
  abs: "fabsf(a)",
  sqrt: "sqrtf(a)",
  exp: "(float)exp((double)a)",
  expm1: "(float)expm1((double)a)",
  log: "(float)log((double)a)",
  log1p: "(float)log1p((double)a)",
  floor: "floorf(a)",
  ceil: "ceilf(a)",
  fround: "a",
  finite: "a - a == 0.0f",
};

/** Of f32 operands, where an approximation will do. */
const FAST: Partial<Record<Op, string>> = {
  div: "__fdividef(a, b)",
  sqrt: "root(a)",
  pow: "powf(a, b)",
  exp: "expf(a)",
  expm1: "expm1f(a)",
  log: "logf(a)",
  log1p: "log1pf(a)",
};

/** One op on operands that are names; undefined where there is no such op. */
export function spell(
  op: Op,
  operands: readonly string[],
  dtype: FloatType,
  numerics: Numerics = "default",
): string | undefined {
  const [a = "", b = "", c = ""] = operands;
  const single = { ...SINGLE, ...(numerics === "fast" && FAST) };
  const text = (dtype === "f32" ? single[op] : undefined) ?? SPELLING[op];
  return text && fillIn(text, { a, b, c });
}

/** A number, rounded to the dtype and printed as short as it can be. */
export function literal(number: number, dtype: FloatType): string {
  if (dtype === "f64")
    return Number.isFinite(number) ? withPoint(shortest(number)) : `__longlong_as_double(${bits64(number)})`;
  const rounded = Math.fround(number);
  if (!Number.isFinite(rounded)) return `__uint_as_float(${bits32(rounded)})`;
  for (let digits = 1; ; digits++) {
    const text = Number(rounded.toPrecision(digits));
    if (Math.fround(text) === rounded) return `${withPoint(shortest(Object.is(rounded, -0) ? -0 : text))}f`;
  }
}

function shortest(number: number): string {
  return Object.is(number, -0) ? "-0" : String(number);
}

function withPoint(text: string): string {
  return /[.e]/.test(text) ? text : `${text}.0`;
}

function bits32(number: number): string {
  const [bits = 0] = new Uint32Array(Float32Array.of(number).buffer);
  return `0x${bits.toString(16)}u`;
}

function bits64(number: number): string {
  const [bits = 0n] = new BigUint64Array(Float64Array.of(number).buffer);
  return `0x${bits.toString(16)}ll`;
}

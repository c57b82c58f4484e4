/**
 * How each op of the IR is written in WGSL, over elements and above them. Operands are names.
 *
 * WGSL lets a compiler assume that no number is NaN or infinite. What the IR says of them is therefore asked of their bits, in
 * functions of our own (helpers.ts); arithmetic and ordered comparisons do the right thing on every driver.
 */
import type { Op } from "../../ir/ops.ts";
import { fillIn } from "../common/text.ts";
import { OF_FOUR } from "./helpers.ts";

const SPELLING: Partial<Record<Op, string>> = {
  add: "a + b",
  sub: "a - b",
  mul: "a * b",
  div: "a / b",
  pow: "power(a, b)",
  min: "min_of(a, b)",
  max: "max_of(a, b)",
  neg: "-a",
  abs: "abs(a)",
  sign: "sign_of(a)",
  sqrt: "sqrt(a)",
  exp: "exp_of(a)",
  expm1: "expm1(a)",
  log: "log_of(a)",
  log1p: "log1p(a)",
  floor: "floor(a)",
  ceil: "ceil(a)",
  fround: "a",

  less: "a < b",
  lessEqual: "a <= b",
  greater: "a > b",
  greaterEqual: "a >= b",
  equal: "a == b",
  notEqual: "!(a == b)", // true for NaN, which != is not everywhere,
  finite: "is_finite(a)",

  and: "a && b",
  or: "a || b",
  not: "!a",
  select: "select(c, b, a)",
};

/** A number compared with itself: is it NaN? A compiler that assumes none would fold the comparison. */
const WITH_ITSELF: Partial<Record<Op, string>> = { equal: "!is_nan(a)", notEqual: "is_nan(a)" };

/** Masks of several elements. */
const OF_MASKS: Partial<Record<Op, string>> = { and: "a & b", or: "a | b" };

/** One op on operands that are names; undefined where there is no such op in WGSL. `wide`: they hold four elements each. */
export function spell(op: Op, operands: readonly string[], wide = false): string | undefined {
  const [a = "", b = "", c = ""] = operands;
  const text = (a === b ? WITH_ITSELF[op] : undefined) ?? (wide ? OF_MASKS[op] : undefined) ?? SPELLING[op];
  return text && fillIn(text, { ...(wide && OF_FOUR), a, b, c });
}

/** WGSL takes no literal beyond it, not even one that rounds to it. */
const LARGEST = 3.4028234663852886e38;

/** A number as f32, rounded once and printed as short as it can be. */
export function literal(number: number): string {
  const rounded = Math.fround(number);
  if (!Number.isFinite(rounded)) return `from_bits(${hexBits(rounded)})`; // a constant may be neither NaN nor infinite
  for (let digits = 1; ; digits++) {
    const text = rounded.toPrecision(digits);
    if (Math.fround(Number(text)) !== rounded || Math.abs(Number(text)) > LARGEST) continue;
    const short = String(Number(text));
    const signed = Object.is(rounded, -0) ? "-0" : short;
    return /[.e]/.test(signed) ? `${signed}f` : `${signed}.0`;
  }
}

function hexBits(number: number): string {
  const [bits = 0] = new Uint32Array(Float32Array.of(number).buffer);
  return `0x${bits.toString(16).padStart(8, "0")}u`;
}

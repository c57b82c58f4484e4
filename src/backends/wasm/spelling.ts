/**
 * How each op of the IR is written in WebAssembly. One spelling serves whole vectors and the odd elements at a tensor's end:
 * those run through the same vector instructions with one lane loaded and one lane stored, so they have the same bits.
 */
import type { Op } from "../../ir/ops.ts";
import type { FloatType } from "../../ir/type.ts";
import { fillIn } from "../common/text.ts";

/** How a vector of elements is spelled. */
export interface Lanes {
  readonly vector: string;
  readonly scalar: string;
  readonly count: number;
  /** log2 of an element's bytes. */
  readonly shift: number;
  readonly loadSplat: string;
  readonly loadOne: string;
  readonly storeOne: string;
  /** All bits set in lane 0, none elsewhere. */
  readonly firstLane: string;
}

export const LANES: Record<FloatType, Lanes> = {
  f32: {
    vector: "f32x4",
    scalar: "f32",
    count: 4,
    shift: 2,
    loadSplat: "v128.load32_splat",
    loadOne: "v128.load32_zero",
    storeOne: "v128.store32_lane",
    firstLane: "(v128.const i32x4 -1 0 0 0)",
  },
  f64: {
    vector: "f64x2",
    scalar: "f64",
    count: 2,
    shift: 3,
    loadSplat: "v128.load64_splat",
    loadOne: "v128.load64_zero",
    storeOne: "v128.store64_lane",
    firstLane: "(v128.const i64x2 -1 0)",
  },
};

/** Operands are `a b c`, `V` is the vector type, `S` its scalar. Masks are lanes of all ones or all zeros. */
const SPELLING: Partial<Record<Op, string>> = {
  add: "(V.add a b)",
  sub: "(V.sub a b)",
  mul: "(V.mul a b)",
  div: "(V.div a b)",
  min: "(V.min a b)",
  max: "(V.max a b)",
  neg: "(V.neg a)",
  abs: "(V.abs a)",
  sqrt: "(V.sqrt a)",
  floor: "(V.floor a)",
  ceil: "(V.ceil a)",
  // One with the operand's sign where there is a magnitude; zeros and NaN stay what they are.
  sign: "(v128.bitselect (v128.bitselect a (V.splat (S.const 1)) (V.splat (S.const -0))) a (V.gt (V.abs a) (V.splat (S.const 0))))",

  less: "(V.lt a b)",
  lessEqual: "(V.le a b)",
  greater: "(V.gt a b)",
  greaterEqual: "(V.ge a b)",
  equal: "(V.eq a b)",
  notEqual: "(V.ne a b)",
  finite: "(V.lt (V.abs a) (V.splat (S.const inf)))", // false for NaN

  and: "(v128.and a b)",
  or: "(v128.or a b)",
  not: "(v128.not a)",
  select: "(v128.bitselect b c a)",

  pow: "(call $pow a b)",
  exp: "(call $exp a)",
  expm1: "(call $expm1 a)",
  log: "(call $log a)",
  log1p: "(call $log1p a)",
  fround: "(call $fround a)",
};

/** One element-wise op on spelled operands; undefined where there is no such op over elements. */
export function spell(op: Op, dtype: FloatType, operands: readonly string[]): string | undefined {
  const { vector, scalar } = LANES[dtype];
  const [a = "", b = "", c = ""] = operands;
  const text = SPELLING[op];
  return text && fillIn(text, { V: vector, S: scalar, a, b, c });
}

/** Ops without an instruction: JavaScript's Math does them, and how many operands it takes. */
export const MATH_CALLS: Partial<Record<Op, number>> = {
  pow: 2,
  exp: 1,
  expm1: 1,
  log: 1,
  log1p: 1,
  fround: 1,
};

/** The import and the helper function of one such op: each lane goes out to Math in f64 and comes back rounded once. Slow. */
export function mathImport(op: Op): string {
  return `(import "Math" "${op}" (func $Math.${op} (param${" f64".repeat(MATH_CALLS[op] as number)}) (result f64)))`;
}

export function mathHelper(op: Op, dtype: FloatType): string[] {
  const { vector, count } = LANES[dtype];
  const operands = ["$a", "$b"].slice(0, MATH_CALLS[op]);
  const lane = (operand: string, i: number) => {
    const value = `(${vector}.extract_lane ${i} (local.get ${operand}))`;
    return dtype === "f32" ? `(f64.promote_f32 ${value})` : value;
  };
  const replace = Array.from({ length: count }, (_, i) => {
    const call = `(call $Math.${op} ${operands.map((operand) => lane(operand, i)).join(" ")})`;
    const value = dtype === "f32" ? `(f32.demote_f64 ${call})` : call;
    return `  (local.set $r (${vector}.replace_lane ${i} (local.get $r) ${value}))`;
  });
  const params = operands.map((operand) => ` (param ${operand} v128)`).join("");
  return [
    `;; No SIMD instruction for ${op}: lane by lane through JavaScript's Math, which is slow.`,
    `(func $${op}${params} (result v128)`,
    "  (local $r v128)",
    ...replace,
    "  (local.get $r))",
  ];
}

/**
 * Bounds: `min` and `max` with a number that all elements share. The instructions that treat NaN and the sign of zero as the IR does
 * take nine x86 instructions; with a bound, one and a correction that is known before the loop are enough (25 % of an Adafactor step).
 *
 *     %5 = max %4 %3   (%3 is shared)      ->      (f32x4.add (f32x4.pmax (local.get $v4) (local.get $v3)) (local.get $v3.max))
 *
 * pmax(a, b) is b where a < b, else a: right but for b NaN, and for a = -0 with b = +0. Adding the bound itself where it is NaN or a
 * zero, and -0 elsewhere (which changes nothing), mends both. For pmin the wrong zero is +0 with b = -0: there the bits are joined.
 */
import type { Func, ValueId } from "../../ir/module.ts";
import type { Op } from "../../ir/ops.ts";
import type { FloatType } from "../../ir/type.ts";
import { fillIn } from "../common/text.ts";
import { splatConstant } from "./reductions.ts";
import { LANES } from "./spelling.ts";

/** `x` the element, `b` the bound, `e` its correction. */
const BOUNDS: Partial<Record<Op, { readonly text: string; readonly neutral: string }>> = {
  max: { text: "(V.add (V.pmax x b) e)", neutral: "-0" },
  min: { text: "(v128.or (V.pmin x b) e)", neutral: "0" },
};

export interface Bound {
  readonly element: ValueId;
  readonly bound: ValueId;
}

/** By the number of the `min` or `max`. */
export function findBounds(kernel: Func, isUniform: (id: ValueId) => boolean): Map<ValueId, Bound> {
  const found = new Map<ValueId, Bound>();
  kernel.values.forEach(({ op, args }, id) => {
    const [a, b] = args as [ValueId, ValueId];
    if (!(op in BOUNDS) || isUniform(a) === isUniform(b)) return;
    found.set(id, isUniform(b) ? { element: a, bound: b } : { element: b, bound: a });
  });
  return found;
}

/** The local that holds a bound's correction. */
export function correctionOf(bound: string, op: Op): string {
  return `${bound}.${op}`;
}

export function spellBound(op: Op, dtype: FloatType, element: string, bound: string): string {
  return fillIn(BOUNDS[op]?.text ?? "", {
    V: LANES[dtype].vector,
    x: `(local.get ${element})`,
    b: `(local.get ${bound})`,
    e: `(local.get ${correctionOf(bound, op)})`,
  });
}

/** Sets the correction, once the bound is there. */
export function setCorrection(op: Op, dtype: FloatType, bound: string): string {
  const { vector } = LANES[dtype];
  const splat = (number = "0") => splatConstant(dtype, number);
  const b = `(local.get ${bound})`;
  const isPlain = `(v128.or (${vector}.lt ${b} ${splat()}) (${vector}.gt ${b} ${splat()}))`;
  return `(local.set ${correctionOf(bound, op)} (v128.bitselect ${splat(BOUNDS[op]?.neutral)} ${b} ${isPlain}))`;
}

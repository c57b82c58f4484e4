/**
 * Reductions over one chunk. Sums of f32 are kept in f64: the low and the high half of a vector go into one accumulator each,
 * and their lanes are combined at the end, always in the same order. More accumulators gain nothing: on x86 it is the two
 * conversions a vector that take the time, not the additions waiting for each other.
 */
import { StepjitError } from "../../error.ts";
import type { Op } from "../../ir/ops.ts";
import type { FloatType } from "../../ir/type.ts";
import { LANES } from "./spelling.ts";

interface Reduction {
  /** The accumulators' lanes. */
  readonly lanes: FloatType;
  readonly identity: string;
  /** Each accumulator, and its next value from itself `a` and the operand `x`. */
  readonly accumulators: Readonly<Record<string, string>>;
  /** Combines two f64. */
  readonly combine: string;
}

const HIGH_HALF_FIRST = "8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7";

const REDUCTIONS: Partial<Record<Op, Readonly<Record<FloatType, Reduction>>>> = {
  "reduce.sum": {
    f32: {
      lanes: "f64",
      identity: "0",
      accumulators: {
        low: "(f64x2.add a (f64x2.promote_low_f32x4 x))",
        high: `(f64x2.add a (f64x2.promote_low_f32x4 (i8x16.shuffle ${HIGH_HALF_FIRST} x x)))`,
      },
      combine: "f64.add",
    },
    f64: { lanes: "f64", identity: "0", accumulators: { sum: "(f64x2.add a x)" }, combine: "f64.add" },
  },
  "reduce.max": {
    f32: { lanes: "f32", identity: "-inf", accumulators: { max: "(f32x4.max a x)" }, combine: "f64.max" },
    f64: { lanes: "f64", identity: "-inf", accumulators: { max: "(f64x2.max a x)" }, combine: "f64.max" },
  },
};

/** One reduction of a kernel; `name` is the stem of its accumulators' locals. */
export interface Accumulation {
  readonly op: Op;
  readonly dtype: FloatType;
  readonly name: string;
}

function reductionOf({ op, dtype }: Accumulation): Reduction {
  const reduction = REDUCTIONS[op]?.[dtype];
  if (!reduction) throw new StepjitError("unsupported", `the wasm backend has no ${op} of ${dtype} elements`);
  return reduction;
}

/** One local for each accumulator, each a v128: `$v8.low`. */
export function accumulatorLocals(accumulation: Accumulation): string[] {
  return Object.keys(reductionOf(accumulation).accumulators).map((part) => `${accumulation.name}.${part}`);
}

export function startReduction(accumulation: Accumulation): string[] {
  const { identity, lanes } = reductionOf(accumulation);
  const start = splatConstant(lanes, identity);
  return accumulatorLocals(accumulation).map((local) => `(local.set ${local} ${start})`);
}

/** Takes in a vector; of one odd element only the first lane, the others becoming the identity. */
export function updateReduction(accumulation: Accumulation, operand: string, whole: boolean): string[] {
  const { accumulators, identity } = reductionOf(accumulation);
  const { dtype } = accumulation;
  const others = splatConstant(dtype, identity);
  const x = whole ? operand : `(v128.bitselect ${operand} ${others} ${LANES[dtype].firstLane})`;
  return accumulatorLocals(accumulation).map((local, i) => {
    const next = (Object.values(accumulators)[i] as string).replace(/\b[ax]\b/g, (word) =>
      word === "a" ? `(local.get ${local})` : x,
    );
    return `(local.set ${local} ${next})`;
  });
}

/** One f64 out of all lanes of all accumulators. */
export function finishReduction(accumulation: Accumulation): string {
  const { lanes, combine } = reductionOf(accumulation);
  const { vector, count } = LANES[lanes];
  return accumulatorLocals(accumulation)
    .flatMap((local) =>
      Array.from({ length: count }, (_, i) => {
        const lane = `(${vector}.extract_lane ${i} (local.get ${local}))`;
        return lanes === "f32" ? `(f64.promote_f32 ${lane})` : lane;
      }),
    )
    .reduce((left, right) => `(${combine} ${left} ${right})`);
}

export function splatConstant(dtype: FloatType, number: string): string {
  const { vector, scalar } = LANES[dtype];
  return `(${vector}.splat (${scalar}.const ${number}))`;
}

/**
 * Reductions over one chunk. Sums of f32 are kept in f64: the low and the high half of a vector go into one accumulator each,
 * and their lanes are combined at the end, always in the same order. More accumulators gain nothing: on x86 it is the two
 * conversions a vector that take the time, not the additions waiting for each other; reductions of one value share them.
 */
import { StepjitError } from "../../error.ts";
import type { Op } from "../../ir/ops.ts";
import type { FloatType } from "../../ir/type.ts";
import type { AxisTotal } from "../backend.ts";
import { fillIn } from "../common/text.ts";
import { LANES } from "./spelling.ts";

interface Reduction {
  /** The accumulators' lanes. */
  readonly lanes: FloatType;
  /** Each accumulator, and its next value from itself `a` and the operand `x`, or its halves as f64, `low` and `high`. */
  readonly accumulators: Readonly<Record<string, string>>;
}

/** What a reduction starts from, and how it combines two f64, or two vectors of them. */
interface Combine {
  readonly identity: string;
  readonly scalar: string;
  readonly vector: string;
}

export const COMBINE: Readonly<Record<AxisTotal["op"], Combine>> = {
  "reduce.sum": { identity: "0", scalar: "f64.add", vector: "f64x2.add" },
  "reduce.max": { identity: "-inf", scalar: "f64.max", vector: "f64x2.max" },
};

const HIGH_HALF_FIRST = "8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7";

const REDUCTIONS: Partial<Record<Op, Readonly<Record<FloatType, Reduction>>>> = {
  "reduce.sum": {
    f32: { lanes: "f64", accumulators: { low: "(f64x2.add a low)", high: "(f64x2.add a high)" } },
    f64: { lanes: "f64", accumulators: { sum: "(f64x2.add a x)" } },
  },
  "reduce.max": {
    f32: { lanes: "f32", accumulators: { max: "(f32x4.max a x)" } },
    f64: { lanes: "f64", accumulators: { max: "(f64x2.max a x)" } },
  },
};

/** One reduction of a kernel; `name` is the stem of its accumulators' locals. */
export interface Accumulation {
  readonly op: Op;
  readonly dtype: FloatType;
  readonly name: string;
}

function reductionOf({ op, dtype }: Accumulation): Reduction & Combine {
  const reduction = REDUCTIONS[op]?.[dtype];
  if (!reduction) throw new StepjitError("unsupported", `the wasm backend has no ${op} of ${dtype} elements`);
  return { ...reduction, ...COMBINE[op as AxisTotal["op"]] };
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

/** Takes in a vector, the local `operand`; of one odd element only the first lane, the others becoming the identity. */
export function updateReduction(accumulation: Accumulation, operand: string, whole: boolean): string[] {
  const { accumulators, identity } = reductionOf(accumulation);
  const { dtype } = accumulation;
  const [low, high] = halvesOf(operand);
  const words = {
    x: whole ? `(local.get ${operand})` : firstOnly(dtype, operand, identity),
    low: `(local.get ${low})`,
    high: `(local.get ${high})`,
  };
  return accumulatorLocals(accumulation).map((local, i) => {
    const next = Object.values(accumulators)[i] as string;
    return `(local.set ${local} ${fillIn(next, { ...words, a: `(local.get ${local})` })})`;
  });
}

function firstOnly(dtype: FloatType, operand: string, other: string): string {
  return `(v128.bitselect (local.get ${operand}) ${splatConstant(dtype, other)} ${LANES[dtype].firstLane})`;
}

/** The locals of a value's halves as f64; nothing else is called like this. */
export function halvesOf(operand: string): [low: string, high: string] {
  return [`${operand}.low`, `${operand}.high`];
}

/** Sets them, for f32; of one odd element the other lanes are 0, which is what sums start from. */
export function splitInHalves(operand: string, whole: boolean): string[] {
  const [low, high] = halvesOf(operand);
  const x = whole ? `(local.get ${operand})` : firstOnly("f32", operand, "0");
  return [
    `(local.set ${low} (f64x2.promote_low_f32x4 ${x}))`,
    `(local.set ${high} (f64x2.promote_low_f32x4 (i8x16.shuffle ${HIGH_HALF_FIRST} ${x} ${x})))`,
  ];
}

/** Whether a reduction works on the halves. */
export function takesHalves({ op, dtype }: Pick<Accumulation, "op" | "dtype">, inMemory: boolean): boolean {
  return dtype === "f32" && (inMemory || op === "reduce.sum");
}

/** One f64 out of all lanes of all accumulators. */
export function finishReduction(accumulation: Accumulation): string {
  const { lanes, scalar } = reductionOf(accumulation);
  const { vector, count } = LANES[lanes];
  return accumulatorLocals(accumulation)
    .flatMap((local) =>
      Array.from({ length: count }, (_, i) => {
        const lane = `(${vector}.extract_lane ${i} (local.get ${local}))`;
        return lanes === "f32" ? `(f64.promote_f32 ${lane})` : lane;
      }),
    )
    .reduce((left, right) => `(${scalar} ${left} ${right})`);
}

export function splatConstant(dtype: FloatType, number: string): string {
  const { vector, scalar } = LANES[dtype];
  return `(${vector}.splat (${scalar}.const ${number}))`;
}

/** One optimizer on one set of shapes with so many threads: its step, and the memory floor of what that step has to move. */
import type { Explanation, StateDict } from "stepjit";
import { makeFloor, type Stream } from "./contenders/floor.ts";
import { makeStepjit, type Stepjit } from "./contenders/stepjit.ts";
import { type Effort, interleaved, QUICK, THOROUGH, type Timing } from "./measure.ts";
import { lackOfMemory } from "./memory.ts";
import { VARIANTS, type Variant } from "./optimizers.ts";
import { type SetName, type Shapes, shapesOf } from "./problem.ts";
import { answer } from "./process.ts";

export interface OptimizerResult {
  readonly set: SetName;
  /** A variant's label. */
  readonly optimizer: string;
  readonly threads: number;
  /** Absent where it was left out, and then `reason` says why. */
  readonly measured?: Measured;
  readonly reason?: string;
}

export interface Measured {
  readonly launches: number;
  readonly bytesMoved: number;
  readonly bytesIdeal: number;
  /** What more than one kernel of a step reads or writes: "grad × 2". */
  readonly again: readonly string[];
  /** State over elements; numbers that a parameter has one of are not counted. */
  readonly stateBytes: number;
  readonly step: Timing;
  readonly floor: Timing;
}

/** Less than elsewhere, since there are so many; steps this long run V8's best code after a few. */
const EFFORTS: Readonly<Record<string, Effort>> = {
  thorough: { ...THOROUGH, warmUp: THOROUGH.warmUp / 4, timed: THOROUGH.timed / 2, fewestTurns: 7 },
  quick: QUICK,
};

/** p, g and, at most, four tensors of state, for the step and for the floor. */
const BYTES_HELD_PER_PARAMETER = 48;

const [set, optimizer, threads, effort] = process.argv.slice(2) as [SetName, string, string, string];
const variant = VARIANTS.find(({ label }) => label === optimizer) as Variant;
const shapes = shapesOf(set);
const reason = lackOfMemory(BYTES_HELD_PER_PARAMETER * shapes.parameters);
const outcome = reason === undefined ? { measured: await measure() } : { reason };
const result: OptimizerResult = { set, optimizer, threads: Number(threads), ...outcome };
answer(result);

async function measure(): Promise<Measured> {
  const stepjit = makeStepjit(shapes.tensors, variant.make, Number(threads));
  stepjit.step();
  const { stateBytes, streams } = await trafficOf(stepjit, shapes);
  globalThis.gc?.(); // the state dict was a copy
  const floor = makeFloor(streams, Number(threads));
  const [step, ideal] = await interleaved([stepjit, floor], EFFORTS[effort] as Effort);
  const { launches, bytesMoved, bytesIdeal } = stepjit.compiled.stats;
  const again = movedAgain(stepjit.compiled.explain());
  for (const contender of [stepjit, floor]) contender.dispose();
  return {
    launches,
    bytesMoved,
    bytesIdeal,
    again,
    stateBytes,
    step: step as Timing,
    floor: ideal as Timing,
  };
}

/** Each tensor that the step's kernels read or write. Throws where these are not the bytes that the step calls ideal. */
async function trafficOf({ optimizer, compiled }: Stepjit, { parameters }: Shapes) {
  const state = slotBytes(await optimizer.stateDict());
  const touched = new Set(compiled.explain().kernels.flatMap(({ tensors }) => tensors));
  const held = Object.entries({ param: 4 * parameters, grad: 4 * parameters, ...state });
  const streams = held
    .map(([name, bytes]): Stream => ({ bytes, reads: touched.has(name), writes: touched.has(`${name}'`) }))
    .filter(({ reads, writes }) => reads || writes);
  const bytes = sum(streams.map(({ bytes, reads, writes }) => bytes * (Number(reads) + Number(writes))));
  const { bytesIdeal } = compiled.stats;
  if (bytes !== bytesIdeal)
    throw new Error(`the floor moves ${bytes} bytes, the step's ideal is ${bytesIdeal}`);
  return { stateBytes: sum(Object.values(state)), streams };
}

/** Bytes by slot, named as the step names its tensors. */
function slotBytes({ state }: StateDict): Record<string, number> {
  const bytes: Record<string, number> = {};
  for (const saved of Object.values(state))
    for (const [slot, value] of Object.entries(saved))
      if (value !== null && typeof value === "object")
        bytes[`state.${slot}`] = (bytes[`state.${slot}`] ?? 0) + value.data.byteLength;
  return bytes;
}

/** Kernels of one class run one after the other; where classes differ, the most counts. */
function movedAgain({ kernels }: Explanation): string[] {
  const times = new Map<string, number>();
  for (const name of new Set(kernels.map(({ name }) => name))) {
    const touched = kernels.filter((kernel) => kernel.name === name).flatMap(({ tensors }) => tensors);
    for (const tensor of new Set(touched))
      times.set(tensor, Math.max(times.get(tensor) ?? 0, touched.filter((one) => one === tensor).length));
  }
  return [...times].filter(([, count]) => count > 1).map(([tensor, count]) => `${tensor} × ${count}`);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

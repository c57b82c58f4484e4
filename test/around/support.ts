/** Optimizers in pairs: one with something around its step, one whose gradients are prepared by hand; to the bit the same. */
import { createHash } from "node:crypto";
import { AdamW, type CompileOptions, compileStep, type Optimizer, SGD, type Step } from "stepjit";
import { expect } from "vitest";
import { type TestedBackend, tensorOn } from "../backends.ts";
import { at, numbers } from "../models.ts";

export type FloatArray = Float32Array | Float64Array;

/** Two groups, both dtypes where there are two, one empty, one longer than a chunk. */
const LAYOUT = [
  [
    { name: "a", double: false, size: 7 },
    { name: "b", double: true, size: 5 },
  ],
  [
    { name: "c", double: false, size: 16_390 },
    { name: "d", double: false, size: 0 },
    { name: "e", double: true, size: 260 },
  ],
] as const;

const OPTIMIZERS = {
  AdamW: (groups: object[]) => new AdamW(groups as never, { lr: 0.1 }),
  SGD: (groups: object[]) => new SGD(groups as never, { lr: 0.1, momentum: 0.9, dampening: 0.1 }),
  plain: (groups: object[]) => new SGD(groups as never, { lr: 0.1 }),
};
export type OptimizerName = keyof typeof OPTIMIZERS;
export const OPTIMIZER_NAMES = Object.keys(OPTIMIZERS) as OptimizerName[];

export interface Scene {
  readonly on: TestedBackend;
  readonly optimizer: Optimizer;
  readonly step: Step;
  /** Takes a step, to its end. */
  take(gradients: Parameters<Step>[0]): Promise<void>;
}

export type Gradients = (FloatArray | null)[];

export function arrayOf(double: boolean, values: readonly number[]): FloatArray {
  return double ? Float64Array.from(values) : Float32Array.from(values);
}

/** The optimizers on one backend, and gradients for them. */
export class Stage {
  readonly on: TestedBackend;

  constructor(on: TestedBackend) {
    this.on = on;
  }

  /** Launches of a step: on a device, what finishes reductions there is launched too. */
  launches(onHost: number, onDevice: number): number {
    return this.on.backend.programs === "host" ? onHost : onDevice;
  }

  /** Always from the same numbers. */
  start(name: OptimizerName, options: CompileOptions = {}): Scene {
    const groups = LAYOUT.map((group, index) => ({
      params: group.map(({ name, size, double }, i) => {
        const data = arrayOf(double && this.on.doubles, numbers(size, 10 * index + i));
        return [name, tensorOn(this.on.backend, data, [size])];
      }),
      ...(index === 1 && { maximize: true }),
    }));
    return this.sceneOf(OPTIMIZERS[name](groups) as unknown as Optimizer, options);
  }

  sceneOf(optimizer: Optimizer, options: CompileOptions): Scene {
    const { backend, threads } = this.on;
    const step = compileStep(optimizer, { backend, threads, ...options });
    const take = (gradients: Parameters<Step>[0]) => {
      step(gradients);
      return step.finished();
    };
    return { on: this.on, optimizer, step, take };
  }

  /** Numbers in ±1, by seed; null for the parameters named in `missing`. */
  gradientsOf(seed: number, missing = ""): Gradients {
    return LAYOUT.flat().map(({ name, double, size }, i) =>
      missing.includes(name) ? null : arrayOf(double && this.on.doubles, numbers(size, 100 * seed + i)),
    );
  }
}

/** Element by element, each result rounded to its array's dtype. */
export function mapEach(gradients: Gradients, change: (x: number) => number): Gradients {
  return gradients.map((values) => values && (values.map(change) as FloatArray));
}

/** All there is to see from outside: parameters, state, counts. */
export async function photograph(
  { optimizer }: Pick<Scene, "optimizer">,
  develop: (data: FloatArray) => unknown = bitsOf,
) {
  const { state, param_groups } = await optimizer.stateDict();
  return {
    parameters: await Promise.all(
      optimizer.parameters.map(async ({ tensor }) => develop(await tensor.read())),
    ),
    state: Object.entries(state).map(([id, slots]) => [
      id,
      ...Object.entries(slots).map(([name, value]) => [
        name,
        typeof value === "object" && value ? { ...value, data: develop(value.data) } : value,
      ]),
    ]),
    param_groups,
  };
}

/** Quick to compare: the numbers where they are few, a hash of them where they are many. */
export function bitsOf(data: FloatArray): unknown {
  const bytes = new Uint8Array(data.length * data.BYTES_PER_ELEMENT);
  bytes.set(new Uint8Array(data.buffer, data.byteOffset, bytes.length));
  return data.length < 20 ? data.slice() : createHash("sha1").update(bytes).digest("hex");
}

/** Parameters and state have the same bits, or where a device's maths are not JavaScript's, numbers that are as close as they can be. */
export async function expectTwins(actual: Scene, expected: Scene): Promise<void> {
  const { sameMath, slack } = actual.on;
  if (sameMath) return expect(await photograph(actual)).toEqual(await photograph(expected));
  const arrays: FloatArray[][] = [];
  for (const scene of [expected, actual]) {
    const seen: FloatArray[] = [];
    arrays.push(seen);
    await photograph(scene, (data) => seen.push(data));
  }
  const [wanted, found] = arrays as [FloatArray[], FloatArray[]];
  expect(found.map(({ length }) => length)).toEqual(wanted.map(({ length }) => length));
  // Not one expect an element: there are many.
  const apart = wanted.flatMap((numbers, index) =>
    [...numbers].flatMap((number, i) => {
      const other = at(found[index] as FloatArray, i);
      const isClose = Math.abs(other - number) <= 2e-6 * slack * Math.max(1, Math.abs(number));
      return isClose ? [] : [{ array: index, i, number, other }];
    }),
  );
  expect(apart).toEqual([]);
}

/** What was compiled since there were this many events. */
export function compiledSince({ step }: Scene, events: number): string[] {
  return step.events.slice(events).map(({ kind, reason }) => `${kind}: ${reason}`);
}

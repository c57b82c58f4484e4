/** Random training runs: shapes, groups, dtypes, gradients that come and go; and how to run one on a backend or the oracle. */
import fc from "fast-check";
import { type Backend, compileStep } from "stepjit";
import type { Module } from "../../src/ir/module.ts";
import { trace } from "../../src/trace/trace.ts";
import { type OracleParameter, oracleStep } from "../oracle.ts";
import type { optimizerOf } from "./definitions.ts";

type FloatArray = Float32Array | Float64Array;

export interface Scenario {
  readonly tensors: readonly {
    readonly size: number;
    readonly double: boolean;
    readonly group: number;
    /** By step: whether it has a gradient. */
    readonly present: readonly boolean[];
  }[];
  readonly groups: readonly {
    readonly lr: number;
    readonly betas: readonly [number, number];
    readonly flipped: boolean;
  }[];
  readonly seed: number;
}

const STEPS = 3;
const SMALL = [0, 1, 3, 4, 5, 7, 8, 255, 257];
const size = fc.oneof(
  { weight: 60, arbitrary: fc.constantFrom(...SMALL) },
  { weight: 3, arbitrary: fc.constant(16 * 1024 + 1) },
  { weight: 1, arbitrary: fc.constant(65_537) },
);
const between = (min: number, max: number) => fc.double({ min, max, noNaN: true });

export const scenario: fc.Arbitrary<Scenario> = fc.record({
  tensors: fc.array(
    fc.record({
      size,
      double: fc.boolean(),
      group: fc.nat({ max: 2 }),
      present: fc.array(fc.oneof({ weight: 3, arbitrary: fc.constant(true) }, fc.constant(false)), {
        minLength: STEPS,
        maxLength: STEPS,
      }),
    }),
    { minLength: 1, maxLength: 6 },
  ),
  groups: fc.array(
    fc.record({
      lr: between(0.25, 1),
      betas: fc.tuple(between(0.25, 0.9), between(0.25, 0.9)),
      flipped: fc.boolean(),
    }),
    { minLength: 3, maxLength: 3 },
  ),
  seed: fc.nat(),
});

/** The same with float32 alone, for backends that have nothing else. */
export function singles(from: fc.Arbitrary<Scenario>): fc.Arbitrary<Scenario> {
  return from.map((run) => ({
    ...run,
    tensors: run.tensors.map((tensor) => ({ ...tensor, double: false })),
  }));
}

/** What is compared after a step, by a name that says where it is. */
export type Snapshot = Map<string, { readonly double: boolean; readonly numbers: ArrayLike<number> }>;

/** Numbers in ±1, the same for everyone who asks with the same seed. */
export function numbersFrom(seed: number, length: number, double: boolean): FloatArray {
  const numbers = double ? new Float64Array(length) : new Float32Array(length);
  let state = (seed * 2654435761 + 12345) >>> 0;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    numbers[i] = state / 2 ** 31 - 1;
  }
  return numbers;
}

const startOf = ({ seed, tensors }: Scenario, index: number) =>
  numbersFrom(seed + index, tensors[index]?.size ?? 0, tensors[index]?.double ?? false);

function gradientOf({ seed, tensors }: Scenario, index: number, step: number): FloatArray | null {
  const { size, double, present } = tensors[index] as Scenario["tensors"][number];
  return present[step] ? numbersFrom(seed + 1000 * (step + 1) + index, size, double) : null;
}

/** Groups that have members, with their numbers and parameters by index. */
function usedGroups({ groups, tensors }: Scenario) {
  return groups
    .map((group, index) => ({
      ...group,
      members: tensors.flatMap((tensor, at) => (tensor.group === index ? [at] : [])),
    }))
    .filter(({ members }) => members.length > 0);
}

/** Blocks this thread, not its workers: they start up and read their mail. */
function sleep(milliseconds: number): void {
  if (milliseconds > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

type RandomOptimizer = ReturnType<typeof optimizerOf>;

/** The run on a backend: what there is after each step. `pause`: milliseconds before each step. */
export async function runOn(
  backend: Backend,
  make: RandomOptimizer,
  scenario: Scenario,
  { threads = 1, pause = 0 } = {},
): Promise<Snapshot[]> {
  const data = scenario.tensors.map((_, index) => startOf(scenario, index));
  const groups = usedGroups(scenario);
  const order = groups.flatMap(({ members }) => members);
  const optimizer = new make(
    groups.map(({ members, ...options }) => ({
      params: members.map((index) => [`p${index}`, data[index] as FloatArray] as const),
      lr: options.lr,
      betas: options.betas,
      flipped: options.flipped,
    })),
  );
  const step = compileStep(optimizer, { backend, threads });
  const snapshots: Snapshot[] = [];
  for (let at = 0; at < STEPS; at++) {
    sleep(pause);
    step(order.map((index) => gradientOf(scenario, index, at)));
    await step.finished();
    const snapshot: Snapshot = new Map();
    for (const { name, tensor, slots, numbers, count } of optimizer.parameters) {
      const double = tensor.dtype === "float64";
      snapshot.set(name, { double, numbers: await tensor.read() });
      if (count === 0) continue;
      for (const [slot, { storage }] of slots)
        snapshot.set(`${name}.${slot}`, { double, numbers: await storage.read() });
      for (const [slot, number] of numbers) snapshot.set(`${name}.${slot}`, { double, numbers: [number] });
    }
    snapshots.push(snapshot);
  }
  step.dispose();
  optimizer.dispose();
  return snapshots;
}

/** The run on the oracle; `alter` may change the traced module first. */
export function runOnOracle(
  make: RandomOptimizer,
  scenario: Scenario,
  alter = (module: Module) => module,
): Snapshot[] {
  const groups = usedGroups(scenario);
  const parameters = groups.flatMap(({ members, flipped }, group) =>
    members.map((index) => {
      const { size, double } = scenario.tensors[index] as Scenario["tensors"][number];
      const parameter: OracleParameter = {
        className: `Random ${double ? "f64" : "f32"}${flipped ? " flipped" : ""}`,
        group,
        elements: size,
        contents: new Map<string, ArrayLike<number>>([
          ["param", startOf(scenario, index)],
          ["state.s0", new Float64Array(size)],
          ["state.s1", new Float64Array(size).fill(0.5)],
          ["state.mu", [1]],
        ]),
        active: false,
        first: false,
        count: 0,
      };
      return { index, double, parameter };
    }),
  );
  const classes = new Map(
    parameters.map(({ parameter: { className }, double }) => [
      className,
      {
        name: className,
        dtype: double ? "f64" : "f32",
        flags: { flipped: className.endsWith("flipped") },
        view: "vector",
      } as const,
    ]),
  );
  const module = alter(trace(make.definition, [...classes.values()], []));
  const hyper = {
    groups: groups.map(({ lr, betas }) => ({ lr, "betas.0": betas[0], "betas.1": betas[1] })),
  };
  return Array.from({ length: STEPS }, (_, at) => {
    for (const { index, parameter } of parameters) {
      const gradient = gradientOf(scenario, index, at);
      parameter.active = gradient !== null;
      parameter.first = parameter.active && parameter.count === 0;
      if (gradient) parameter.contents.set("grad", gradient);
    }
    oracleStep(
      module,
      parameters.map(({ parameter }) => parameter),
      hyper,
    );
    const snapshot: Snapshot = new Map();
    for (const { index, double, parameter } of parameters)
      for (const [name, numbers] of parameter.contents) {
        if (name === "grad" || (parameter.count === 0 && name !== "param")) continue;
        snapshot.set(`p${index}${name.replace("param", "").replace("state", "")}`, { double, numbers });
      }
    return snapshot;
  });
}

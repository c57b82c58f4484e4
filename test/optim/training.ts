/** Training runs of any optimizer on a small convex problem: on a backend here, on the oracle in training-oracle.ts. */
import {
  type Backend,
  compileStep,
  loadSafetensors,
  type Optimizer,
  type Scalar,
  type StepEvent,
  saveSafetensors,
  scalar,
} from "stepjit";
import {
  type AnyDefinition,
  type HyperMember,
  type HyperSpec,
  type HyperValue,
  count as STEP_COUNT,
} from "../../src/trace/definition.ts";
import { tensorOn } from "../backends.ts";
import { numbersFrom, type Snapshot } from "../properties/scenario.ts";
import type { AnyOptimizerClass } from "./subjects.ts";

type FloatArray = Float32Array | Float64Array;
type Settings = Readonly<Record<string, unknown>>;

export interface Run {
  readonly parameters: readonly { readonly shape: readonly number[]; readonly double?: boolean }[];
  /** Options of each group; parameters are dealt out over the groups in turn. */
  readonly groups: readonly Settings[];
  readonly steps: number;
  /** The objective is the loss's negative, and the optimizer is told so. */
  readonly maximize?: boolean;
  /** Whether a parameter has a gradient in a step (from 1); default: always. */
  readonly present?: (step: number, index: number) => boolean;
  /** Every number of every group is another one in every step. */
  readonly varied?: boolean;
  /** Every number of every group is a scalar, written in place. */
  readonly scalars?: boolean;
  /** After this step, another optimizer goes on from a file. */
  readonly resumeAfter?: number;
}

export interface Outcome {
  /** What there is after each step: parameters, state, step counts. */
  readonly snapshots: readonly Snapshot[];
  /** Before the first step, and after each. */
  readonly losses: readonly number[];
  /** All that happened after the first step; of an optimizer that resumes, what its own first step traced or compiled too. */
  readonly events: readonly StepEvent[];
}

/** Contents of parameters. */
type Values = readonly { readonly name: string; readonly data: FloatArray }[];

/** The run on a backend. `pause`: milliseconds before each step, for workers to start up in. */
export async function train(
  make: AnyOptimizerClass,
  run: Run,
  backend: Backend,
  { threads = 1, pause = 0 } = {},
): Promise<Outcome> {
  const options = { backend, threads };
  let trainee = new Trainee(make, run, backend);
  let step = compileStep(trainee.optimizer, options);
  let events: StepEvent[] = [];
  const snapshots: Snapshot[] = [];
  let values = await trainee.values();
  const losses = [lossOf(values)];
  for (let at = 1; at <= run.steps; at++) {
    if (pause > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pause);
    trainee.setNumbers(at);
    step(gradientsAt(run, at, values));
    await step.finished();
    [values] = await Promise.all([
      trainee.values(),
      snapshotOf(trainee.optimizer).then((one) => snapshots.push(one)),
    ]);
    losses.push(lossOf(values));
    if (at !== run.resumeAfter) continue;
    events = step.events.filter((event) => event.step > 0);
    step.dispose();
    trainee = await trainee.resumed();
    step = compileStep(trainee.optimizer, options);
  }
  const resumed = run.resumeAfter !== undefined;
  events.push(...step.events.filter((event) => event.step > 0 || (resumed && event.kind !== "plan")));
  step.dispose();
  trainee.dispose();
  return { snapshots, losses, events };
}

/** An optimizer bound to the problem's parameters in a backend's memory, and what each step is given. */
export class Trainee {
  readonly optimizer: Optimizer;
  readonly #make: AnyOptimizerClass;
  readonly #run: Run;
  readonly #backend: Backend;
  readonly #scalars: readonly (readonly [string, readonly Scalar[]])[][];

  constructor(make: AnyOptimizerClass, run: Run, backend: Backend) {
    this.#make = make;
    this.#run = run;
    this.#backend = backend;
    const { definition } = make;
    const tensors = run.parameters.map(({ shape, double = false }, index) => {
      const size = shape.reduce((product, axis) => product * axis, 1);
      return [`p${index}`, tensorOn(backend, startOf(index, size, double), shape)] as const;
    });
    this.#scalars = run.groups.map((_, group) =>
      Object.entries(settingsAt(definition, run, group, 1)).map(([name, value]) => [
        name,
        membersOf(value).map((number) => scalar(number ?? Number.NaN)),
      ]),
    );
    const groups = run.groups.map((options, group) => ({
      ...(definition.flags && "maximize" in definition.flags && { maximize: run.maximize ?? false }),
      ...options,
      ...(run.scalars ? this.#scalarSettings(group) : settingsAt(definition, run, group, 1)),
      params: tensors.filter((_, index) => index % run.groups.length === group),
    }));
    this.optimizer = new make(groups);
  }

  setNumbers(step: number): void {
    const { varied, scalars } = this.#run;
    if (!varied) return;
    for (const group of this.optimizer.paramGroups) {
      const settings = settingsAt(this.#make.definition, this.#run, group.index, step);
      if (!scalars) group.assign(settings);
      else
        for (const [name, members] of this.#scalars[group.index] ?? [])
          membersOf(settings[name]).forEach((number, i) => {
            (members[i] as Scalar).value = number ?? Number.NaN;
          });
    }
  }

  values(): Promise<Values> {
    return Promise.all(
      this.optimizer.parameters.map(async ({ name, tensor }) => ({ name, data: await tensor.read() })),
    );
  }

  /** Another optimizer over copies of the parameters, with this one's state from a file; this one is disposed. */
  async resumed(): Promise<Trainee> {
    const file = await saveSafetensors(this.optimizer);
    const other = new Trainee(this.#make, this.#run, this.#backend);
    for (const [index, { data }] of (await this.values()).entries())
      other.optimizer.parameters[index]?.tensor.write(data);
    loadSafetensors(other.optimizer, file);
    this.dispose();
    return other;
  }

  dispose(): void {
    for (const { tensor } of this.optimizer.parameters) tensor.dispose();
    this.optimizer.dispose();
  }

  #scalarSettings(group: number): Settings {
    const { hyper } = this.#make.definition;
    return Object.fromEntries(
      (this.#scalars[group] ?? []).map(([name, members]) => [
        name,
        Array.isArray(hyper[name]?.default) ? members : members[0],
      ]),
    );
  }
}

/** The hyperparameters of a group in a step (from 1). */
export function settingsAt(
  { hyper }: AnyDefinition,
  { groups, varied = false }: Run,
  group: number,
  step: number,
): Record<string, HyperValue> {
  return Object.fromEntries(
    Object.entries(hyper).map(([name, spec]) => {
      const value = (groups[group]?.[name] ?? spec.default) as HyperValue;
      const members = membersOf(value).map((number, i) =>
        varied ? variation(number, spec, step + group + i) : number,
      );
      return [name, (Array.isArray(value) ? members : members[0]) as HyperValue];
    }),
  );
}

/** A little less, or as it was, but nothing that is not allowed. */
function variation(number: HyperMember, spec: HyperSpec<HyperValue>, place: number): HyperMember {
  if (number === null) return null;
  const { min = -Infinity, max = Infinity } = spec;
  return Math.min(max, Math.max(min, number * (1 - 0.02 * (place % 3))));
}

export function membersOf(value: unknown): readonly HyperMember[] {
  return [value].flat() as HyperMember[];
}

/** Where a parameter starts, where it is to go, and how steep the way is: the loss sums up steepness · (x - goal)² / 2. */
const startOf = (index: number, size: number, double: boolean) => numbersFrom(index + 1, size, double);
const steepness = (element: number) => 1 + (element % 3);
const goals = new Map<string, FloatArray>();

function goalOf(name: string, size: number): FloatArray {
  const key = `${name} ${size}`;
  const goal = goals.get(key) ?? numbersFrom(101 + Number(name.slice(1)), size, true);
  goals.set(key, goal);
  return goal;
}

function lossOf(values: Values): number {
  let loss = 0;
  for (const { name, data } of values) {
    const goal = goalOf(name, data.length);
    for (let i = 0; i < data.length; i++)
      loss += (steepness(i) * ((data[i] as number) - (goal[i] as number)) ** 2) / 2;
  }
  return loss;
}

/** By name. */
function gradientsAt(run: Run, step: number, values: Values): Record<string, FloatArray | null> {
  return Object.fromEntries(
    values.map(({ name, data }) => [name, gradientAt(run, step, name, data, data instanceof Float64Array)]),
  );
}

/** The gradient of a parameter in a step (from 1), null where there is none. */
export function gradientAt(
  { present, maximize = false }: Run,
  step: number,
  name: string,
  values: ArrayLike<number>,
  double: boolean,
): FloatArray | null {
  if (present && !present(step, Number(name.slice(1)))) return null;
  const goal = goalOf(name, values.length);
  const gradient = double ? new Float64Array(values.length) : new Float32Array(values.length);
  for (let i = 0; i < values.length; i++)
    gradient[i] = (maximize ? -1 : 1) * steepness(i) * ((values[i] as number) - (goal[i] as number));
  return gradient;
}

/** Parameters, and what their optimizer keeps; all are read at once. */
async function snapshotOf({ definition, parameters }: Optimizer): Promise<Snapshot> {
  const snapshot: Snapshot = new Map();
  const read = parameters.flatMap(({ name, tensor, slots, numbers, count }) => {
    const double = tensor.dtype === "float64";
    const put = (place: string, values: ArrayLike<number>) =>
      snapshot.set(place, { double, numbers: values });
    if (definition.state?.step === STEP_COUNT) put(`${name}.step`, [count]);
    for (const [slot, number] of numbers) put(`${name}.${slot}`, [number]);
    const live = [...slots].filter(([, slot]) => slot.live);
    return [
      tensor.read().then((data) => put(name, data)),
      ...live.map(([slot, { storage }]) => storage.read().then((data) => put(`${name}.${slot}`, data))),
    ];
  });
  await Promise.all(read);
  return snapshot;
}

/** A recorded case of torch.optim, and how it is run again; in Node and in browsers. */
import { type Backend, compileStep, type Optimizer, type Step, type Tensor, tensor } from "stepjit";
import { tensorOn } from "../tensor-on.ts";
import { type AnyOptimizerClass, OPTIMIZERS } from "./subjects.ts";

export interface GoldenCase {
  readonly name: string;
  readonly optimizer: string;
  readonly kwargs: Record<string, unknown>;
  readonly dtype: "float32" | "float64";
  readonly params: readonly { name: string; shape: number[]; init: number[] }[];
  /** By step, then by parameter; null where there is no gradient. */
  readonly grads: readonly (readonly (number[] | null)[])[];
  /** Parameter values after some steps. */
  readonly after: Record<string, Record<string, number[]>>;
  readonly groups?: readonly ({ params: string[] } & Record<string, unknown>)[];
  /** Values set on every group just before a step. */
  readonly hyper?: Record<string, Record<string, unknown>>;
  readonly state: Record<string, Record<string, { shape: number[]; data: number[] }>>;
  readonly param_groups: readonly Record<string, unknown>[];
}

export function camelCase(options: Record<string, unknown>): Record<string, unknown> {
  const rename = (name: string) => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(options).map(([name, value]) => [rename(name), value]));
}

export interface Started {
  readonly params: Readonly<Record<string, Tensor>>;
  readonly optimizer: Optimizer;
}

/** The case's parameters, in a backend's memory or in that of `tensor()`, and its optimizer, ready for step 1. */
export function startCase(golden: GoldenCase, backend?: Backend): Started {
  const params = Object.fromEntries(
    golden.params.map(({ name, shape, init }) => {
      const data = golden.dtype === "float32" ? Float32Array.from(init) : Float64Array.from(init);
      return [name, backend ? tensorOn(backend, data, shape) : tensor(data, shape)];
    }),
  );
  const pick = (names: readonly string[]) =>
    Object.fromEntries(names.map((name) => [name, params[name] as Tensor]));
  const groups = golden.groups?.map(({ params: names, ...options }) => ({
    params: pick(names),
    ...camelCase(options),
  }));
  const make = OPTIMIZERS.get(golden.optimizer) as AnyOptimizerClass;
  const optimizer = new make(groups ?? params, camelCase(golden.kwargs));
  return { params, optimizer };
}

/** The gradients of a step (from 1), by name, in the case's dtype. */
export function gradientsOf(
  golden: GoldenCase,
  step: number,
): Record<string, Float32Array | Float64Array | null> {
  const make = golden.dtype === "float32" ? Float32Array : Float64Array;
  return Object.fromEntries(
    golden.params.map(({ name }, index) => {
      const values = golden.grads[step - 1]?.[index];
      return [name, values ? make.from(values) : null];
    }),
  );
}

/** Sets what the case changes just before a step. */
export function applyHyper(golden: GoldenCase, step: number, optimizer: Optimizer): void {
  for (const group of optimizer.paramGroups) Object.assign(group, camelCase(golden.hyper?.[step] ?? {}));
}

/** The largest |a - b| / max(1, |b|). */
export function worstError(actual: ArrayLike<number>, expected: readonly number[]): number {
  return expected.reduce(
    (worst, value, i) =>
      Math.max(worst, Math.abs((actual[i] ?? Number.NaN) - value) / Math.max(1, Math.abs(value))),
    0,
  );
}

export interface Replay {
  /** How far all that is recorded was missed, by place: `weight after step 3`, `weight: exp_avg`. */
  readonly errors: Readonly<Record<string, number>>;
  readonly stats: Step["stats"];
  /** Of steps after the first. */
  readonly events: readonly Step["events"][number][];
}

/** Takes some steps of a case, by default all, and compares each with what is recorded; after the last, state too. */
export async function replay(
  golden: GoldenCase,
  backend: Backend,
  started = startCase(golden, backend),
  { from = 1, to = golden.grads.length } = {},
): Promise<Replay> {
  const { params, optimizer } = started;
  const errors: Record<string, number> = {};
  const step = compileStep(optimizer, { backend });
  for (let count = from; count <= to; count++) {
    applyHyper(golden, count, optimizer);
    step(gradientsOf(golden, count));
    await step.finished();
    for (const [name, expected] of Object.entries(golden.after[count] ?? {}))
      errors[`${name} after step ${count}`] = worstError((await params[name]?.read()) ?? [], expected);
  }
  if (to === golden.grads.length) Object.assign(errors, await stateErrors(golden, optimizer));
  const { stats, events } = step;
  const replay = { errors, stats: { ...stats }, events: events.filter((event) => event.step > 0) };
  step.dispose();
  return replay;
}

async function stateErrors(
  { state: recorded, kwargs }: GoldenCase,
  optimizer: Optimizer,
): Promise<Record<string, number>> {
  const { state } = await optimizer.stateDict();
  const errors: Record<string, number> = {};
  optimizer.parameters.forEach(({ name }, id) => {
    for (const [slot, { data }] of Object.entries(recorded[name] ?? {})) {
      const saved = state[id]?.[slot];
      if (saved === undefined && slot === "exp_avg" && (kwargs.betas as number[])?.[0] === 0) continue; // not kept at beta1 = 0
      const actual = typeof saved === "number" ? [saved] : (saved?.data ?? []);
      errors[`${name}: ${slot}`] = worstError(actual, data);
    }
  });
  return errors;
}

/** What was missed by the tolerance or more, or is no number. */
export function missed({ errors }: Pick<Replay, "errors">, tolerance: number): Record<string, number> {
  return Object.fromEntries(Object.entries(errors).filter(([, error]) => !(error < tolerance)));
}

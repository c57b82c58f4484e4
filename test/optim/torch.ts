/** The recorded cases of torch.optim and how to read them. */
import { readFileSync } from "node:fs";
import {
  Adadelta,
  Adafactor,
  Adagrad,
  Adam,
  Adamax,
  AdamW,
  ASGD,
  type Backend,
  NAdam,
  type Optimizer,
  RAdam,
  RMSprop,
  Rprop,
  SGD,
  type Tensor,
  tensor,
} from "stepjit";
import { tensorOn } from "../backends.ts";

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

const OPTIMIZERS: Readonly<Record<string, new (params: never, options: never) => Optimizer>> = {
  Adafactor,
  SGD,
  Adam,
  AdamW,
  Adamax,
  NAdam,
  RAdam,
  Adadelta,
  Adagrad,
  RMSprop,
  Rprop,
  ASGD,
};

const file = new URL("../golden/torch-2.14.1-optim.json", import.meta.url);
const all = (JSON.parse(readFileSync(file, "utf8")) as { cases: GoldenCase[] }).cases;

/** The cases of optimizers that exist here. */
export const GOLDEN_CASES = all.filter(({ optimizer }) => optimizer in OPTIMIZERS);

export function camelCase(options: Record<string, unknown>): Record<string, unknown> {
  const rename = (name: string) => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(options).map(([name, value]) => [rename(name), value]));
}

/** The case's parameters, in a backend's memory or in that of `tensor()`, and its optimizer, ready for step 1. */
export function startCase(
  golden: GoldenCase,
  backend?: Backend,
): {
  params: Record<string, Tensor>;
  optimizer: Optimizer;
} {
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
  const make = OPTIMIZERS[golden.optimizer] as NonNullable<(typeof OPTIMIZERS)[string]>;
  const optimizer = new make((groups ?? params) as never, camelCase(golden.kwargs) as never);
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

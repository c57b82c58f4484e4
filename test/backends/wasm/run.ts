/** Runs kernels the way a plan does, on tables made by hand. */
import type {
  ClassLayout,
  FloatArray,
  Numerics,
  PhaseText,
  Pipeline,
  Runner,
  Storage,
} from "../../../src/backends/backend.ts";
import type { WasmBackend } from "../../../src/backends/wasm/index.ts";
import { vectorDims } from "../../../src/ir/dims.ts";
import type { Func } from "../../../src/ir/module.ts";
import { parseFunc } from "../../../src/ir/parse.ts";
import type { DType, FloatType } from "../../../src/ir/type.ts";

export const ROLES = ["param", "grad", "state.exp_avg", "state.exp_avg_sq"];

export function layoutOf(
  dtype: FloatType,
  scalarTypes: readonly DType[] = [],
  roles: readonly string[] = ROLES,
): ClassLayout {
  return { name: `Test ${dtype}`, dtype, view: "vector", roles, written: roles, scalarTypes, totals: [] };
}

/** What tables hold besides classes, tensors, chunks and phases, for kernels that know nothing of a device. */
export const NO_DEVICE = { groups: 1, numbers: { gives: [], totals: [], records: [], hypers: [] } };

/** One kernel's text. */
export function emitText(
  backend: WasmBackend,
  kernel: Func,
  layout: ClassLayout,
  numerics: Numerics = "default",
): string {
  const { numbers } = NO_DEVICE;
  const work = {
    phase: 0,
    kernels: [{ ...kernel, name: layout.name }],
    guarded: false,
    programs: undefined,
    numbers,
  };
  return (backend.emit(work, [layout], numerics)[0] as PhaseText).text;
}

export function compileText(backend: WasmBackend, text: string, layout: ClassLayout): Pipeline {
  return backend.compile(emitText(backend, parseFunc(text), layout));
}

/** Chunks of `chunk` elements, each in a span of its own. */
export function chunksOf(
  sizes: readonly number[],
  chunk: number,
): { chunks: Uint32Array; spans: Uint32Array } {
  const rows = sizes.flatMap((elements, tensor) =>
    Array.from({ length: Math.ceil(elements / chunk) }, (_, i) => [
      tensor,
      i * chunk,
      Math.min(chunk, elements - i * chunk),
    ]),
  );
  return {
    chunks: Uint32Array.from(rows.flatMap((row, slot) => [...row, slot])),
    spans: Uint32Array.from({ length: rows.length + 1 }, (_, i) => i),
  };
}

export interface Setup {
  readonly backend: WasmBackend;
  readonly layout: ClassLayout;
  readonly sizes: readonly number[];
  readonly pipelines: readonly Pipeline[];
  readonly totals?: number;
  readonly chunk?: number;
}

/** One class, one phase a pipeline, tensors allocated one by one; each tensor has its own scalar row. */
export function prepare({ backend, layout, sizes, pipelines, totals = 0, chunk = 1024 }: Setup): {
  runner: Runner;
  storages: Storage[][];
} {
  const runner = backend.prepare({
    ...NO_DEVICE,
    classes: [layout],
    tensors: sizes.map((elements) => ({
      name: "w",
      classIndex: 0,
      group: 0,
      elements,
      dims: vectorDims(elements),
    })),
    ...chunksOf(sizes, chunk),
    phases: pipelines.map((pipeline) => ({ pipelines: [pipeline], programs: null, totals })),
  });
  const storages = sizes.map((elements, tensor) =>
    layout.roles.map((_, role) => {
      const storage = backend.allocate(layout.dtype, elements);
      runner.bind(tensor, role, storage);
      return storage;
    }),
  );
  return { runner, storages };
}

/** The same numbers for the same seed: mulberry32. */
export function randomNumbers(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function fillRandomly(view: FloatArray, seed: number): void {
  const random = randomNumbers(seed);
  for (let i = 0; i < view.length; i++) view[i] = random() * 2 - 1;
}

/** Where two arrays first differ, NaN being equal to NaN and 0 not to -0; -1 where they do not. */
export function firstDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Math.min(a.length, b.length);
  for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return i;
  return -1;
}

const E = "f32[lead,row,col]";
const uniform = (id: number, slot: number) => [
  `f64@group %${id} = scalar ${slot}`,
  `${E} %${id + 1} = broadcast %${id}`,
];

/** Scalars: 1 - lr * decay, 1 - beta1, beta2, 1 - beta2, 1 / sqrt(1 - beta2^t), eps, lr / (1 - beta1^t). */
export const ADAMW = `kernel "AdamW f32" phase 0 flat {
  ${E} %0 = param
  ${E} %1 = grad
  ${E} %2 = state exp_avg
  ${E} %3 = state exp_avg_sq
  ${[0, 1, 2, 3, 4, 5, 6].flatMap((slot) => uniform(4 + 2 * slot, slot)).join("\n  ")}
  ${E} %18 = mul %0 %5
  ${E} %19 = sub %1 %2
  ${E} %20 = mul %19 %7
  ${E} %21 = add %2 %20
  ${E} %22 = mul %3 %9
  ${E} %23 = mul %1 %1
  ${E} %24 = mul %23 %11
  ${E} %25 = add %22 %24
  ${E} %26 = sqrt %25
  ${E} %27 = mul %26 %13
  ${E} %28 = add %27 %15
  ${E} %29 = div %21 %28
  ${E} %30 = mul %29 %17
  ${E} %31 = sub %18 %30
  param' = %31
  state.exp_avg' = %21
  state.exp_avg_sq' = %25
}`;
export const ADAMW_LAYOUT: ClassLayout = { ...layoutOf("f32", Array(7).fill("f64")), name: "AdamW f32" };

/** The sum of squares and the largest magnitude of the gradient. */
export const NORMS = `kernel "norms" phase 0 flat {
  ${E} %0 = grad
  ${E} %1 = mul %0 %0
  f64@step %2 = reduce.sum %1
  ${E} %3 = abs %0
  f64@step %4 = reduce.max %3
  total.clip.0 = %2
  total.clip.1 = %4
}`;

/** param' = param + grad. */
export const ADD = `kernel "add" phase 0 flat {
  ${E} %0 = param
  ${E} %1 = grad
  ${E} %2 = add %0 %1
  param' = %2
}`;

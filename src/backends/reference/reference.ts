/**
 * The reference backend: kernels run through the evaluator, one parameter at a time, on plain arrays. Slow and plain on purpose: what
 * every other backend is compared with, to the bit where its arithmetic is reproducible.
 */

import { DISPOSE } from "../../dispose.ts";
import type { Dims } from "../../ir/dims.ts";
import { evaluateFunc, type Numbers } from "../../ir/evaluate.ts";
import { isLevel } from "../../ir/extent.ts";
import { type Func, tensorName, type Value, valueAt } from "../../ir/module.ts";
import { type Op, REDUCE_IDENTITY } from "../../ir/ops.ts";
import { parseFunc } from "../../ir/parse.ts";
import { printFunc } from "../../ir/print.ts";
import { totalName } from "../../ir/spaces.ts";
import type { FloatType } from "../../ir/type.ts";
import { CHUNK_ELEMENTS } from "../../plan/chunks.ts";
import type {
  Backend,
  ClassLayout,
  FloatArray,
  PhaseText,
  PhaseWork,
  Pipeline,
  Runner,
  SlotRequest,
  Storage,
  Tables,
} from "../backend.ts";

class ArrayStorage implements Storage {
  readonly dtype: FloatType;
  readonly length: number;
  readonly visible = true;
  readonly #data: FloatArray;

  constructor(dtype: FloatType, data: FloatArray) {
    this.dtype = dtype;
    this.length = data.length;
    this.#data = data;
  }

  view(): FloatArray {
    return this.#data;
  }

  async read(): Promise<FloatArray> {
    return this.#data.slice();
  }

  write(data: FloatArray): void {
    (this.#data as Float64Array).set(data);
  }

  fill(value: number): void {
    this.#data.fill(value);
  }

  copyFrom(source: Storage): void {
    this.write(source.view());
  }

  free(): void {}
}

interface ReferencePipeline extends Pipeline {
  readonly kernel: Func;
}

class ReferenceBackend implements Backend {
  readonly name = "reference";
  readonly programs = "host";
  readonly dtypes = ["f32", "f64"] as const;
  readonly target = "reference";
  readonly threads = 1;

  allocate(dtype: FloatType, length: number): Storage {
    return new ArrayStorage(dtype, dtype === "f32" ? new Float32Array(length) : new Float64Array(length));
  }

  adopt(data: FloatArray): Storage {
    return new ArrayStorage(data instanceof Float32Array ? "f32" : "f64", data);
  }

  /** Any memory that the host can see will do. */
  owns({ visible }: Storage): boolean {
    return visible;
  }

  allocateState(requests: readonly SlotRequest[]): Storage[] {
    return requests.map(({ dtype, length }) => this.allocate(dtype, length));
  }

  /** Kernels as they are printed. */
  emit({ phase, kernels }: PhaseWork, layouts: readonly ClassLayout[]): PhaseText[] {
    return kernels.map((kernel) => ({
      name: kernel.name,
      phase,
      text: printFunc(kernel, { sources: false }),
      classes: [layouts.findIndex(({ name }) => name === kernel.name)],
    }));
  }

  compile(text: string): ReferencePipeline {
    return { text, kernel: parseFunc(text) };
  }

  prepare(tables: Tables): Runner {
    return new ReferenceRunner(tables);
  }

  chunkElements(): number {
    return CHUNK_ELEMENTS;
  }

  check(): void {}

  async finished(): Promise<void> {}

  dispose(): void {}

  [DISPOSE](): void {}
}

class ReferenceRunner implements Runner {
  readonly #tables: Tables;
  readonly #storages: Storage[][];
  readonly #active: boolean[];
  readonly #rowOf: number[];
  readonly #scalars: number[][];
  /** Reductions over axes, finished, by tensor and name. */
  readonly #axisTotals: Map<string, Numbers>[];
  #partials = new Float64Array(0);

  constructor(tables: Tables) {
    this.#tables = tables;
    this.#storages = tables.tensors.map(() => []);
    this.#active = tables.tensors.map(() => false);
    this.#rowOf = tables.tensors.map(() => 0);
    this.#scalars = tables.tensors.map(() => []);
    this.#axisTotals = tables.tensors.map(() => new Map());
  }

  bind(tensor: number, role: number, storage: Storage): void {
    (this.#storages[tensor] as Storage[])[role] = storage;
  }

  setActive(tensor: number, active: boolean): void {
    this.#active[tensor] = active;
  }

  setScalarRow(tensor: number, row: number): void {
    this.#rowOf[tensor] = row;
  }

  writeScalar(_classIndex: number, row: number, slot: number, value: number): void {
    (this.#scalars[row] as number[])[slot] = value;
  }

  launch(phase: number): void {
    const { pipelines, totals } = this.#tables.phases[phase] as Tables["phases"][number];
    this.#partials = new Float64Array((this.#tables.chunks.length / 4) * totals);
    this.#tables.tensors.forEach(({ classIndex, dims, elements }, tensor) => {
      const pipeline = pipelines[classIndex] as ReferencePipeline | null;
      if (pipeline && this.#active[tensor] && elements > 0)
        this.#runKernel(pipeline.kernel, tensor, classIndex, dims, totals);
    });
  }

  partials(): Float64Array {
    return this.#partials;
  }

  dispose(): void {}

  #runKernel(kernel: Func, tensor: number, classIndex: number, dims: Dims, stride: number): void {
    const layout = this.#tables.classes[classIndex] as ClassLayout;
    const viewOf = (role: string) =>
      this.#storages[tensor]?.[layout.roles.indexOf(role)]?.view() as FloatArray;
    const scalars = this.#scalars[this.#rowOf[tensor] as number] as number[];
    const axisTotals = this.#axisTotals[tensor] as Map<string, Numbers>;
    const read = (value: Value): Numbers => {
      if (value.op === "scalar") return [scalars[value.attribute as number] as number];
      return value.op === "total"
        ? (axisTotals.get(tensorName(value)) as Numbers)
        : viewOf(tensorName(value));
    };
    const results = evaluateFunc(kernel, dims, read);
    let total = 0;
    for (const { target, value } of kernel.outputs) {
      const numbers = results.get(target) as Numbers;
      if (totalName(target) === undefined) (viewOf(target.slice(0, -1)) as Float64Array).set(numbers);
      else if (isLevel(valueAt(kernel, value).type.extent))
        this.#writeTotal(tensor, total++, stride, numbers[0] as number, valueAt(kernel, value).op);
      else axisTotals.set(target, numbers);
    }
  }

  /** The whole tensor's result stands in its first chunk; the others have nothing to add. */
  #writeTotal(tensor: number, total: number, stride: number, value: number, op: Op): void {
    const { chunks } = this.#tables;
    for (let chunk = 0; chunk < chunks.length; chunk += 4)
      if (chunks[chunk] === tensor)
        this.#partials[(chunks[chunk + 3] as number) * stride + total] =
          chunks[chunk + 1] === 0 ? value : (REDUCE_IDENTITY[op] as number);
  }
}

/** A backend that computes as the IR says, element by element: the oracle, for tests and for doubts. */
export function reference(): Backend {
  return new ReferenceBackend();
}

import type { FloatArray, Storage } from "./backends/backend.ts";
import { DISPOSE } from "./dispose.ts";
import { StepjitError } from "./error.ts";
import type { FloatType } from "./ir/type.ts";

/** Dtypes by torch's names. */
export type TensorDType = "float32" | "float64";

export const DTYPE_NAMES: Readonly<Record<FloatType, TensorDType>> = { f32: "float32", f64: "float64" };

let disposals = 0;

/** How many tensors were ever disposed: while it stays the same, none has to be asked. */
export function disposedSoFar(): number {
  return disposals;
}

/**
 * Row-major numbers in a backend's memory, which a step updates in place. Made by `tensor(shape)` or `tensor(data, shape)`.
 * The memory is given back by `dispose()` (or `using`), never by the garbage collector.
 */
export class Tensor {
  readonly shape: readonly number[];
  /** The gradient that `step()` reads: null where there is none. */
  grad: Tensor | FloatArray | null = null;
  #storage: Storage | undefined;

  /** @internal Use `tensor()`. */
  constructor(storage: Storage, shape: readonly number[]) {
    this.#storage = storage;
    this.shape = Object.freeze([...shape]);
  }

  /** @internal Where the elements are. Throws `disposed`. */
  get storage(): Storage {
    if (this.#storage) return this.#storage;
    throw new StepjitError("disposed", `a tensor of shape [${this.shape}] was used after dispose()`);
  }

  get dtype(): TensorDType {
    return DTYPE_NAMES[this.storage.dtype];
  }

  /** Elements. */
  get size(): number {
    return sizeOf(this.shape);
  }

  /** The elements, in place: no copy. Read it afresh after anything that may allocate, since growing memory can detach a view. */
  get data(): FloatArray {
    return this.storage.view();
  }

  get disposed(): boolean {
    return this.#storage === undefined;
  }

  /** Gives the memory back. Doing it twice is fine. */
  dispose(): void {
    if (!this.#storage) return;
    this.#storage.free();
    this.#storage = undefined;
    disposals++;
  }

  [DISPOSE](): void {
    this.dispose();
  }
}

/** A gradient: null or undefined where there is none. */
export type Gradient = Tensor | FloatArray | null | undefined;

/** Gradients by name, or in order of the parameters. */
export type Gradients = Readonly<Record<string, Gradient>> | readonly Gradient[];

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** An array of the user's own as storage: kernels cannot reach it, so a step copies it in and out. */
export class HostStorage implements Storage {
  readonly dtype: FloatType;
  readonly length: number;
  readonly visible = true;
  readonly #data: FloatArray;

  constructor(data: FloatArray) {
    this.dtype = dtypeOf(data);
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

export function isFloatArray(value: unknown): value is FloatArray {
  return value instanceof Float32Array || value instanceof Float64Array;
}

export function dtypeOf(data: FloatArray): FloatType {
  return data instanceof Float32Array ? "f32" : "f64";
}

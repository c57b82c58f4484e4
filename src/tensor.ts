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
  /** Its sizes; `[]` for one number. */
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

  /** `float32` or `float64`. Throws `disposed`. */
  get dtype(): TensorDType {
    return DTYPE_NAMES[this.storage.dtype];
  }

  /** Elements. */
  get size(): number {
    return sizeOf(this.shape);
  }

  /**
   * The elements, in place: no copy. Read it afresh after anything that may allocate, since growing memory can detach a view. Throws
   * `device-memory` where the host does not see the elements: there are `read` and `write`.
   */
  get data(): FloatArray {
    const { storage } = this;
    if (storage.visible) return storage.view();
    throw new StepjitError(
      "device-memory",
      `a tensor of shape [${this.shape}] is in a device's memory, which has no \`data\`: take a copy with await tensor.read(), ` +
        "and replace its elements with tensor.write(numbers)",
    );
  }

  /** A copy of the elements, as they are after all steps and writes so far. */
  async read(): Promise<FloatArray> {
    return this.storage.read();
  }

  /**
   * Replaces all elements, after all steps so far: by a list of numbers, or an array of the tensor's dtype, which is copied. Throws
   * `invalid-parameters`.
   */
  write(data: FloatArray | readonly number[]): void {
    const { storage, size } = this;
    const isArray = isFloatArray(data);
    if (!isArray && !(Array.isArray(data) && data.every((number) => typeof number === "number")))
      refuse("takes a list of numbers, a Float32Array or a Float64Array");
    if (data.length !== size) refuse(`was given ${data.length} numbers; shape [${this.shape}] takes ${size}`);
    if (isArray && dtypeOf(data) !== storage.dtype)
      refuse(`was given ${DTYPE_NAMES[dtypeOf(data)]} numbers; the tensor is ${this.dtype}`);
    const List = storage.dtype === "f32" ? Float32Array : Float64Array;
    storage.write(isArray ? data : List.from(data));
  }

  /** Whether its memory was given back. */
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

  /** `dispose()`, for `using`. */
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

function refuse(message: string): never {
  throw new StepjitError("invalid-parameters", `tensor.write ${message}`);
}

export function isFloatArray(value: unknown): value is FloatArray {
  return value instanceof Float32Array || value instanceof Float64Array;
}

export function dtypeOf(data: FloatArray): FloatType {
  return data instanceof Float32Array ? "f32" : "f64";
}

import type { Backend, FloatArray, Storage } from "../backends/backend.ts";
import { StepjitError } from "../error.ts";
import { listed, show } from "../optim/hyper.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import type { Parameter } from "../optim/parameter.ts";
import {
  DTYPE_NAMES,
  disposedSoFar,
  dtypeOf,
  type Gradient,
  type Gradients,
  isFloatArray,
  Tensor,
} from "../tensor.ts";

export type { Gradient, Gradients };

/** Where one parameter's gradient is, and what has to be copied there first. */
interface Source {
  readonly storage: Storage;
  readonly copyFrom: (() => FloatArray) | undefined;
}

/**
 * Finds the gradients of a step. What is the same object as in the step before was checked then; only what differs is looked at
 * again. Foreign arrays are copied into memory that is kept for the purpose.
 */
export class GradientReader {
  readonly #optimizer: Optimizer;
  readonly #backend: Backend;
  readonly #names: readonly string[];
  readonly #known: ReadonlySet<string>;
  /** What the last step was called with. */
  #record: Gradients | undefined;
  /** This step's gradients, in order; kept to spare an allocation a step. */
  #given: Gradient[];
  /** The last step's. */
  #last: Gradient[];
  /** Tensors disposed when these were looked at. */
  #disposals = disposedSoFar();
  /** Parameters whose gradients are copied. */
  #copied: number[] = [];
  readonly #sources: (Source | null)[];
  readonly #mirrors: (Storage | undefined)[];

  constructor(optimizer: Optimizer, backend: Backend) {
    this.#optimizer = optimizer;
    this.#backend = backend;
    this.#names = optimizer.parameters.map(({ name }) => name);
    this.#known = new Set(this.#names);
    const count = this.#names.length;
    this.#given = new Array(count).fill(undefined);
    this.#last = new Array(count).fill(undefined);
    this.#sources = new Array(count).fill(null);
    this.#mirrors = new Array(count).fill(undefined);
  }

  /**
   * Checks everything and writes nothing: gives the parameters whose gradient is another object than in the last step, and what
   * carries the change out. Throws `invalid-gradient` and `disposed`, naming the parameter.
   */
  prepare(gradients: Gradients | undefined): { changed: number[]; commit: () => void } {
    this.#read(gradients);
    const [given, last] = [this.#given, this.#last];
    const changed: number[] = [];
    const someDisposed = this.#disposals !== disposedSoFar();
    for (let i = 0; i < given.length; i++)
      if (given[i] !== last[i] || (someDisposed && isDisposed(given[i]))) changed.push(i);
    if (changed.length > 0 || gradients !== this.#record) this.#checkNames(gradients);
    const found = changed.map((i) => this.#locate(i, given[i]));
    return { changed, commit: () => this.#take(gradients, changed, found) };
  }

  #take(
    gradients: Gradients | undefined,
    changed: readonly number[],
    found: readonly (Source | null)[],
  ): void {
    this.#record = gradients;
    changed.forEach((i, position) => {
      this.#sources[i] = found[position] as Source | null;
    });
    if (changed.length > 0)
      this.#copied = this.#names.flatMap((_, i) => (this.#sources[i]?.copyFrom ? [i] : []));
    this.#disposals = disposedSoFar();
    [this.#given, this.#last] = [this.#last, this.#given];
  }

  source(tensor: number): Storage | undefined {
    return this.#sources[tensor]?.storage;
  }

  /** Brings foreign gradients to where kernels can read them. Gives the bytes copied. */
  copyIn(): number {
    let bytes = 0;
    for (const i of this.#copied) {
      const { storage, copyFrom } = this.#sources[i] as Source;
      const data = (copyFrom as () => FloatArray)();
      storage.write(data);
      bytes += data.byteLength;
    }
    return bytes;
  }

  /** Zeroes the foreign gradients that were copied: kernels reach the copies only. */
  zeroCopied(): void {
    for (const i of this.#copied) this.#sources[i]?.copyFrom?.().fill(0);
  }

  zeroAll(): void {
    this.zeroCopied();
    for (const source of this.#sources) source?.storage.fill(0);
  }

  /** Which parameters' gradients are copied at every step. */
  get copied(): Parameter[] {
    return this.#copied.map((i) => this.#optimizer.parameters[i] as Parameter);
  }

  dispose(): void {
    for (const mirror of this.#mirrors) mirror?.free();
    this.#mirrors.fill(undefined);
    this.#sources.fill(null);
    this.#copied = [];
  }

  /** Puts the gradients in order. */
  #read(gradients: Gradients | undefined): void {
    const { parameters, named, definition } = this.#optimizer;
    const given = this.#given;
    if (gradients === undefined) {
      for (let i = 0; i < given.length; i++) given[i] = (parameters[i] as Parameter).tensor.grad;
    } else if (Array.isArray(gradients)) {
      if (gradients.length !== given.length)
        refuse(
          `${definition.name}: ${gradients.length} gradients for ${given.length} parameters (null stands for none)`,
        );
      for (let i = 0; i < given.length; i++) given[i] = gradients[i];
    } else {
      if (
        typeof gradients !== "object" ||
        gradients === null ||
        isFloatArray(gradients) ||
        gradients instanceof Tensor
      )
        refuse(
          `${definition.name}: gradients are a record by name or an array in order, got ${show(gradients)}`,
        );
      if (!named)
        refuse(`${definition.name}: its parameters have no names: give the gradients as an array, in order`);
      const record = gradients as Readonly<Record<string, Gradient>>;
      const names = this.#names;
      for (let i = 0; i < given.length; i++) given[i] = record[names[i] as string];
    }
  }

  /** A record may not name what is no parameter. Looked at when record or gradient is a new one: listing the keys is what costs. */
  #checkNames(gradients: Gradients | undefined): void {
    if (gradients === undefined || Array.isArray(gradients)) return;
    const stray = Object.keys(gradients).find((name) => !this.#known.has(name));
    if (stray !== undefined)
      refuse(
        `${this.#optimizer.definition.name}: there is no parameter ${show(stray)}; there are ${listed(this.#names)}`,
      );
  }

  #locate(index: number, gradient: Gradient): Source | null {
    if (gradient === null || gradient === undefined) return null;
    const parameter = this.#optimizer.parameters[index] as Parameter;
    const where = `${this.#optimizer.definition.name}, gradient of ${show(parameter.name)}`;
    if (gradient instanceof Tensor && gradient.disposed)
      throw new StepjitError("disposed", `${where} was disposed`);
    if (!(gradient instanceof Tensor) && !isFloatArray(gradient))
      return refuse(`${where} is a tensor, a Float32Array, a Float64Array or null, got ${show(gradient)}`);
    const { storage: expected } = parameter.tensor;
    const size = gradient instanceof Tensor ? gradient.size : gradient.length;
    if (size !== parameter.elements)
      return refuse(
        `${where} has ${size} elements, the parameter ${parameter.elements} (shape [${parameter.tensor.shape}])`,
      );
    const dtype = gradient instanceof Tensor ? gradient.storage.dtype : dtypeOf(gradient);
    if (dtype !== expected.dtype)
      return refuse(`${where} is ${DTYPE_NAMES[dtype]}, the parameter ${DTYPE_NAMES[expected.dtype]}`);
    if (gradient instanceof Tensor && !gradient.storage.visible && !this.#backend.owns(gradient.storage))
      return refuse(
        `${where} is in a device's memory, which ${this.#backend.name} does not reach: give await gradient.read()`,
      );
    const inPlace =
      gradient instanceof Tensor && this.#backend.owns(gradient.storage)
        ? gradient.storage
        : this.#backend.adopt(gradient instanceof Tensor ? gradient.data : gradient);
    if (inPlace) return { storage: inPlace, copyFrom: undefined };
    const mirror = this.#mirrors[index] ?? this.#backend.allocate(dtype, size);
    this.#mirrors[index] = mirror;
    return { storage: mirror, copyFrom: () => (gradient instanceof Tensor ? gradient.data : gradient) };
  }
}

function isDisposed(gradient: Gradient): boolean {
  return gradient instanceof Tensor && gradient.disposed;
}

function refuse(message: string): never {
  throw new StepjitError("invalid-gradient", message);
}

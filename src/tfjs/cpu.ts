/**
 * The cpu backend keeps a variable as a Float32Array, by reference. We give it a view of our own memory instead, one range for
 * each variable name, and copy only when the variable turns out to have other data than in the last step.
 */
import { type DataId, type Tensor as TfTensor, tensor, tidy, type Variable } from "@tensorflow/tfjs-core";
import type { Storage } from "../backends/backend.ts";
import { type WasmBackend, wasm } from "../backends/wasm/index.ts";
import type { Gradient } from "../step/gradients.ts";
import type { Home } from "./home.ts";

interface Entry {
  values: Float32Array;
  readonly refCount: number;
}

/** The parts of the cpu backend that we touch. `get` brings over the data of another backend. */
interface CpuBackend {
  readonly data: {
    has(id: DataId): boolean;
    get(id: DataId): Entry;
  };
}

/** A variable's range of our memory, and what tfjs was given for it. */
interface Place {
  readonly storage: Storage;
  /** In bytes; not to be asked of `values`, which growing memory may have emptied. */
  readonly address: number;
  values: Float32Array;
  /** Undefined before the first copy. */
  dataId: DataId | undefined;
}

export class CpuHome implements Home {
  /** Memory that nobody else allocates from: where it is not shared, growing detaches every view. */
  readonly backend: WasmBackend = wasm();
  readonly #tfjs: CpuBackend;
  readonly #places = new Map<string, Place>();

  constructor(backend: object) {
    this.#tfjs = backend as CpuBackend;
  }

  adopt(variable: Variable): void {
    const { name, shape, dataId, size } = variable;
    const place = this.#place(name, size);
    const { values, refCount } = this.#tfjs.data.get(dataId);
    if (place.dataId === dataId && place.values === values && refCount === 1) return;
    this.#leave(place);
    place.values.set(values);
    tidy(() => variable.assign(tensor(place.values, shape)));
    place.dataId = variable.dataId;
  }

  storage({ name, size }: Variable): Storage {
    return this.backend.foreignStorage("f32", size, () => this.#places.get(name)?.address ?? 0);
  }

  gradientReader(): (gradient: TfTensor) => Gradient {
    return (gradient) => gradient.dataSync<"float32">();
  }

  written(): void {
    this.#refresh();
  }

  release(name: string): void {
    const place = this.#places.get(name);
    if (!place) return;
    this.#leave(place);
    place.storage.free();
    this.#places.delete(name);
  }

  #place(name: string, length: number): Place {
    const known = this.#places.get(name);
    if (known?.storage.length === length) return known;
    this.release(name);
    const storage = this.backend.allocate("f32", length);
    this.#refresh();
    const values = storage.view() as Float32Array;
    const place = { storage, address: values.byteOffset, values, dataId: undefined };
    this.#places.set(name, place);
    return place;
  }

  /** Whoever still has the data that lies in our memory gets a copy of it. */
  #leave(place: Place): void {
    const entry = this.#entry(place);
    if (entry) entry.values = place.values.slice();
  }

  /** Unshared memory has grown: its views are empty now. */
  #refresh(): void {
    for (const place of this.#places.values()) {
      if (place.values.length === place.storage.length) continue;
      const entry = this.#entry(place);
      place.values = place.storage.view() as Float32Array;
      if (entry) entry.values = place.values;
    }
  }

  /** tfjs's record of the data that lies in our memory, if it is still there. */
  #entry({ dataId, values }: Place): Entry | undefined {
    if (!dataId || !this.#tfjs.data.has(dataId)) return undefined;
    const entry = this.#tfjs.data.get(dataId);
    return entry.values === values ? entry : undefined;
  }
}

import type { FloatType } from "../../ir/type.ts";
import type { FloatArray, Storage } from "../backend.ts";
import type { Heap } from "./heap.ts";

/** A tensor in wasm memory. `address` in bytes; where it may move (a foreign tensor), it is looked up each time. */
export class WasmStorage implements Storage {
  readonly heap: Heap;
  readonly dtype: FloatType;
  readonly length: number;
  readonly moves: boolean;
  readonly visible = true;
  readonly #addressOf: () => number;
  #release: () => void;
  #view: FloatArray | undefined;

  constructor(
    heap: Heap,
    dtype: FloatType,
    length: number,
    addressOf: () => number,
    { release = () => {}, moves = false } = {},
  ) {
    this.heap = heap;
    this.dtype = dtype;
    this.length = length;
    this.#addressOf = addressOf;
    this.#release = release;
    this.moves = moves;
  }

  get address(): number {
    return this.#addressOf() >>> 0;
  }

  view(): FloatArray {
    const { buffer } = this.heap.memory;
    const { address } = this;
    if (this.#view?.buffer !== buffer || this.#view.byteOffset !== address) {
      const View = this.dtype === "f32" ? Float32Array : Float64Array;
      this.#view = new View(buffer, address, this.length);
    }
    return this.#view;
  }

  async read(): Promise<FloatArray> {
    return this.view().slice();
  }

  write(data: FloatArray): void {
    (this.view() as Float64Array).set(data);
  }

  fill(value: number): void {
    this.view().fill(value);
  }

  copyFrom(source: Storage): void {
    this.write(source.view());
  }

  free(): void {
    this.#release();
    this.#release = () => {};
  }
}

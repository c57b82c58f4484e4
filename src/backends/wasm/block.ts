import type { Heap } from "./heap.ts";

/** A range of a heap and views of it; views that growth has detached are made afresh. */
export class Block {
  readonly address: number;
  readonly #heap: Heap;
  readonly #bytes: number;
  #u32!: Uint32Array;
  #f32!: Float32Array;
  #f64!: Float64Array;

  /** `bytes`: a multiple of 8. */
  constructor(heap: Heap, bytes: number) {
    this.#heap = heap;
    this.#bytes = bytes;
    this.address = heap.allocate(bytes);
    this.#refresh();
  }

  get u32(): Uint32Array {
    if (this.#u32.length === 0) this.#refresh();
    return this.#u32;
  }

  get f32(): Float32Array {
    if (this.#u32.length === 0) this.#refresh();
    return this.#f32;
  }

  get f64(): Float64Array {
    if (this.#u32.length === 0) this.#refresh();
    return this.#f64;
  }

  free(): void {
    this.#heap.free(this.address);
  }

  #refresh(): void {
    const { buffer } = this.#heap.memory;
    this.#u32 = new Uint32Array(buffer, this.address, this.#bytes / 4);
    this.#f32 = new Float32Array(buffer, this.address, this.#bytes / 4);
    this.#f64 = new Float64Array(buffer, this.address, this.#bytes / 8);
  }
}

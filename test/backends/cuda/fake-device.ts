/** A device of JavaScript: memory is an array, what is enqueued is done at once, kernels are functions by their text. */
import type { Device, Kernel } from "../../../src/backends/cuda/native/device.ts";
import { StepjitError } from "../../../src/error.ts";

/** Like a GPU's: more than 32 bits. */
const BASE = 0x7f00_0000_0000n;

/** What was enqueued, in words. */
export type Call =
  | { readonly kind: "upload"; readonly to: bigint; readonly bytes: number }
  | { readonly kind: "copy"; readonly bytes: number }
  | { readonly kind: "fill" }
  | { readonly kind: "launch"; readonly text: string; readonly grid: number; readonly params: Uint8Array }
  | { readonly kind: "download"; readonly bytes: number };

interface ListOf<T> {
  new (buffer: ArrayBuffer, offset: number, length: number): T;
  readonly BYTES_PER_ELEMENT: number;
}

export class FakeDevice {
  readonly stream = 5n;
  /** Since the last `take`. */
  calls: Call[] = [];
  /** By address: bytes. */
  readonly allocated = new Map<bigint, number>();
  readonly kernels = new Map<string, (params: DataView) => void>();
  /** Bytes that it has. */
  capacity = 64 * 2 ** 20;
  marks = 0;
  isClosed = false;
  readonly #bytes = new Uint8Array(256 * 2 ** 20);
  #next = 0;
  #time = 0;

  /** As the backend takes it. */
  get device(): Device {
    return this as unknown as Device;
  }

  take(): Call[] {
    return this.calls.splice(0);
  }

  /** Device memory itself. */
  at<T>(List: ListOf<T>, address: bigint, length: number): T {
    const offset = this.#offset(address, length * List.BYTES_PER_ELEMENT);
    return new List(this.#bytes.buffer as ArrayBuffer, offset, length);
  }

  /** Where so many bytes begin; they have to lie in one allocation. */
  #offset(address: bigint, bytes: number): number {
    for (const [start, size] of this.allocated)
      if (address >= start && address + BigInt(bytes) <= start + BigInt(size)) return Number(address - BASE);
    throw new RangeError(`illegal address ${address}`);
  }

  #range(address: bigint, bytes: number): Uint8Array {
    const from = this.#offset(address, bytes);
    return this.#bytes.subarray(from, from + bytes);
  }

  check(): void {
    if (this.isClosed) throw new StepjitError("disposed", "a CUDA device was used after dispose()");
  }

  allocate(bytes: number): bigint {
    this.check();
    const used = [...this.allocated.values()].reduce((sum, one) => sum + one, 0);
    if (used + bytes > this.capacity) throw new StepjitError("out-of-memory", `${bytes} bytes`);
    const address = BASE + BigInt(this.#next);
    this.#next += Math.ceil(bytes / 256) * 256;
    this.#bytes.fill(0xcd, Number(address - BASE), this.#next);
    this.allocated.set(address, bytes);
    return address;
  }

  free(address: bigint): void {
    if (!this.allocated.delete(address)) throw new RangeError(`${address} is not allocated`);
  }

  compile(text: string): Kernel {
    return { text, threads: 256, blocks: 8 } as Kernel;
  }

  upload(to: bigint, bytes: Uint8Array): void {
    this.check();
    this.#range(to, bytes.length).set(bytes);
    this.calls.push({ kind: "upload", to, bytes: bytes.length });
  }

  copy(to: bigint, from: bigint, bytes: number): void {
    this.#range(to, bytes).set(this.#range(from, bytes));
    this.calls.push({ kind: "copy", bytes });
  }

  fill(to: bigint, word: number, words: number): void {
    this.at(Uint32Array, to, words).fill(word);
    this.calls.push({ kind: "fill" });
  }

  launch(kernel: Kernel, grid: number, params: Uint8Array): void {
    this.check();
    const copy = params.slice();
    this.calls.push({ kind: "launch", text: kernel.text, grid, params: copy });
    this.kernels.get(kernel.text)?.(new DataView(copy.buffer));
  }

  async download(from: bigint, bytes: number): Promise<ArrayBuffer> {
    this.check();
    this.calls.push({ kind: "download", bytes });
    return this.#range(from, bytes).slice().buffer as ArrayBuffer;
  }

  mark() {
    const time = this.#time++;
    this.marks++;
    return { time, dispose: () => this.marks-- };
  }

  async elapsed(from: { time: number }, to: { time: number }): Promise<number> {
    return to.time - from.time;
  }

  async finished(): Promise<void> {
    this.check();
  }

  close(): void {
    this.isClosed = true;
    this.allocated.clear();
  }
}

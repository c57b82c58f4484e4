/** A tensor in a CUDA device's memory: an address. */
import { StepjitError } from "../../error.ts";
import { ELEMENT_BYTES, type FloatType } from "../../ir/type.ts";
import type { FloatArray, Storage } from "../backend.ts";
import { VECTOR_BYTES } from "./layout.ts";
import type { Memory } from "./memory.ts";
import type { Address } from "./native/device.ts";

/** Elements that are uploaded where memory is filled; the device multiplies them. */
const FILL_ELEMENTS = 8192;

/** Elements are counted in u32, by loops that go some thousands beyond the end. */
const MOST_ELEMENTS = 2 ** 32 - 2 ** 16;

/** Throws `unsupported` for more elements than kernels can count. */
export function checkLength(length: number): void {
  if (length > MOST_ELEMENTS)
    throw new StepjitError(
      "unsupported",
      `cuda: a tensor of ${length} elements; kernels count up to ${MOST_ELEMENTS}`,
    );
}

export class CudaStorage implements Storage {
  readonly memory: Memory;
  readonly dtype: FloatType;
  readonly length: number;
  readonly visible = false;
  /** Whether the memory belongs to somebody else. */
  readonly isForeign: boolean;
  /** Whether kernels may take VECTOR_BYTES at once. */
  readonly isAligned: boolean;
  #address: Address | undefined;
  readonly #release: (() => void) | undefined;

  /** Without `release` the memory is somebody else's. */
  constructor(memory: Memory, dtype: FloatType, length: number, address: Address, release?: () => void) {
    this.memory = memory;
    this.dtype = dtype;
    this.length = length;
    this.isForeign = release === undefined;
    this.isAligned = address % BigInt(VECTOR_BYTES) === 0n;
    this.#address = address;
    this.#release = release;
  }

  /** Throws `disposed` once the memory was given back: the driver may have given it to somebody else, or to nobody. */
  get address(): Address {
    if (this.#address !== undefined) return this.#address;
    throw new StepjitError(
      "disposed",
      "a tensor in a CUDA device's memory was used after its memory was given back",
    );
  }

  get isFreed(): boolean {
    return this.#address === undefined;
  }

  view(): FloatArray {
    throw new StepjitError(
      "device-memory",
      "this tensor is in GPU memory: take a copy with await tensor.read(), replace its elements with tensor.write(data)",
    );
  }

  async read(): Promise<FloatArray> {
    const List = listOf(this.dtype);
    const { address } = this;
    return new List(this.length === 0 ? [] : await this.memory.device.download(address, this.#bytes));
  }

  write(data: FloatArray): void {
    const List = listOf(this.dtype);
    const numbers = data instanceof List ? data : List.from(data);
    this.memory.device.upload(this.address, new Uint8Array(numbers.buffer, numbers.byteOffset, this.#bytes));
  }

  fill(value: number): void {
    if (this.length === 0) return;
    const { device } = this.memory;
    const element = listOf(this.dtype).of(value);
    const [word, ...others] = new Uint32Array(element.buffer) as unknown as [number, ...number[]];
    if (others.every((other) => other === word)) device.fill(this.address, word, this.#bytes / 4);
    else this.#fillByCopies(value);
  }

  /** The driver fills with patterns of 32 bits. */
  #fillByCopies(value: number): void {
    const { device } = this.memory;
    const { address } = this;
    const first = new (listOf(this.dtype))(Math.min(this.length, FILL_ELEMENTS)).fill(value);
    device.upload(address, new Uint8Array(first.buffer));
    for (let filled = first.byteLength; filled < this.#bytes; filled *= 2)
      device.copy(address + BigInt(filled), address, Math.min(filled, this.#bytes - filled));
  }

  copyFrom(source: Storage): void {
    if (!this.memory.owns(source)) this.write(source.view());
    else if (this.length > 0) this.memory.device.copy(this.address, source.address, this.#bytes);
  }

  free(): void {
    if (this.#address === undefined) return;
    this.#address = undefined;
    this.memory.frees++;
    this.#release?.();
  }

  get #bytes(): number {
    return ELEMENT_BYTES[this.dtype] * this.length;
  }
}

function listOf(dtype: FloatType): Float32ArrayConstructor | Float64ArrayConstructor {
  return dtype === "f32" ? Float32Array : Float64Array;
}

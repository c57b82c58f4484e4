/** A device's memory: an allocation for each tensor, and a few for the state of all parameters. */
import { ELEMENT_BYTES, type FloatType } from "../../ir/type.ts";
import type { SlotRequest, Storage } from "../backend.ts";
import type { Address, Device } from "./native/device.ts";
import { CudaStorage, checkLength } from "./storage.ts";

/** State slots share allocations of at most so many bytes, larger ones excepted: the driver takes as long over a small one. */
const BLOCK_BYTES = 32 * 2 ** 20;

/** Slots begin at multiples of so many bytes, as allocations do. */
const ALIGNMENT = 256;

export class Memory {
  readonly device: Device;
  /** Tensors that were given back so far: while it stays the same, none has to be asked. */
  frees = 0;

  constructor(device: Device) {
    this.device = device;
  }

  owns(storage: Storage): storage is CudaStorage {
    return storage instanceof CudaStorage && storage.memory === this;
  }

  /** Zero-filled. Throws `out-of-memory`. */
  take(bytes: number): Address {
    const size = padded(bytes);
    const address = this.device.allocate(size);
    this.device.fill(address, 0, size / 4);
    return address;
  }

  /** Throws `out-of-memory`, and `unsupported` for more elements than kernels can count. */
  allocate(dtype: FloatType, length: number): CudaStorage {
    checkLength(length);
    const address = this.take(ELEMENT_BYTES[dtype] * length);
    return new CudaStorage(this, dtype, length, address, () => this.device.free(address));
  }

  /** One storage a request. Throws `out-of-memory`; then nothing was taken. */
  allocateState(requests: readonly Pick<SlotRequest, "dtype" | "length">[]): CudaStorage[] {
    const blocks: Block[] = [];
    const places = requests.map(({ dtype, length }) => {
      const bytes = padded(ELEMENT_BYTES[dtype] * length);
      if (!blocks.at(-1)?.fits(bytes)) blocks.push(new Block());
      const block = blocks.at(-1) as Block;
      return { block, offset: block.add(bytes) };
    });
    try {
      for (const block of blocks) block.take(this);
    } catch (error) {
      for (const block of blocks) block.giveBack(this);
      throw error;
    }
    return requests.map(({ dtype, length }, index) => {
      const { block, offset } = places[index] as (typeof places)[number];
      return new CudaStorage(this, dtype, length, block.addressOf(offset), () => block.release(this));
    });
  }
}

/** One allocation for several slots, given back with the last of them. */
class Block {
  #bytes = 0;
  #slots = 0;
  #address: Address | undefined;

  fits(bytes: number): boolean {
    return this.#bytes + bytes <= BLOCK_BYTES;
  }

  /** The offset of a slot. */
  add(bytes: number): number {
    const offset = this.#bytes;
    this.#bytes += bytes;
    this.#slots++;
    return offset;
  }

  take(memory: Memory): void {
    this.#address = memory.take(this.#bytes);
  }

  addressOf(offset: number): Address {
    return (this.#address as Address) + BigInt(offset);
  }

  release(memory: Memory): void {
    if (--this.#slots === 0) this.giveBack(memory);
  }

  giveBack({ device }: Memory): void {
    if (this.#address !== undefined) device.free(this.#address);
    this.#address = undefined;
  }
}

/** Tensors without elements have an address, too. */
function padded(bytes: number): number {
  return Math.ceil(Math.max(1, bytes) / ALIGNMENT) * ALIGNMENT;
}

/**
 * Arenas: buffers that hold many tensors, so that one bind group reaches all of them. An arena grows by moving into a larger buffer,
 * up to what a device binds at once; only then is there a second one. Whoever needs the buffer asks for it anew at each step.
 */
import { StepjitError } from "../../error.ts";
import type { Device } from "./device.ts";

/** Bytes of an arena's first buffer. */
const FIRST_BYTES = 64 * 1024;

/** Tensors begin at multiples of so many bytes, and are padded to such: kernels take four elements at once. */
export const ALIGNMENT = 16;

/** Something that has a buffer, though not always the same. */
export interface Home {
  readonly buffer: GPUBuffer;
}

interface Gap {
  readonly offset: number;
  readonly bytes: number;
}

export class Arena implements Home {
  readonly #device: Device;
  readonly #label: string;
  readonly #limit: number;
  #buffer: GPUBuffer;
  /** Free ranges below `#top`, in order, none next to another. */
  #gaps: Gap[] = [];
  /** What lies from here on was never used, and is zero. */
  #top = 0;

  constructor(device: Device, label: string, limit: number, bytes: number) {
    this.#device = device;
    this.#label = label;
    this.#limit = limit;
    this.#buffer = device.createBuffer(label, Math.min(limit, Math.max(bytes, FIRST_BYTES)));
  }

  get buffer(): GPUBuffer {
    return this.#buffer;
  }

  /** The offset of zero-filled memory; undefined where this arena cannot hold it. */
  allocate(bytes: number): number | undefined {
    const gap = this.#gaps.findIndex((candidate) => candidate.bytes >= bytes);
    if (gap >= 0) return this.#fillGap(gap, bytes);
    if (!this.#reserve(this.#top + bytes)) return undefined;
    const offset = this.#top;
    this.#top += bytes;
    return offset;
  }

  /** Whether so many bytes more fit; where they do not but would in a larger buffer, it gets one. Not where that could not be made. */
  hasRoomFor(bytes: number): boolean {
    if (this.#device.failureOf(this.#buffer)) return false;
    return this.#gaps.some((gap) => gap.bytes >= bytes) || this.#reserve(this.#top + bytes);
  }

  destroy(): void {
    this.#buffer.destroy();
  }

  free(offset: number, bytes: number): void {
    this.#gaps.push({ offset, bytes });
    this.#gaps.sort((a, b) => a.offset - b.offset);
    this.#gaps = this.#gaps.reduce<Gap[]>((merged, gap) => {
      const last = merged.at(-1);
      if (last && last.offset + last.bytes === gap.offset)
        merged[merged.length - 1] = { offset: last.offset, bytes: last.bytes + gap.bytes };
      else merged.push(gap);
      return merged;
    }, []);
  }

  #fillGap(index: number, bytes: number): number {
    const { offset, bytes: size } = this.#gaps[index] as Gap;
    if (size === bytes) this.#gaps.splice(index, 1);
    else this.#gaps[index] = { offset: offset + bytes, bytes: size - bytes };
    this.#device.encode((encoder) => encoder.clearBuffer(this.#buffer, offset, bytes));
    return offset;
  }

  /** Moves into a larger buffer where this one is too small. */
  #reserve(bytes: number): boolean {
    if (bytes > this.#limit) return false;
    if (bytes <= this.#buffer.size) return true;
    const old = this.#buffer;
    this.#buffer = this.#device.createBuffer(
      this.#label,
      Math.min(this.#limit, Math.max(bytes, 2 * old.size)),
    );
    this.#device.flush();
    this.#device.encode((encoder) => encoder.copyBufferToBuffer(old, 0, this.#buffer, 0, this.#top));
    this.#device.flush("webgpu", () => {}); // there may be no memory, which is told elsewhere
    old.destroy();
    return true;
  }
}

/** Bytes in an arena. */
export interface Place {
  readonly home: Arena;
  readonly offset: number;
  readonly bytes: number;
}

/** Bytes with their padding. */
export function padded(bytes: number): number {
  return Math.ceil(Math.max(bytes, 4) / ALIGNMENT) * ALIGNMENT;
}

function placesIn(home: Arena, sizes: readonly number[]): Place[] {
  return sizes.map((size) => {
    const bytes = padded(size);
    return { home, offset: home.allocate(bytes) as number, bytes };
  });
}

/** As many arenas as it takes. */
export class Memory {
  readonly #device: Device;
  readonly #label: string;
  readonly #arenas: Arena[] = [];

  constructor(device: Device, label: string) {
    this.#device = device;
    this.#label = label;
  }

  /** One place a size, all in one arena, zero-filled. Throws `out-of-memory`. */
  allocate(sizes: readonly number[]): Place[] {
    return placesIn(this.#arenaFor(sizes.reduce((sum, bytes) => sum + padded(bytes), 0)), sizes);
  }

  /** The same in an arena of choice; undefined where that cannot hold them. */
  allocateIn(home: Home | undefined, sizes: readonly number[]): Place[] | undefined {
    const arena = this.#arenas.find((candidate) => candidate === home);
    const total = sizes.reduce((sum, bytes) => sum + padded(bytes), 0);
    return arena?.hasRoomFor(total) ? placesIn(arena, sizes) : undefined;
  }

  /** Makes room for so many bytes in one arena, where that is possible, so that many allocations move it once. */
  reserve(bytes: number): void {
    if (bytes <= this.#device.bindingBytes) this.#arenaFor(bytes);
  }

  /** Nothing in it is used any more. */
  dispose(): void {
    for (const arena of this.#arenas) arena.destroy();
    this.#arenas.length = 0;
  }

  #arenaFor(bytes: number): Arena {
    this.#device.check();
    const known = this.#arenas.find((arena) => arena.hasRoomFor(bytes));
    if (known) return known;
    const { bindingBytes, bufferBytes } = this.#device;
    if (bytes > bufferBytes)
      throw new StepjitError(
        "out-of-memory",
        `webgpu: ${bytes} bytes in one buffer; this device allows ${bufferBytes}`,
      );
    const limit = Math.max(bytes, bindingBytes); // a tensor larger than a binding has a buffer of its own, bound piece by piece
    const arena = new Arena(this.#device, this.#label, limit, bytes);
    this.#arenas.push(arena);
    return arena;
  }
}

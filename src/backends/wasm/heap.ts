/**
 * Memory for tensors and tables: one WebAssembly.Memory that all kernels import, and a list of its free ranges. Addresses are
 * unsigned; a range may end at exactly 4 GiB.
 */
import { StepjitError } from "../../error.ts";
import { alignTo } from "./layout.ts";

/** Where kernels work: our own memory, or somebody else's. */
export interface Heap {
  readonly memory: WebAssembly.Memory;
  readonly shared: boolean;
  /** Zero-filled, 64-byte aligned. Throws `out-of-memory`. */
  allocate(bytes: number): number;
  free(address: number): void;
  /** True for a buffer of this memory, one that growth has replaced included. */
  recognises(buffer: ArrayBufferLike): boolean;
}

/** A memory that somebody else manages; `allocate` gives 0 when it is full, as malloc does. */
export interface ForeignMemory {
  /** What kernels import. */
  readonly memory: WebAssembly.Memory;
  /** The address of so many bytes, or 0. */
  readonly allocate: (bytes: number) => number;
  /** Takes back what `allocate` gave. */
  readonly free: (address: number) => void;
}

const PAGE = 65_536;
const MAXIMUM_PAGES = 65_536;
const MAXIMUM_BYTES = MAXIMUM_PAGES * PAGE;
const ALIGNMENT = 64;

/** Shared wherever a SharedArrayBuffer may be made, so that workers can join. */
export function canShare(): boolean {
  return (
    typeof SharedArrayBuffer !== "undefined" &&
    ((globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated ?? true)
  );
}

/** The buffers a memory has had. An older SharedArrayBuffer of a memory that grew is still the same memory. */
class Buffers {
  readonly memory: WebAssembly.Memory;
  readonly #seen = new WeakSet<ArrayBufferLike>();

  constructor(memory: WebAssembly.Memory) {
    this.memory = memory;
    this.see();
  }

  see(): void {
    this.#seen.add(this.memory.buffer);
  }

  has(buffer: ArrayBufferLike): boolean {
    this.see();
    return this.#seen.has(buffer);
  }
}

/** A range of bytes, its end exclusive. */
interface Range {
  start: number;
  end: number;
}

export class OwnHeap implements Heap {
  readonly memory: WebAssembly.Memory;
  readonly shared: boolean;
  readonly #buffers: Buffers;
  readonly #free: FreeList;
  /** Bytes above this were never handed out, so they are still zero. */
  #touched: number;

  constructor() {
    const initial = 16;
    this.shared = canShare();
    this.memory = new WebAssembly.Memory({ initial, maximum: MAXIMUM_PAGES, shared: this.shared });
    this.#buffers = new Buffers(this.memory);
    // Address 0 stays unused: it is what a forgotten address looks like.
    this.#free = new FreeList({ start: ALIGNMENT, end: initial * PAGE });
    this.#touched = ALIGNMENT;
  }

  get inUse(): number {
    return this.#free.inUse;
  }

  recognises(buffer: ArrayBufferLike): boolean {
    return this.#buffers.has(buffer);
  }

  allocate(bytes: number): number {
    const size = Math.max(ALIGNMENT, alignTo(bytes, ALIGNMENT));
    const address = this.#free.take(size) ?? this.#growAndTake(size, bytes);
    zeroFill(this.memory, address, Math.min(address + size, this.#touched));
    this.#touched = Math.max(this.#touched, address + size);
    return address;
  }

  free(address: number): void {
    this.#free.give(address);
  }

  #growAndTake(size: number, asked: number): number {
    const end = this.memory.buffer.byteLength;
    const missing = size - this.#free.tail(end);
    // Twice as much, or 256 MiB more where that is a lot.
    const generous = Math.min(end, 256 * 2 ** 20);
    for (const more of [Math.max(missing, generous), missing]) {
      const pages = Math.ceil(more / PAGE);
      if (end + pages * PAGE > MAXIMUM_BYTES || !this.#grow(pages)) continue;
      this.#buffers.see();
      this.#free.extend(end, end + pages * PAGE);
      return this.#free.take(size) as number;
    }
    throw outOfMemory(asked, `${this.inUse} bytes are in use of ${MAXIMUM_BYTES} allowed`);
  }

  #grow(pages: number): boolean {
    try {
      this.memory.grow(pages);
      return true;
    } catch {
      return false;
    }
  }
}

export class ForeignHeap implements Heap {
  readonly memory: WebAssembly.Memory;
  readonly shared: boolean;
  readonly #foreign: ForeignMemory;
  readonly #buffers: Buffers;
  /** What their allocator gave for each of our aligned addresses. */
  readonly #given = new Map<number, { address: number; bytes: number }>();

  constructor(foreign: ForeignMemory) {
    this.memory = foreign.memory;
    this.#foreign = foreign;
    this.shared =
      typeof SharedArrayBuffer !== "undefined" &&
      (foreign.memory.buffer as ArrayBufferLike) instanceof SharedArrayBuffer;
    this.#buffers = new Buffers(foreign.memory);
  }

  recognises(buffer: ArrayBufferLike): boolean {
    return this.#buffers.has(buffer);
  }

  allocate(bytes: number): number {
    const size = Math.max(ALIGNMENT, alignTo(bytes, ALIGNMENT));
    const address = this.#foreign.allocate(size + ALIGNMENT) >>> 0;
    if (address === 0) {
      const inUse = [...this.#given.values()].reduce((sum, given) => sum + given.bytes, 0);
      const length = this.memory.buffer.byteLength;
      throw outOfMemory(bytes, `${inUse} bytes are in use by stepjit in a foreign memory of ${length} bytes`);
    }
    const aligned = alignTo(address, ALIGNMENT);
    this.#given.set(aligned, { address, bytes: size });
    zeroFill(this.memory, aligned, aligned + size);
    return aligned;
  }

  free(address: number): void {
    const given = this.#given.get(address);
    if (!given) return;
    this.#given.delete(address);
    this.#foreign.free(given.address);
  }
}

/** Free ranges in order of address, neighbours merged; and the size of each range handed out. */
export class FreeList {
  readonly #ranges: Range[];
  readonly #taken = new Map<number, number>();
  #inUse = 0;

  constructor(range: Range) {
    this.#ranges = [{ ...range }];
  }

  get inUse(): number {
    return this.#inUse;
  }

  get ranges(): readonly Readonly<Range>[] {
    return this.#ranges;
  }

  /** The start of the first range that is large enough; undefined where none is. */
  take(size: number): number | undefined {
    const at = this.#ranges.findIndex(({ start, end }) => end - start >= size);
    const range = this.#ranges[at];
    if (!range) return undefined;
    const { start } = range;
    range.start += size;
    if (range.start === range.end) this.#ranges.splice(at, 1);
    this.#taken.set(start, size);
    this.#inUse += size;
    return start;
  }

  give(start: number): void {
    const size = this.#taken.get(start);
    if (size === undefined) return;
    this.#taken.delete(start);
    this.#inUse -= size;
    this.extend(start, start + size);
  }

  /** Adds a free range and merges it with its neighbours. */
  extend(start: number, end: number): void {
    const ranges = this.#ranges;
    const found = ranges.findIndex((range) => range.start > start);
    const at = found < 0 ? ranges.length : found;
    const [before, after] = [ranges[at - 1], ranges[at]];
    const merged = { start, end };
    const from = before?.end === start ? at - 1 : at;
    const to = after?.start === end ? at + 1 : at;
    if (before && from < at) merged.start = before.start;
    if (after && to > at) merged.end = after.end;
    ranges.splice(from, to - from, merged);
  }

  /** Free bytes right below `end`. */
  tail(end: number): number {
    const last = this.#ranges.at(-1);
    return last?.end === end ? end - last.start : 0;
  }
}

/** In u32 words: a view of bytes may be too short for 4 GiB. */
function zeroFill(memory: WebAssembly.Memory, start: number, end: number): void {
  if (end > start) new Uint32Array(memory.buffer, start, (end - start) / 4).fill(0);
}

function outOfMemory(bytes: number, state: string): StepjitError {
  return new StepjitError("out-of-memory", `${bytes} bytes were asked for, ${state}`);
}

/** A tensor in GPU memory: one range of a buffer, or several where it is too large to be bound at once. */
import { StepjitError } from "../../error.ts";
import type { FloatArray, Storage } from "../backend.ts";
import type { Device } from "./device.ts";
import type { Home } from "./memory.ts";

/** Adjacent elements of a tensor, from `start` on, at a byte offset of a buffer. */
export interface Segment {
  readonly home: Home;
  readonly offset: number;
  readonly start: number;
  readonly length: number;
}

/**
 * - `tensor`: parameters and gradients of ours
 * - `state`: slots over elements
 * - `axes`: slots over fewer axes
 * - `foreign`: a buffer that belongs to somebody else
 */
export type Kind = "tensor" | "state" | "axes" | "foreign";

export class WebGpuStorage implements Storage {
  readonly dtype = "f32";
  readonly length: number;
  readonly visible = false;
  readonly moves: boolean;
  readonly device: Device;
  readonly kind: Kind;
  #segments: readonly Segment[];
  #release: () => void;

  constructor(
    device: Device,
    kind: Kind,
    segments: readonly Segment[],
    { release = () => {}, moves = false } = {},
  ) {
    this.device = device;
    this.kind = kind;
    this.length = segments.reduce((sum, { length }) => sum + length, 0);
    this.moves = moves;
    this.#segments = segments;
    this.#release = release;
  }

  get segments(): readonly Segment[] {
    return this.#segments;
  }

  view(): FloatArray {
    throw new StepjitError(
      "device-memory",
      "this tensor is in GPU memory: take a copy with await tensor.read(), replace its elements with tensor.write(data)",
    );
  }

  async read(): Promise<FloatArray> {
    const ranges = this.#segments.map(({ home, offset, length }) => ({
      buffer: home.buffer,
      offset,
      bytes: 4 * length,
    }));
    return new Float32Array(await this.device.read(ranges));
  }

  write(data: FloatArray): void {
    const numbers = unshared(data);
    for (const { home, offset, start, length } of this.#segments)
      this.device.write(home.buffer, offset, numbers, start, length);
  }

  fill(value: number): void {
    for (const { home, offset, length } of this.#segments) {
      if (value === 0) this.device.encode((encoder) => encoder.clearBuffer(home.buffer, offset, 4 * length));
      else {
        const part = new Float32Array(Math.min(length, FILL_ELEMENTS)).fill(value);
        for (let at = 0; at < length; at += part.length)
          this.device.write(home.buffer, offset + 4 * at, part, 0, Math.min(part.length, length - at));
      }
    }
  }

  copyFrom(source: Storage): void {
    if (source instanceof WebGpuStorage && source.device === this.device)
      this.device.encode((encoder) => copyElements(encoder, source.segments, this.#segments));
    else this.write(source.view());
  }

  /** Goes to another place, contents and all; what it had is given back. */
  moveTo(segments: readonly Segment[], release: () => void): void {
    const before = this.#segments;
    this.device.encode((encoder) => copyElements(encoder, before, segments));
    this.#release();
    this.#segments = segments;
    this.#release = release;
  }

  free(): void {
    this.#release();
    this.#release = () => {};
  }
}

/** Numbers that a queue can read: not every implementation reads shared memory, which WebAssembly's is; Node's ends the process. */
function unshared(data: FloatArray): Float32Array {
  const isShared = typeof SharedArrayBuffer !== "undefined" && data.buffer instanceof SharedArrayBuffer;
  return data instanceof Float32Array && !isShared ? data : Float32Array.from(data);
}

/** Elements written at once where memory is filled. */
const FILL_ELEMENTS = 1 << 20;

/** Between two cuts of the same tensor, range by range of what both have in one piece. */
function copyElements(encoder: GPUCommandEncoder, from: readonly Segment[], to: readonly Segment[]): void {
  for (const source of from)
    for (const target of to) {
      const start = Math.max(source.start, target.start);
      const length = Math.min(source.start + source.length, target.start + target.length) - start;
      if (length > 0)
        encoder.copyBufferToBuffer(
          source.home.buffer,
          source.offset + 4 * (start - source.start),
          target.home.buffer,
          target.offset + 4 * (start - target.start),
          4 * length,
        );
    }
}

/** Times of compute passes by the device's clock: two timestamp queries a pass. */
import type { DeviceTimer, Interval } from "../backend.ts";
import { COPY_SRC, type Device, QUERY_RESOLVE, type Range } from "./device.ts";

/** As many as a query set may have. https://www.w3.org/TR/webgpu/#dom-gpudevice-createqueryset */
const QUERIES = 4096;

export function canTime({ gpu }: Device): boolean {
  return gpu.features.has("timestamp-query");
}

/** One query set, used again and again: when it is full, its times are copied out, on the queue and so in order, before the next pass. */
export class Timestamps implements DeviceTimer {
  readonly #device: Device;
  readonly #queries: GPUQuerySet;
  /** Queries taken since the set was last copied out. */
  #taken = 0;
  readonly #copied: Range[] = [];

  constructor(device: Device) {
    this.#device = device;
    this.#queries = device.guard(
      "out-of-memory",
      "webgpu: timestamp queries",
      () => device.gpu.createQuerySet({ label: "stepjit launches", type: "timestamp", count: QUERIES }),
      () => {}, // then a step that uses it is refused, which is told there
    );
  }

  get launches(): number {
    const before = this.#copied.reduce((sum, { bytes }) => sum + bytes / 16, 0);
    return before + this.#taken / 2;
  }

  /** For the next pass, which is not open yet. */
  next(): GPUComputePassTimestampWrites {
    if (this.#taken === QUERIES) this.#copyOut();
    const first = this.#taken;
    this.#taken += 2;
    return { querySet: this.#queries, beginningOfPassWriteIndex: first, endOfPassWriteIndex: first + 1 };
  }

  async read(): Promise<(Interval | null)[]> {
    if (this.#taken > 0) this.#copyOut();
    return intervals(new BigUint64Array(await this.#device.read(this.#copied)));
  }

  dispose(): void {
    for (const { buffer } of this.#copied) buffer.destroy();
    this.#copied.length = 0;
    this.#queries.destroy();
  }

  #copyOut(): void {
    const taken = this.#taken;
    const bytes = 8 * taken;
    const buffer = this.#device.createBuffer("timestamps", bytes, QUERY_RESOLVE | COPY_SRC);
    this.#device.encode((encoder) => encoder.resolveQuerySet(this.#queries, 0, taken, buffer, 0));
    this.#copied.push({ buffer, offset: 0, bytes });
    this.#taken = 0;
  }
}

/** In nanoseconds since whenever, which may be more than a number holds: subtracted first. A query that was not written is 0. */
export function intervals(times: BigUint64Array): (Interval | null)[] {
  const zero = times.find((time) => time > 0n) ?? 0n;
  const milliseconds = (time: bigint) => Number(time - zero) / 1e6;
  return Array.from({ length: times.length / 2 }, (_, i) => {
    const [begin, end] = times.subarray(2 * i, 2 * i + 2) as unknown as [bigint, bigint];
    if (begin === 0n || end < begin) return null; // a clock that was set back: drivers may do so
    return { begin: milliseconds(begin), end: milliseconds(end) };
  });
}

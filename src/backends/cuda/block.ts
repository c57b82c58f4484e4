/**
 * All that a plan has on the device beside its tensors, in one allocation: what the host writes, then what only kernels write. Addresses
 * stay what they are as long as the plan does.
 *
 * Tables that change lie side by side, the scalars last, which every step uploads: in a step without news that is all, and where
 * gradients are others than before one upload has both. A table is uploaded whole or not at all, so that steps that differ in numbers
 * only look the same to a graph.
 */
import type { Memory } from "./memory.ts";
import type { Address, Device } from "./native/device.ts";

/** Written by the host, in this order. */
export const TABLES = ["chunks", "rows", "hypers", "tensors", "scalars"] as const;

/** Written by kernels only. */
export const RESULTS = ["totals", "records", "partials", "axes"] as const;

export type TableName = (typeof TABLES)[number];
export type RegionName = TableName | (typeof RESULTS)[number];

/** Where a region begins. */
const ALIGNMENT = 256;

/** What the host writes: a copy of the device's, uploaded when it has changed. */
export class Table {
  readonly offset: number;
  /** Bytes in use. */
  used: number;
  isDirty = false;
  readonly #words: BigUint64Array;
  readonly #numbers: Float64Array;
  readonly #halves: Uint32Array;

  constructor(buffer: ArrayBuffer, offset: number, bytes: number) {
    this.offset = offset;
    this.used = bytes;
    this.#words = new BigUint64Array(buffer, offset, Math.ceil(bytes / 8));
    this.#numbers = new Float64Array(buffer, offset, this.#words.length);
    this.#halves = new Uint32Array(buffer, offset, bytes / 4);
  }

  setWord(index: number, value: bigint): void {
    if (this.#words[index] === value) return;
    this.#words[index] = value;
    this.isDirty = true;
  }

  setNumber(index: number, value: number): void {
    if (Object.is(this.#numbers[index], value)) return;
    this.#numbers[index] = value;
    this.isDirty = true;
  }

  /** The first u32, from now on; what follows is not in use. */
  replace(halves: Uint32Array): void {
    this.#halves.set(halves);
    this.used = 4 * halves.length;
    this.isDirty = true;
  }
}

export class Block {
  readonly tables: Readonly<Record<TableName, Table>>;
  readonly #device: Device;
  readonly #address: Address;
  readonly #offsets: Readonly<Record<RegionName, number>>;
  readonly #copy: ArrayBuffer;

  /** Zero-filled. Throws `out-of-memory`. */
  constructor(memory: Memory, bytes: Readonly<Record<RegionName, number>>) {
    let end = 0;
    const place = (name: RegionName): [RegionName, number] => {
      const offset = end;
      end = Math.ceil((end + bytes[name]) / ALIGNMENT) * ALIGNMENT;
      return [name, offset];
    };
    const tables = TABLES.map(place);
    this.#copy = new ArrayBuffer(end);
    this.#offsets = Object.fromEntries([...tables, ...RESULTS.map(place)]) as Record<RegionName, number>;
    this.tables = Object.fromEntries(
      tables.map(([name, offset]) => [name, new Table(this.#copy, offset, bytes[name as TableName])]),
    ) as Record<TableName, Table>;
    this.#device = memory.device;
    this.#address = memory.take(end);
  }

  addressOf(name: RegionName): Address {
    return this.#address + BigInt(this.#offsets[name]);
  }

  /** Uploads the tables that have changed; neighbours at once. */
  upload(): void {
    let from: number | undefined;
    let to = 0;
    for (const name of TABLES) {
      const table = this.tables[name];
      if (table.isDirty) {
        from ??= table.offset;
        to = table.offset + table.used;
      } else if (from !== undefined) {
        this.#uploadBytes(from, to);
        from = undefined;
      }
      table.isDirty = false;
    }
    if (from !== undefined) this.#uploadBytes(from, to);
  }

  #uploadBytes(from: number, to: number): void {
    if (from < to)
      this.#device.upload(this.#address + BigInt(from), new Uint8Array(this.#copy, from, to - from));
  }

  dispose(): void {
    this.#device.free(this.#address);
  }
}

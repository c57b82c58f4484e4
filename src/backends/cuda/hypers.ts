/** Hyperparameters that live on the device in some group: kernels read them there; in other groups they are numbers of the host's. */
import type { NumberTable, Storage } from "../backend.ts";
import type { Table } from "./block.ts";
import { HYPER, HYPER_WORDS } from "./layout.ts";
import type { Address, Device } from "./native/device.ts";
import type { CudaStorage } from "./storage.ts";

export class Hypers {
  readonly #names: readonly string[];
  readonly #table: Table;
  readonly #address: Address;
  /** Those that are doubles, by their first word: copied into the table before each step, since addresses are of f32. */
  readonly #doubles = new Map<number, CudaStorage>();

  constructor({ hypers }: NumberTable, table: Table, address: Address) {
    this.#names = hypers;
    this.#table = table;
    this.#address = address;
  }

  bind(group: number, name: string, value: number | Storage): void {
    const at = HYPER_WORDS * (group * this.#names.length + this.#names.indexOf(name));
    this.#doubles.delete(at);
    let address = 0n;
    if (typeof value === "number") this.#table.setNumber(at + HYPER.value, value);
    else if (value.dtype === "f32") address = (value as CudaStorage).address;
    else this.#doubles.set(at, value as CudaStorage);
    this.#table.setWord(at + HYPER.address, address);
  }

  /** After the table was uploaded. */
  copyDoubles(device: Device): void {
    for (const [at, storage] of this.#doubles)
      device.copy(this.#address + BigInt(8 * (at + HYPER.value)), storage.address, 8);
  }
}

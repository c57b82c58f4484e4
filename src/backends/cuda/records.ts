/** What a device remembers of each parameter: doubles, `records[parameter * names + name]`. */
import type { DeviceRecord, NumberTable } from "../backend.ts";
import type { Address, Device } from "./native/device.ts";

export class Records {
  readonly #device: Device;
  readonly #names: readonly string[];
  readonly #parameters: number;
  readonly #address: Address;
  /** Numbers that lie side by side, not uploaded yet: a new parameter is told of by one name after the other. */
  #first = 0;
  #pending: number[] = [];

  constructor(device: Device, { records }: NumberTable, parameters: number, address: Address) {
    this.#device = device;
    this.#names = records;
    this.#parameters = parameters;
    this.#address = address;
  }

  write(parameter: number, name: string, value: number): void {
    const at = parameter * this.#names.length + this.#names.indexOf(name);
    if (at !== this.#first + this.#pending.length) this.flush();
    if (this.#pending.length === 0) this.#first = at;
    this.#pending.push(value);
  }

  /** What was written is the device's before all that is enqueued from here on. */
  flush(): void {
    if (this.#pending.length === 0) return;
    this.#device.upload(this.#at(this.#first), new Uint8Array(Float64Array.from(this.#pending).buffer));
    this.#pending = [];
  }

  /** Takes over what both remember: at once where that is the same, else parameter by parameter and name by name. */
  inherit(from: Records): void {
    from.flush();
    this.flush();
    const [mine, theirs] = [this.#names, from.#names];
    const parameters = Math.min(this.#parameters, from.#parameters);
    if (mine.join() === theirs.join()) {
      const numbers = parameters * mine.length;
      if (numbers > 0) this.#device.copy(this.#at(0), from.#at(0), 8 * numbers);
      return;
    }
    for (const [to, name] of mine.entries()) {
      const at = theirs.indexOf(name);
      for (let parameter = 0; at >= 0 && parameter < parameters; parameter++)
        this.#device.copy(
          this.#at(parameter * mine.length + to),
          from.#at(parameter * theirs.length + at),
          8,
        );
    }
  }

  async read(): Promise<DeviceRecord[]> {
    this.flush();
    const { length } = this.#names;
    const bytes = 8 * length * this.#parameters;
    const numbers = new Float64Array(bytes === 0 ? [] : await this.#device.download(this.#address, bytes));
    return Array.from({ length: this.#parameters }, (_, parameter) =>
      Object.fromEntries(this.#names.map((name, i) => [name, numbers[parameter * length + i] as number])),
    );
  }

  #at(index: number): Address {
    return this.#address + BigInt(8 * index);
  }
}

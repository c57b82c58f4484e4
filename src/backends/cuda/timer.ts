/** Times of launches by the device's clock: a mark in the stream before and after each. */
import type { DeviceTimer, Interval } from "../backend.ts";
import type { Device, Mark } from "./native/device.ts";

interface Marks {
  readonly begin: Mark;
  readonly end: Mark;
}

export class MarkTimer implements DeviceTimer {
  readonly #device: Device;
  readonly #launches: Marks[] = [];

  constructor(device: Device) {
    this.#device = device;
  }

  get launches(): number {
    return this.#launches.length;
  }

  measure(launch: () => void): void {
    const begin = this.#device.mark();
    launch();
    this.#launches.push({ begin, end: this.#device.mark() });
  }

  /** The first begins at zero. */
  async read(): Promise<Interval[]> {
    const first = this.#launches[0]?.begin as Mark;
    return Promise.all(
      this.#launches.map(async (marks) => {
        const begin = await this.#device.elapsed(first, marks.begin);
        return { begin, end: begin + (await this.#device.elapsed(marks.begin, marks.end)) };
      }),
    );
  }

  dispose(): void {
    for (const { begin, end } of this.#launches.splice(0)) {
      begin.dispose();
      end.dispose();
    }
  }
}

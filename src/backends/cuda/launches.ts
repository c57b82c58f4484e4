import type { Tables } from "../backend.ts";
import { COUNTS, rowFloats } from "../gpu/layout.ts";
import type { Block } from "./block.ts";
import { ADDRESS_NAMES, LAUNCH_BYTES, PROGRAM_THREADS } from "./layout.ts";

/** What the kernels of a plan are given, a `struct Launch` each: for every phase one for its programs and one for its kernels. */
export class Launches {
  readonly #programs: readonly Uint8Array[];
  readonly #kernels: readonly Uint8Array[];

  constructor({ phases, classes, tensors, groups, chunks }: Tables, block: Block) {
    const count = chunks.length / 4;
    const structOf = (stride: number) => {
      const struct = new Uint8Array(LAUNCH_BYTES);
      const addresses = new BigUint64Array(struct.buffer, 0, ADDRESS_NAMES.length);
      ADDRESS_NAMES.forEach((name, index) => {
        addresses[index] = block.addressOf(name);
      });
      const counts: Record<(typeof COUNTS)[number], number> = {
        count,
        stride,
        scalar_rows: 0,
        row_floats: rowFloats(classes),
        groups,
        parameters: tensors.length,
        lanes: lanesFor(count / Math.max(1, tensors.length)),
      };
      countsOf(struct).set(COUNTS.map((name) => counts[name]));
      return struct;
    };
    // Programs finish what the phase before left.
    this.#programs = phases.map((_, phase) => structOf(phases[phase - 1]?.totals ?? 0));
    this.#kernels = phases.map(({ totals }) => structOf(totals));
  }

  setRows(rows: number): void {
    for (const struct of [...this.#programs, ...this.#kernels])
      countsOf(struct)[COUNTS.indexOf("scalar_rows")] = rows;
  }

  ofPrograms(phase: number): Uint8Array {
    return this.#programs[phase] as Uint8Array;
  }

  ofKernels(phase: number): Uint8Array {
    return this.#kernels[phase] as Uint8Array;
  }
}

function countsOf({ buffer }: Uint8Array): Uint32Array {
  return new Uint32Array(buffer, 8 * ADDRESS_NAMES.length, COUNTS.length);
}

/** Threads for so many numbers: the least power of two that gives each of them one at most, of those there are. */
function lanesFor(numbers: number): number {
  return Math.min(PROGRAM_THREADS, 2 ** Math.ceil(Math.log2(Math.max(1, numbers))));
}

import type { RowOf, Tables } from "../backend.ts";
import { rowFloats } from "../gpu/layout.ts";
import { COPY_DST, type Device, UNIFORM } from "./device.ts";
import { LAUNCH, PROGRAM_THREADS } from "./layout.ts";
import { Table } from "./table.ts";
import type { Dispatch } from "./tables.ts";

/** Bytes from one uniform to the next: what an offset into a uniform buffer has to be a multiple of. */
const STRIDE = 256;

/** The uniforms of a plan: for each phase one for its programs, then one for each of its dispatches. */
export class Launches {
  readonly #table: Table;
  #perPhase = 1;

  constructor(device: Device) {
    this.#table = new Table(device, "launches", UNIFORM | COPY_DST);
  }

  write(
    { phases, classes, tensors, groups, chunks }: Tables,
    dispatches: readonly Dispatch[],
    rows: readonly RowOf[],
  ): void {
    const count = chunks.length / 4;
    const shared = {
      scalar_rows: rows.length,
      row_floats: rowFloats(classes),
      groups,
      parameters: tensors.length,
      lanes: lanesFor(count / Math.max(1, tensors.length)),
    };
    this.#perPhase = dispatches.length + 1;
    const table = new Uint32Array((phases.length * this.#perPhase * STRIDE) / 4);
    phases.forEach(({ totals }, phase) => {
      // Programs finish what the phase before left.
      const programs = { first: 0, count, stride: phases[phase - 1]?.totals ?? 0 };
      const kernels = dispatches.map((dispatch) => ({ ...dispatch, stride: totals }));
      [programs, ...kernels].forEach((own, index) => {
        const launch: Record<(typeof LAUNCH)[number], number> = { ...shared, ...own };
        const words = LAUNCH.map((name) => launch[name]);
        table.set(words, this.#offset(phase, index) / 4);
      });
    });
    this.#table.replace(table);
  }

  ofPrograms(phase: number): GPUBufferBinding {
    return this.#at(phase, 0);
  }

  ofDispatch(phase: number, index: number): GPUBufferBinding {
    return this.#at(phase, index + 1);
  }

  upload(): void {
    this.#table.upload();
  }

  dispose(): void {
    this.#table.dispose();
  }

  #at(phase: number, index: number): GPUBufferBinding {
    return { buffer: this.#table.buffer, offset: this.#offset(phase, index), size: 4 * LAUNCH.length };
  }

  #offset(phase: number, index: number): number {
    return (phase * this.#perPhase + index) * STRIDE;
  }
}

/** Threads for so many numbers: the least power of two that gives each of them one at most, of those there are. */
function lanesFor(numbers: number): number {
  return Math.min(PROGRAM_THREADS, 2 ** Math.ceil(Math.log2(Math.max(1, numbers))));
}

/** The memory of a hand-written kernel: one arena for each of p, g, m and v, every tensor in it on cache lines of its own. */
import type { Problem } from "../problem.ts";

export const ROLES = ["p", "g", "m", "v"] as const;
export type Role = (typeof ROLES)[number];

const PAGE = 65_536;
const LINE = 64;

export class Arenas {
  readonly memory: WebAssembly.Memory;
  /** Byte offsets of the tensors within each arena. */
  readonly offsets: readonly number[];
  /** Bytes of one arena. */
  readonly bytes: number;
  /** Byte address of each arena. */
  readonly bases: Readonly<Record<Role, number>>;
  /** Free for the kernel's own tables; `tableBytes` long. */
  readonly table: number = LINE;
  readonly #problem: Problem;

  constructor(problem: Problem, tableBytes: number) {
    this.#problem = problem;
    let bytes = 0;
    this.offsets = problem.tensors.map(({ size }) => {
      const offset = bytes;
      bytes += alignTo(4 * size, LINE);
      return offset;
    });
    this.bytes = bytes;
    // Arenas at one address modulo 4 KiB would have every load wait for an unrelated store.
    const first = alignTo(this.table + tableBytes, 4096);
    const stride = alignTo(bytes, 4096) + 1024;
    this.bases = { p: first, g: first + stride, m: first + 2 * stride, v: first + 3 * stride };
    const pages = Math.ceil((first + 4 * stride) / PAGE);
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  }

  view(role: Role, tensor: number): Float32Array {
    const { size } = this.#problem.tensors[tensor] as Problem["tensors"][number];
    return new Float32Array(this.memory.buffer, this.bases[role] + (this.offsets[tensor] as number), size);
  }
}

function alignTo(bytes: number, unit: number): number {
  return Math.ceil(bytes / unit) * unit;
}

/** The tensor rows of a plan: where each parameter's tensors are, and whether it takes part. */
import { StepjitError } from "../../error.ts";
import { blocksOf } from "../../plan/chunks.ts";
import { totalPlaces } from "../../plan/layout.ts";
import type { ClassLayout, DeviceReport, Placement, Storage, Tables } from "../backend.ts";
import { baseWord, FLAGS, SIZES, sizeWord, TENSOR_ROW, tensorRowWords } from "../gpu/layout.ts";
import type { Table } from "./block.ts";
import type { Memory } from "./memory.ts";
import type { Address } from "./native/device.ts";
import type { CudaStorage } from "./storage.ts";

interface BoundTensor {
  readonly name: string;
  readonly layout: ClassLayout;
  /** Its first word. */
  readonly row: number;
  /** By role. */
  readonly storages: (CudaStorage | undefined)[];
  isActive: boolean;
}

export class BoundTensors {
  readonly #memory: Memory;
  readonly #table: Table;
  readonly #all: readonly BoundTensor[];
  /** Tensors given back when all of these were known to be there. */
  #frees = -1;

  /** `axes`: where totals over axes are kept. */
  constructor(tables: Tables, memory: Memory, table: Table, axes: Address) {
    this.#memory = memory;
    this.#table = table;
    const words = tensorRowWords(tables.classes);
    let next = axes;
    this.#all = tables.tensors.map(({ name, classIndex, dims }, tensor) => {
      const layout = tables.classes[classIndex] as ClassLayout;
      const row = tensor * words;
      table.setWord(row + TENSOR_ROW.classIndex, BigInt(classIndex));
      table.setWord(row + TENSOR_ROW.flags, BigInt(FLAGS.inactive));
      table.setWord(row + TENSOR_ROW.parameter, BigInt(tensor));
      layout.totals.forEach((total, index) => {
        table.setWord(row + baseWord(layout.roles.length + index), next);
        next += BigInt(8 * totalPlaces(total, dims));
      });
      if (layout.view !== "vector") {
        const { rows, count } = blocksOf(dims);
        const sizes = {
          row: dims.R,
          b: dims.B,
          col: dims.C,
          d: dims.D,
          "block.rows": rows,
          "block.count": count,
        };
        for (const size of SIZES) table.setWord(row + sizeWord(layout, size), BigInt(sizes[size]));
      }
      return { name, layout, row, storages: layout.roles.map(() => undefined), isActive: false };
    });
  }

  bind(tensor: number, role: number, storage: Storage): void {
    const bound = this.#all[tensor] as BoundTensor;
    if (!this.#memory.owns(storage))
      throw new StepjitError(
        "invalid-parameters",
        `tensor ${tensor}, role ${role}: not in this device's memory`,
      );
    bound.storages[role] = storage;
    this.#table.setWord(bound.row + baseWord(role), storage.address);
    this.#writeFlags(bound);
  }

  setActive(tensor: number, active: boolean): void {
    const bound = this.#all[tensor] as BoundTensor;
    if (bound.isActive === active) return;
    bound.isActive = active;
    this.#frees = -1;
    this.#writeFlags(bound);
  }

  /** Where the parameter's numbers begin in `scalars`. */
  setScalars(tensor: number, at: number): void {
    const { row } = this.#all[tensor] as BoundTensor;
    this.#table.setWord(row + TENSOR_ROW.scalars, BigInt(at));
  }

  /** Throws `disposed` where a tensor that the coming step uses was given back: kernels would write to memory that is no one's. */
  check(): void {
    if (this.#frees === this.#memory.frees) return;
    for (const { name, layout, storages, isActive } of this.#all) {
      const role = isActive ? storages.findIndex((storage) => storage?.isFreed) : -1;
      if (role >= 0)
        throw new StepjitError("disposed", `${describe(layout.roles[role] as string, name)} was disposed`);
    }
    this.#frees = this.#memory.frees;
  }

  get report(): DeviceReport {
    const placements = this.#all.map(
      ({ storages }): Placement => (storages.some((storage) => storage?.isForeign) ? "bound" : "arena"),
    );
    return { copies: 0, bytes: 0, placements, rule: RULE };
  }

  #writeFlags({ row, storages, isActive }: BoundTensor): void {
    const isAligned = storages.every((storage) => storage?.isAligned ?? true);
    const flags = (isActive ? 0 : FLAGS.inactive) | (isAligned ? 0 : FLAGS.unaligned);
    this.#table.setWord(row + TENSOR_ROW.flags, BigInt(flags));
  }
}

const RULE =
  "kernels are given addresses: every tensor of the device is used where it is, and none is copied";

/** For people. */
function describe(role: string, name: string): string {
  if (role === "param") return `parameter "${name}"`;
  return role === "grad" ? `the gradient of "${name}"` : `the state of "${name}"`;
}

/** The tables of one plan, laid out in wasm memory, and launches over them. */

import { StepjitError } from "../../error.ts";
import { ELEMENT_BYTES } from "../../ir/type.ts";
import { blocksOf } from "../../plan/chunks.ts";
import { totalPlaces } from "../../plan/layout.ts";
import type { ClassLayout, Runner, Storage, Tables } from "../backend.ts";
import { Block } from "./block.ts";
import {
  alignTo,
  baseOffset,
  CHUNK,
  INACTIVE,
  JOB,
  NO_KERNEL,
  SIZES,
  scalarRowBytes,
  sizeOffset,
  TENSOR_ROW,
  tensorRowBytes,
} from "./layout.ts";
import type { Job } from "./pool.ts";
import { WasmStorage } from "./storage.ts";
import type { Workforce } from "./workforce.ts";

/** A smaller launch is over before a second thread has seen it. */
const PARALLEL_ELEMENTS = 128 * 1024;

/** u32 words a chunk; there are as many partial slots as chunks. */
const CHUNK_WORDS = CHUNK.bytes / 4;

/** A compiled kernel and its place in every thread's function table. */
export interface WasmPipeline {
  readonly text: string;
  readonly index: number;
}

interface Phase extends Job {
  /** Where in the block the partial sums are, and how many f64. */
  readonly partials: number;
  readonly partialCount: number;
}

export class WasmRunner implements Runner {
  readonly #tables: Tables;
  readonly #workforce: Workforce;
  readonly #block: Block;
  readonly #phases: readonly Phase[];
  readonly #parallel: boolean;
  /** Byte offsets in the block, and bytes a row. */
  readonly #tensors: number;
  readonly #tensorBytes: number;
  readonly #scalars: number;
  readonly #scalarBytes: number;
  #disposed = false;

  constructor(tables: Tables, workforce: Workforce) {
    const { classes, tensors } = tables;
    this.#tables = tables;
    this.#workforce = workforce;
    this.#parallel = tensors.reduce((sum, { elements }) => sum + elements, 0) >= PARALLEL_ELEMENTS;
    this.#tensorBytes = tensorRowBytes(classes);
    this.#scalarBytes = scalarRowBytes(classes);

    const places = placeTables(tables, this.#tensorBytes, this.#scalarBytes);
    const block = new Block(workforce.heap, places.bytes);
    this.#block = block;
    this.#tensors = places.tensors;
    this.#scalars = places.scalars;
    block.u32.set(tables.chunks, places.chunks / 4);
    block.u32.set(tables.spans, places.spans / 4);
    tensors.forEach(({ classIndex, elements }, tensor) => {
      this.#setRow(tensor, TENSOR_ROW.classIndex, classIndex);
      this.#setRow(tensor, TENSOR_ROW.elements, elements);
      this.setScalarRow(tensor, tensor);
    });
    this.#placeTotals(places.totals);
    this.#phases = places.phases.map((place, i) => this.#writePhase(i, place, places));
  }

  bind(tensor: number, role: number, storage: Storage): void {
    if (!(storage instanceof WasmStorage) || storage.heap !== this.#workforce.heap)
      throw new StepjitError(
        "invalid-parameters",
        `tensor ${tensor}, role ${role}: not in this backend's memory`,
      );
    this.#setRow(tensor, baseOffset(role), storage.address);
  }

  setActive(tensor: number, active: boolean): void {
    this.#setRow(tensor, TENSOR_ROW.flags, active ? 0 : INACTIVE);
  }

  setScalarRow(tensor: number, row: number): void {
    this.#setRow(tensor, TENSOR_ROW.scalars, this.#block.address + this.#scalars + row * this.#scalarBytes);
  }

  writeScalar(classIndex: number, row: number, slot: number, value: number): void {
    const { dtype } = this.#tables.classes[classIndex] as Tables["classes"][number];
    const bytes = ELEMENT_BYTES[dtype];
    const at = this.#scalars + row * this.#scalarBytes + slot * bytes;
    this.#block[dtype][at / bytes] = value;
  }

  launch(phase: number, threads: number): void {
    const job = this.#phases[phase];
    if (!job || this.#disposed) throw new StepjitError("disposed", "this plan was disposed of");
    const { pool, walker } = this.#workforce;
    const together = pool && this.#parallel ? Math.min(threads, pool.threads) : 1;
    try {
      if (pool && together > 1) pool.run(job, together);
      else walker.walk(job.address, 0, job.spanCount);
    } catch (cause) {
      throw new StepjitError("poisoned", `a kernel of phase ${phase} trapped: ${cause}`, { cause });
    }
  }

  partials(phase: number): Float64Array {
    const { partials, partialCount } = this.#phases[phase] as Phase;
    return this.#block.f64.subarray(partials / 8, partials / 8 + partialCount);
  }

  dispose(): void {
    this.#disposed = true;
    this.#block.free();
  }

  #setRow(tensor: number, field: number, value: number): void {
    this.#block.u32[(this.#tensors + tensor * this.#tensorBytes + field) / 4] = value;
  }

  /** Where each tensor's totals over axes are, and its sizes, which walking axes takes. */
  #placeTotals(start: number): void {
    const { classes, tensors } = this.#tables;
    let at = this.#block.address + start;
    tensors.forEach(({ classIndex, dims }, tensor) => {
      const layout = classes[classIndex] as ClassLayout;
      if (layout.view === "vector") return;
      layout.totals.forEach((total, index) => {
        this.#setRow(tensor, baseOffset(layout.roles.length + index), at);
        at += 8 * totalPlaces(total, dims);
      });
      const { rows, count } = blocksOf(dims);
      const sizes = {
        row: dims.R,
        b: dims.B,
        col: dims.C,
        d: dims.D,
        "block.rows": rows,
        "block.count": count,
      };
      for (const name of SIZES) this.#setRow(tensor, sizeOffset(layout, name), sizes[name]);
    });
  }

  #writePhase(index: number, place: PhasePlaces, places: Places): Phase {
    const { chunks, spans, phases } = this.#tables;
    const { pipelines, totals } = phases[index] as Tables["phases"][number];
    const indices = pipelines.map((pipeline) => (pipeline ? (pipeline as WasmPipeline).index : NO_KERNEL));
    const { address, u32 } = this.#block;
    const spanCount = spans.length - 1;
    const words: Record<Exclude<keyof typeof JOB, "bytes">, number> = {
      tensors: address + places.tensors,
      tensorBytes: this.#tensorBytes,
      chunks: address + places.chunks,
      spans: address + places.spans,
      spanCount,
      kernels: address + place.kernels,
      partials: address + place.partials,
      totals,
    };
    for (const [name, word] of Object.entries(words))
      u32[(place.job + JOB[name as keyof typeof words]) / 4] = word;
    u32.set(indices, place.kernels / 4);
    return {
      address: address + place.job,
      spanCount,
      kernels: 1 + Math.max(-1, ...indices.filter((kernel) => kernel !== NO_KERNEL)),
      partials: place.partials,
      partialCount: totals * (chunks.length / CHUNK_WORDS),
    };
  }
}

interface PhasePlaces {
  readonly job: number;
  readonly kernels: number;
  readonly partials: number;
}

interface Places {
  readonly tensors: number;
  readonly scalars: number;
  readonly chunks: number;
  readonly spans: number;
  readonly totals: number;
  readonly phases: readonly PhasePlaces[];
  readonly bytes: number;
}

/** Numbers of all totals over axes. */
function totalsLength({ classes, tensors }: Tables): number {
  const of = ({ classIndex, dims }: Tables["tensors"][number]) =>
    (classes[classIndex] as ClassLayout).totals.reduce((sum, total) => sum + totalPlaces(total, dims), 0);
  return tensors.reduce((sum, tensor) => sum + of(tensor), 0);
}

/** Every table's offset in the plan's block: each on its own cache lines. */
function placeTables(tables: Tables, tensorBytes: number, scalarBytes: number): Places {
  const { classes, tensors, chunks, spans, phases } = tables;
  const slots = chunks.length / CHUNK_WORDS;
  let end = 0;
  const place = (bytes: number): number => {
    const start = end;
    end = alignTo(end + bytes, 64);
    return start;
  };
  return {
    tensors: place(tensors.length * tensorBytes),
    scalars: place(tensors.length * scalarBytes),
    chunks: place(chunks.byteLength),
    spans: place(spans.byteLength),
    totals: place(8 * totalsLength(tables)),
    phases: phases.map(({ totals }) => ({
      job: place(JOB.bytes),
      kernels: place(4 * classes.length),
      partials: place(8 * totals * slots),
    })),
    get bytes() {
      return end;
    },
  };
}

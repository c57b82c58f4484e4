/**
 * Where everything lies in wasm memory, in bytes. The emitter, the walker and the runner all read these tables; nothing else
 * knows an offset.
 */
import { ELEMENT_BYTES } from "../../ir/type.ts";
import type { ClassLayout } from "../backend.ts";

/**
 * A row per parameter: four u32, then the byte address of each role's tensor and of each total over axes, in the class layout's
 * order; of a class that is no vector also SIZES.
 */
export const TENSOR_ROW = { classIndex: 0, flags: 4, scalars: 8, elements: 12, bases: 16 } as const;

/** The sizes of a parameter seen as a matrix, u32 each, and the blocks that its slabs are cut into. */
export const SIZES = ["row", "b", "col", "d", "block.rows", "block.count"] as const;

/** The bit of a tensor row's flags that says: skip this parameter. */
export const INACTIVE = 1;

/** A chunk: four u32, start and length in elements. */
export const CHUNK = { tensor: 0, start: 4, length: 8, slot: 12, bytes: 16 } as const;

/** What a launch works on: nine u32, one block a phase, written once. Addresses unless said otherwise. */
export const JOB = {
  tensors: 0,
  /** Bytes a tensor row. */
  tensorBytes: 4,
  chunks: 8,
  /** Chunk indices, one more than there are spans. */
  spans: 12,
  /** A count. */
  spanCount: 16,
  /** Function table indices, one a class; NO_KERNEL where a class has no work. */
  kernels: 20,
  partials: 24,
  /** A count: f64 numbers a partial slot. */
  totals: 28,
  bytes: 32,
} as const;

export const NO_KERNEL = 0xffff_ffff;

/**
 * The words through which threads meet. Each written word has its own 128 bytes (two cache lines, which prefetchers pair):
 * sharing one made two threads slower than one.
 */
export const CONTROL = {
  /** u64: the launch's number in the high half, the next span nobody has claimed in the low half. */
  claim: 0,
  epoch: 4,
  /** u32: spans that are finished, in this launch. */
  done: 128,
  /** u32: workers asleep, to be notified. */
  sleepers: 256,
  /** u32: workers whose kernel trapped, in this launch. */
  trapped: 384,
  /** u32 each, written only while `claim` is closed: the job, threads that may work, kernels a thread must know. */
  job: 512,
  threads: 516,
  kernels: 520,
  bytes: 640,
} as const;

/** The `next` of a closed claim word: more than any span. */
export const CLOSED = 0xffff_ffff;

export function alignTo(bytes: number, alignment: number): number {
  return Math.ceil(bytes / alignment) * alignment;
}

/** Where a tensor row has the address of its class's n-th tensor; totals follow the roles. */
export function baseOffset(index: number): number {
  return TENSOR_ROW.bases + 4 * index;
}

/** Where it has one of the sizes. */
export function sizeOffset({ roles, totals }: ClassLayout, name: (typeof SIZES)[number]): number {
  return baseOffset(roles.length + totals.length + SIZES.indexOf(name));
}

/** Bytes a tensor row, the same for all classes of a plan. */
export function tensorRowBytes(classes: readonly ClassLayout[]): number {
  const words = classes.map(
    ({ roles, totals, view }) => roles.length + totals.length + (view === "vector" ? 0 : SIZES.length),
  );
  return alignTo(baseOffset(Math.max(0, ...words)), 16);
}

/** Bytes a scalar row, the same for all classes of a plan: whole cache lines. */
export function scalarRowBytes(classes: readonly ClassLayout[]): number {
  const bytes = classes.map(({ dtype, scalarTypes }) => ELEMENT_BYTES[dtype] * scalarTypes.length);
  return alignTo(Math.max(1, ...bytes), 64);
}

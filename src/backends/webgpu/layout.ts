/** What only WebGPU has: bindings of group 0, and the threads of its workgroups. The tables are those of every GPU (gpu/layout.ts). */
import { COUNTS } from "../gpu/layout.ts";

/**
 * Threads of a kernel's workgroup. One warp, and few enough that a tensor of a hundred elements does not leave most of them idle: on a
 * software adapter, where each thread pays for reading the tables, 64 took half as long again over many small tensors, 256 three times.
 */
export const THREADS = 32;

/** Threads of the one workgroup that runs the programs of a phase. */
export const PROGRAM_THREADS = 64;

/** Of kernels. A text declares only those it uses; together never more than eight storage buffers. */
export const KERNEL_BINDINGS = {
  launch: 0,
  chunks: 1,
  tensors: 2,
  scalars: 3,
  partials: 4,
  param: 5,
  grad: 6,
  state: 7,
  axes: 8,
} as const;

/** Of the programs of a phase. */
export const PROGRAM_BINDINGS = {
  launch: 0,
  chunks: 1,
  tensors: 2,
  rows: 3,
  partials: 4,
  scalars: 5,
  totals: 6,
  records: 7,
  hypers: 8,
} as const;

export type KernelBinding = keyof typeof KERNEL_BINDINGS;
export type ProgramBinding = keyof typeof PROGRAM_BINDINGS;

/** The uniform of a dispatch, u32 each, in this order; `struct Launch`. Programs go through all chunks; `first` is the first of a dispatch. */
export const LAUNCH = ["first", ...COUNTS] as const;

/**
 * A constant of a pipeline: whether the gradients of a dispatch lie in its parameters' buffer, which cannot be bound twice. A branch on
 * a word of the table, in every turn of the loop, took a quarter of the time on a software adapter.
 */
export const GRAD_BESIDE_PARAM = "grad_beside_param";

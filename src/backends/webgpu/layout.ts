/**
 * Where everything lies on the device: bindings of group 0, the words of the tables, the regions of `scalars`. The emitters and the
 * runner read these tables; nothing else knows a number.
 */
import type { ClassLayout, NumberTable } from "../backend.ts";

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

/** The uniform of a dispatch, u32 each, in this order; `struct Launch`. */
export const LAUNCH = [
  "first", // of the chunks; programs go through all from 0 on
  "count", // chunks
  "stride", // numbers a partial slot
  "rows", // scalar rows in use
  "row_floats", // numbers a scalar row
  "groups",
  "tensors", // parameters
  "lanes", // threads that together add up the shares of one parameter: a power of two, at most PROGRAM_THREADS
] as const;

/**
 * A tensor row, u32 words: these, then the place of each role's tensor in its binding (in elements, modulo 2^32), then of each total
 * over axes in `axes`, and SIZES where the class is no vector. A parameter that is cut in pieces has a row for each.
 */
export const TENSOR_ROW = { classIndex: 0, flags: 1, scalars: 2, parameter: 3, bases: 4 } as const;

/** Bits of a tensor row's flags. */
export const FLAGS = { inactive: 1 } as const;

/**
 * A constant of a pipeline: whether the gradients of a dispatch lie in its parameters' buffer, which cannot be bound twice. A branch on
 * a word of the table, in every turn of the loop, took a quarter of the time on a software adapter.
 */
export const GRAD_BESIDE_PARAM = "grad_beside_param";

export const SIZES = ["row", "b", "col", "d", "block.rows", "block.count"] as const;

export function baseWord(index: number): number {
  return TENSOR_ROW.bases + index;
}

export function sizeWord({ roles, totals }: ClassLayout, name: (typeof SIZES)[number]): number {
  return baseWord(roles.length + totals.length + SIZES.indexOf(name));
}

/** Words a tensor row, the same for all classes of a plan. */
export function tensorRowWords(classes: readonly ClassLayout[]): number {
  const words = classes.map(
    ({ roles, totals, view }) => roles.length + totals.length + (view === "vector" ? 0 : SIZES.length),
  );
  return baseWord(Math.max(0, ...words));
}

/**
 * `rows`, four u32 each: first a row for each parameter, which stays as it is as long as the plan does. The chunks of a parameter are
 * adjacent, those of its pieces too; of a parameter without elements the first one is of no account.
 */
export const PARAMETER_ROW = { firstChunk: "x", chunks: "y", group: "z", classIndex: "w" } as const;

/** Then, from `launch.tensors` on, a row for each scalar row in use. */
export const SCALAR_ROW = { classIndex: "x", parameter: "y", group: "z", masks: "w" } as const;

/** Which masks hold. */
export const MASK_BITS = { first: 1, present: 2, summed: 4 } as const;

/** `totals`: number `index` of `NumberTable.totals` at this place: 0 of the step, or the group, or the parameter. */
export const TOTAL_PLACES = "max(1u, max(launch.groups, launch.tensors))";

/** `scalars`: whether the step is to be (0 or 1), then the gives, then from here on the scalar rows. */
export const COMMIT_AT = 0;

export function giveAt({ gives }: NumberTable, name: string): number {
  return 1 + gives.indexOf(name);
}

export function rowsAt({ gives }: NumberTable): number {
  return Math.ceil((1 + gives.length) / 16) * 16;
}

/** Numbers a scalar row, the same for all classes of a plan. */
export function rowFloats(classes: readonly ClassLayout[]): number {
  return Math.ceil(Math.max(1, ...classes.map(({ scalarTypes }) => scalarTypes.length)) / 4) * 4;
}

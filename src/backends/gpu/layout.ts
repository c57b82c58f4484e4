/**
 * Where everything lies on a device: the words of the tables, the regions of `scalars`. The emitters and the runners read these
 * tables; nothing else knows a number.
 */
import type { ClassLayout, NumberTable } from "../backend.ts";

/** What a launch is told in numbers, u32 each: part of `struct Launch`. */
export const COUNTS = [
  "count", // chunks
  "stride", // numbers a partial slot
  "scalar_rows", // in use
  "row_floats", // numbers a scalar row
  "groups",
  "parameters",
  "lanes", // threads that together add up the shares of one parameter: a power of two, at most those of the programs' block
] as const;

/**
 * A tensor row, in words: these, then where each role's tensor is, then each total over axes, and SIZES where the class is no vector.
 */
export const TENSOR_ROW = { classIndex: 0, flags: 1, scalars: 2, parameter: 3, bases: 4 } as const;

/** Bits of a tensor row's flags; `unaligned`: some tensor over elements does not begin at a multiple of 16 bytes. */
export const FLAGS = { inactive: 1, unaligned: 2 } as const;

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

/** Then, from `launch.parameters` on, a row for each scalar row in use. */
export const SCALAR_ROW = { classIndex: "x", parameter: "y", group: "z", masks: "w" } as const;

/** Which masks hold. */
export const MASK_BITS = { first: 1, present: 2, summed: 4 } as const;

/** `totals`: number `index` of `NumberTable.totals` at this place: 0 of the step, or the group, or the parameter. */
export const TOTAL_PLACES = "max(1u, max(launch.groups, launch.parameters))";

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

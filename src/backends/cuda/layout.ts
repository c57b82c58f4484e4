/** What only CUDA has: the one parameter of every kernel, and the threads of its blocks. The tables are those of every GPU (gpu/layout.ts). */
import type { FloatType } from "../../ir/type.ts";
import type { TableName } from "../gpu/language.ts";
import { COUNTS } from "../gpu/layout.ts";

/** Every text's entry. */
export const ENTRY = "stepjit_step";

/** Threads of a kernel's block: eight warps. */
export const THREADS = 256;

/**
 * Blocks that have to fit a multiprocessor at once, by what their kernels work on. Saying so lets the compiler give a thread up to 128
 * registers, or all 255: else it aims for more blocks than the memory can feed, and spills.
 */
export const BLOCKS = { f32: 2, f64: 1 } as const satisfies Record<FloatType, number>;

/** Threads of the one block that runs the programs of a phase: as many as may have 128 registers each. */
export const PROGRAM_THREADS = 512;
export const PROGRAM_BLOCKS = 1;

/** `struct Launch`: an address each, and the C type of what lies there; then COUNTS, u32 each. */
export const ADDRESSES = {
  chunks: "const uint4*",
  tensors: "const u64*", // rows of 8-byte words
  rows: "const uint4*",
  partials: "double*",
  scalars: "double*",
  totals: "double*",
  records: "double*",
  hypers: "const Hyper*",
} as const satisfies Record<TableName, string>;

export const ADDRESS_NAMES = Object.keys(ADDRESSES) as TableName[];

/** Bytes of `struct Launch`, a multiple of 8. */
export const LAUNCH_BYTES = 8 * (ADDRESS_NAMES.length + Math.ceil(COUNTS.length / 2));

/** `struct Hyper`, 8-byte words each: a double, or where it is not 0 the address of the f32 that counts. */
export const HYPER = { value: 0, address: 1 } as const;
export const HYPER_WORDS = 2;

/** Bytes that memory likes to be asked for at once. */
export const VECTOR_BYTES = 16;

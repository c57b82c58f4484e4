/** What only CUDA has: the one parameter of every kernel, and the threads of its blocks. The tables are those of every GPU (gpu/layout.ts). */
import type { FloatType } from "../../ir/type.ts";
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
export const TABLES = {
  chunks: "const uint4*",
  tensors: "const u64*", // rows of 8-byte words
  rows: "const uint4*",
  partials: "double*",
  scalars: "double*",
  totals: "double*",
  records: "double*",
  hypers: "const Hyper*",
} as const;

/** Bytes of `struct Launch`, a multiple of 8. */
export const LAUNCH_BYTES = 8 * (Object.keys(TABLES).length + Math.ceil(COUNTS.length / 2));

/** Bytes of a `struct Hyper`: a double, and the address of the f32 to be read in its place, or 0. */
export const HYPER_BYTES = 16;

/** Bytes that memory likes to be asked for at once. */
export const VECTOR_BYTES = 16;

/** What a kernel is given, and what of the device's tables is CUDA's own. The emitter and the runner read this; nothing else knows a number. */

/** Threads of the one block that runs the programs of a phase. */
export const CUDA_PROGRAM_THREADS = 512;

/** `struct Launch` begins with these addresses, 8 bytes each. */
export const ADDRESSES = [
  "chunks",
  "tensors",
  "rows",
  "partials",
  "scalars",
  "totals",
  "records",
  "hypers",
] as const;

/** Then come these, u32 each. */
export const COUNTS = [
  "count", // chunks
  "stride", // numbers a partial slot
  "scalar_rows", // in use
  "row_floats", // numbers a scalar row
  "groups",
  "parameters",
  "lanes", // threads that together add up the shares of one parameter: a power of two, at most CUDA_PROGRAM_THREADS
] as const;

/** Bytes of `struct Launch`. */
export const LAUNCH_BYTES = 8 * Math.ceil((8 * ADDRESSES.length + 4 * COUNTS.length) / 8);

/** Bits of a tensor row's flags; `unaligned`: some tensor of the parameter does not begin at a multiple of 16 bytes. */
export const FLAGS = { inactive: 1, unaligned: 2 } as const;

/** A hyperparameter member in `hypers`, 8-byte words each: a double, or where it is not 0 the address of the f32 that counts. */
export const HYPER = { value: 0, address: 1 } as const;
export const HYPER_WORDS = 2;

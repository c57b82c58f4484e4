/**
 * The driver API, function by function as cuda.h has it. Every return code is looked at. Pointers and handles are u64: they go in as bigint,
 * and come back in arrays of ours, so that it does not depend on their size what type they have.
 */
import { StepjitError } from "../../../error.ts";
import type { Library } from "./libraries.ts";

const PROTOTYPES = {
  cuInit: "uint32_t flags",
  cuDriverGetVersion: "void *version",
  cuGetErrorName: "int code, void *name",
  cuDeviceGetCount: "void *count",
  cuDeviceGet: "void *device, int index",
  cuDeviceGetName: "void *name, int bytes, int device",
  cuDeviceGetAttribute: "void *value, int attribute, int device",
  cuDeviceTotalMem_v2: "void *bytes, int device",
  cuDevicePrimaryCtxRetain: "void *context, int device",
  cuDevicePrimaryCtxRelease_v2: "int device",
  cuCtxSetCurrent: "uint64_t context",
  cuMemGetInfo_v2: "void *free, void *total",
  cuMemAlloc_v2: "void *address, uint64_t bytes",
  cuMemFree_v2: "uint64_t address",
  cuMemHostAlloc: "void *memory, uint64_t bytes, uint32_t flags",
  cuMemFreeHost: "uint64_t memory",
  cuMemcpyHtoDAsync_v2: "uint64_t to, uint64_t from, uint64_t bytes, uint64_t stream",
  cuMemcpyDtoHAsync_v2: "uint64_t to, uint64_t from, uint64_t bytes, uint64_t stream",
  cuMemcpyDtoDAsync_v2: "uint64_t to, uint64_t from, uint64_t bytes, uint64_t stream",
  cuMemsetD32Async: "uint64_t to, uint32_t word, uint64_t words, uint64_t stream",
  cuStreamCreate: "void *stream, uint32_t flags",
  cuStreamDestroy_v2: "uint64_t stream",
  cuStreamSynchronize: "uint64_t stream",
  cuStreamBeginCapture_v2: "uint64_t stream, int mode",
  cuStreamEndCapture: "uint64_t stream, void *graph",
  cuEventCreate: "void *event, uint32_t flags",
  cuEventDestroy_v2: "uint64_t event",
  cuEventRecord: "uint64_t event, uint64_t stream",
  cuEventQuery: "uint64_t event",
  cuEventSynchronize: "uint64_t event",
  cuEventElapsedTime: "void *milliseconds, uint64_t from, uint64_t to",
  cuModuleLoadData: "void *module, void *image",
  cuModuleUnload: "uint64_t module",
  cuModuleGetFunction: "void *function, uint64_t module, const char *name",
  cuOccupancyMaxActiveBlocksPerMultiprocessor:
    "void *blocks, uint64_t function, int threads, uint64_t shared",
  cuLaunchKernel:
    "uint64_t function, uint32_t x, uint32_t y, uint32_t z, uint32_t tx, uint32_t ty, uint32_t tz, uint32_t shared, uint64_t stream, uint64_t parameters, uint64_t extra",
  cuGraphInstantiateWithFlags: "void *executable, uint64_t graph, uint64_t flags",
  cuGraphLaunch: "uint64_t executable, uint64_t stream",
  cuGraphDestroy: "uint64_t graph",
  cuGraphExecDestroy: "uint64_t executable",
} as const;

export type DriverCall = keyof typeof PROTOTYPES;

/** What goes in: numbers, handles, and arrays that results are written to. */
export type Argument = number | bigint | string | ArrayBufferView;

/** Of CUresult, those that are no mere mistake. */
export const CUDA_SUCCESS = 0;
export const CUDA_ERROR_OUT_OF_MEMORY = 2;
export const CUDA_ERROR_NO_BINARY_FOR_GPU = 209;
export const CUDA_ERROR_NOT_READY = 600;

/**
 * Of CUresult, those that leave "the process in an inconsistent state", as cuda.h has it: illegal addresses, launches that failed or took too
 * long, memory and links with errors that cannot be corrected. Others in their midst are told of one call only, such as too many registers.
 */
const BREAKING: ReadonlySet<number> = new Set([
  214, 220, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 721, 911,
]);

type Functions = Readonly<Record<DriverCall, (...args: readonly Argument[]) => number>>;

export class Driver {
  /** Why nothing goes any more. */
  broken: StepjitError | undefined;
  readonly #functions: Functions;
  readonly #decodeText: (address: bigint) => string;

  /** `decodeText` reads a C string. */
  constructor(library: Library, decodeText: (address: bigint) => string) {
    const names = Object.keys(PROTOTYPES) as DriverCall[];
    this.#functions = Object.fromEntries(
      names.map((name) => [name, library.func(`int ${name}(${PROTOTYPES[name]})`)]),
    ) as unknown as Functions;
    this.#decodeText = decodeText;
  }

  /** Throws `out-of-memory`, or `device-error` with CUDA's name of what went wrong. */
  call(name: DriverCall, ...args: readonly Argument[]): void {
    const code = this.#functions[name](...args);
    if (code !== CUDA_SUCCESS) throw this.errorOf(name, code);
  }

  /** The code itself, of calls that say something by it. */
  ask(name: DriverCall, ...args: readonly Argument[]): number {
    return this.#functions[name](...args);
  }

  /** A call that gives a handle or an address. */
  make(name: DriverCall, ...args: readonly Argument[]): bigint {
    const result = new BigUint64Array(1);
    this.call(name, result, ...args);
    return result[0] as bigint;
  }

  /** A call that gives a number. */
  number(name: DriverCall, ...args: readonly Argument[]): number {
    const result = new Int32Array(1);
    this.call(name, result, ...args);
    return result[0] as number;
  }

  errorOf(name: DriverCall, code: number): StepjitError {
    const what = `cuda: ${name} failed: ${this.#nameOf(code)}`;
    if (code === CUDA_ERROR_OUT_OF_MEMORY) return new StepjitError("out-of-memory", what);
    if (!BREAKING.has(code)) return new StepjitError("device-error", what);
    this.broken ??= new StepjitError(
      "device-error",
      `${what}. The GPU gave up all work of this process, and what is in its memory is lost: start a new process, make a new optimizer, ` +
        "and load the last state dict",
    );
    return this.broken;
  }

  #nameOf(code: number): string {
    const name = new BigUint64Array(1);
    const known = this.#functions.cuGetErrorName(code, name) === CUDA_SUCCESS && name[0] !== 0n;
    return known ? this.#decodeText(name[0] as bigint) : `CUresult ${code}`;
  }
}

/** The backends that all optimizers are tested on. Another one is another entry. */
import { type Backend, reference, wasm } from "stepjit";
import { afterAll } from "vitest";
import { Device, loadLibraries } from "../src/backends/cuda/native/device.ts";
import { Cuda } from "../src/cuda.ts";
import { WebGpu } from "../src/webgpu.ts";
import { isCudaOffered } from "./backends/cuda/cuda.ts";
import { fullLimits, isOffered, testDevice } from "./backends/webgpu/gpu.ts";

export { tensorOn } from "./tensor-on.ts";

export interface TestedBackend {
  readonly name: string;
  /** One that has compiled nothing yet; it is disposed at the end of the file. */
  readonly make: () => Backend;
  /** One that all tests of a file have in common. */
  readonly backend: Backend;
  readonly threads: number;
  /** Arithmetic is IEEE's: what is computed in the same order has the same bits. */
  readonly exact: boolean;
  /** And so have exp, log and powers: they are those of JavaScript's Math. Only where `exact`. */
  readonly sameMath: boolean;
  /** What tolerances on float32 numbers are multiplied by; 1 where + - * / and sqrt are rounded correctly. */
  readonly slack: number;
  /** Whether it works on float64. */
  readonly doubles: boolean;
}

const made: Backend[] = [];
afterAll(() => {
  for (const backend of made) backend.dispose();
});

interface Entry extends Partial<Pick<TestedBackend, "threads" | "exact" | "sameMath" | "slack">> {
  readonly name: string;
  readonly make: () => Backend;
}

function tested({
  name,
  make,
  threads = 1,
  exact = true,
  sameMath = exact,
  slack = 1,
}: Entry): TestedBackend {
  let shared: Backend | undefined;
  const tracked = () => {
    const backend = make();
    made.push(backend);
    return backend;
  };
  return {
    name,
    make: tracked,
    get backend() {
      shared ??= tracked();
      return shared;
    },
    threads,
    exact,
    sameMath,
    slack,
    get doubles() {
      return this.backend.dtypes.includes("f64");
    },
  };
}

/** A device with all limits of its adapter, for all tests of a file. */
const gpu = isOffered("webgpu") ? await testDevice(await fullLimits()) : undefined;

const cuda = isCudaOffered("cuda") ? await loadLibraries() : undefined;

export const BACKENDS: readonly TestedBackend[] = [
  tested({ name: "reference", make: reference }),
  tested({ name: "wasm", make: () => wasm({ threads: 1 }) }),
  // WGSL's division and sqrt may be off by 2.5 units in the last place.
  ...(gpu
    ? [tested({ name: "webgpu", make: () => new WebGpu(gpu, undefined), exact: false, slack: 2.5 })]
    : []),
  ...(cuda ? [tested({ name: "cuda", make: () => new Cuda(new Device(cuda)), sameMath: false })] : []),
];

/** Those, and with more threads. */
export const THREADED: readonly TestedBackend[] = [
  ...BACKENDS,
  tested({ name: "wasm, 2 threads", make: () => wasm({ threads: 2 }), threads: 2 }),
];

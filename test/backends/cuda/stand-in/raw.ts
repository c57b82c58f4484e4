/** The stand-ins call by call, for tests of what they do and of what they find: codes come back, nothing is waited for. */
import koffi from "koffi";
import { Driver, type DriverCall } from "../../../../src/backends/cuda/native/driver.ts";
import { Nvrtc } from "../../../../src/backends/cuda/native/nvrtc.ts";
import { standIn } from "./build.ts";

/** Pinned memory. */
export interface Pinned {
  readonly address: bigint;
  readonly floats: Float32Array;
}

/** What texts of these tests take: 96 bytes. */
export const LAUNCH = "struct Launch { float* at[8]; unsigned n[8]; };";

export class Raw {
  readonly driver: Driver;
  readonly nvrtc: Nvrtc;
  readonly stream: bigint;
  /** The launch's one parameter, and the list of its address: given at once, so they may be changed after a launch. */
  readonly #parameter: Uint8Array<ArrayBuffer>;
  readonly #parameters: bigint;

  constructor() {
    const { libcuda, libnvrtc } = standIn();
    this.driver = new Driver(koffi.load(libcuda), (address) => koffi.decode(address, "char", -1) as string);
    this.nvrtc = new Nvrtc(koffi.load(libnvrtc));
    this.driver.call("cuInit", 0);
    this.driver.call("cuCtxSetCurrent", this.driver.make("cuDevicePrimaryCtxRetain", 0));
    this.stream = this.driver.make("cuStreamCreate", 1);
    const memory = BigInt(koffi.address(koffi.alloc("uint8_t", 104)));
    this.#parameter = new Uint8Array(koffi.view(memory, 96));
    this.#parameters = memory + 96n;
    new BigUint64Array(koffi.view(this.#parameters, 8))[0] = memory;
  }

  /** The code of a call, by name: `CUDA_SUCCESS`. */
  ask(name: DriverCall, ...args: Parameters<Driver["ask"]> extends [unknown, ...infer Rest] ? Rest : never) {
    return this.nameOf(this.driver.ask(name, ...args));
  }

  nameOf(code: number): string {
    const name = new BigUint64Array(1);
    this.driver.ask("cuGetErrorName", code, name);
    return koffi.decode(name[0] as bigint, "char", -1) as string;
  }

  allocate(floats: number): bigint {
    return this.driver.make("cuMemAlloc_v2", 4 * floats);
  }

  pinned(floats: number): Pinned {
    const address = this.driver.make("cuMemHostAlloc", 4 * floats, 0);
    return { address, floats: new Float32Array(koffi.view(address, 4 * floats)) };
  }

  /** The kernel `run` of a text. */
  kernel(text: string, architecture = "sm_90"): bigint {
    const cubin = this.nvrtc.compile(text, architecture);
    const module = new BigUint64Array(1);
    this.driver.call("cuModuleLoadData", module, cubin);
    return this.driver.make("cuModuleGetFunction", module[0] as bigint, "run");
  }

  launch(kernel: bigint, grid: number, threads: number, at: readonly bigint[], n: readonly number[] = []) {
    new BigUint64Array(this.#parameter.buffer, 0, 8).set(at);
    new Uint32Array(this.#parameter.buffer, 64, 8).set(n);
    const code = this.ask(
      "cuLaunchKernel",
      ...[kernel, grid, 1, 1, threads, 1, 1, 0, this.stream, this.#parameters, 0],
    );
    this.#parameter.fill(0xff);
    return code;
  }

  /** From and to pinned memory, later. */
  upload(to: bigint, { address, floats }: Pinned) {
    return this.ask("cuMemcpyHtoDAsync_v2", to, address, floats.byteLength, this.stream);
  }

  download({ address, floats }: Pinned, from: bigint) {
    return this.ask("cuMemcpyDtoHAsync_v2", address, from, floats.byteLength, this.stream);
  }

  synchronize() {
    return this.ask("cuStreamSynchronize", this.stream);
  }

  /** A CUgraph. */
  endCapture(): bigint {
    const graph = new BigUint64Array(1);
    this.driver.call("cuStreamEndCapture", this.stream, graph);
    return graph[0] as bigint;
  }

  /** Device memory with these numbers. */
  put(numbers: readonly number[]): bigint {
    const address = this.allocate(numbers.length);
    this.driver.call(
      "cuMemcpyHtoDAsync_v2",
      ...[address, BigInt(koffi.address(Float32Array.from(numbers))), 4 * numbers.length, this.stream],
    );
    return address;
  }

  /** What device memory holds once all work is done. */
  read(from: bigint, floats: number): number[] {
    const result = new Float32Array(floats);
    const to = BigInt(koffi.address(result));
    this.driver.call("cuMemcpyDtoHAsync_v2", to, from, result.byteLength, this.stream);
    return [...result];
  }
}

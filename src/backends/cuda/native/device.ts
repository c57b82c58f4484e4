/**
 * One GPU: its primary context, which it shares with every other library of this process, a stream that all work of ours goes to in order,
 * memory, and kernels. Nothing here waits for the device but `close`, and `upload` where all pinned slots are on their way.
 */
import { setImmediate, setTimeout } from "node:timers/promises";
import type * as Koffi from "koffi";
import { StepjitError } from "../../../error.ts";
import { cached } from "./cubins.ts";
import { CUDA_ERROR_NO_BINARY_FOR_GPU, CUDA_ERROR_NOT_READY, CUDA_SUCCESS, Driver } from "./driver.ts";
import { DRIVER, NVRTC, openLibrary } from "./libraries.ts";
import { Nvrtc, OPTIONS } from "./nvrtc.ts";
import { MOST_BYTES, Pinned, type Slot } from "./pinned.ts";
import type { Work } from "./work.ts";

/** An address in device memory. */
export type Address = bigint;

/** A compiled text, loaded. */
export interface Kernel {
  readonly text: string;
  /** Threads of a block. */
  readonly threads: number;
  /** Blocks that fit the device at once. */
  readonly blocks: number;
  /** CUfunction. */
  readonly handle: bigint;
}

/** A point in the stream, with a time. */
export interface Mark {
  dispose(): void;
}

/** All that a device needs of others. */
export interface Libraries {
  readonly koffi: typeof Koffi;
  readonly driver: Driver;
  readonly nvrtc: Nvrtc;
}

export interface DeviceOptions {
  /** CUDA's number of the GPU. Default 0. */
  readonly index?: number;
  /** A CUstream in the device's primary context. Default: one of our own. */
  readonly stream?: bigint;
}

/** What was enqueued so far. */
export interface Counts {
  readonly launches: number;
  readonly uploads: number;
  readonly uploadedBytes: number;
  readonly graphLaunches: number;
  /** How often the host had to wait before it could upload. */
  readonly waits: number;
}

/** Of every text. */
const ENTRY = "stepjit_step";

// Of CUdevice_attribute, CUstream_flags.
const MULTIPROCESSORS = 16;
const CAPABILITY_MAJOR = 75;
const CAPABILITY_MINOR = 76;
const NON_BLOCKING = 1;

/** Bytes of a parameter at most: `struct Launch`. */
const PARAMETER_BYTES = 256;

/** Asked so often whether an event is reached before there is a pause between. */
const EAGER = 20;

export class Device {
  readonly name: string;
  /** `sm_90`. */
  readonly architecture: string;
  readonly multiprocessors: number;
  /** Bytes. */
  readonly totalMemory: number;
  /** CUstream. */
  readonly stream: bigint;
  readonly driver: Driver;
  readonly pinned: Pinned;
  readonly #nvrtc: Nvrtc;
  /** CUdevice. */
  readonly #device: number;
  readonly #context: bigint;
  readonly #ownsStream: boolean;
  readonly #driverVersion: number;
  readonly #kernels = new Map<string, Kernel>();
  readonly #modules: bigint[] = [];
  readonly #allocations = new Set<Address>();
  readonly #marks = new Set<EventMark>();
  /** What holds more of the driver's, to be disposed of before all ends. */
  readonly graphs = new Set<{ dispose(): void }>();
  readonly #counts = { launches: 0, uploads: 0, uploadedBytes: 0, graphLaunches: 0 };
  /** The one parameter of a kernel, which is copied by the driver at each launch, and the list that has its address. */
  readonly #parameter: Uint8Array;
  readonly #parameters: bigint;
  readonly #freeParameter: () => void;
  /** Where work is listed instead of enqueued. */
  #listed: Work[] | undefined;
  /** Memory that is not needed any more once what is listed was enqueued. */
  readonly #toFree: Address[] = [];
  #isClosed = false;

  /** Throws `unsupported` where a package, a library or a GPU is missing, saying what was looked for. */
  static async open(options: DeviceOptions = {}): Promise<Device> {
    return new Device(await loadLibraries(), options);
  }

  /** Throws `unsupported` where there is no such GPU. */
  constructor({ koffi, driver, nvrtc }: Libraries, { index = 0, stream }: DeviceOptions = {}) {
    this.driver = driver;
    this.#nvrtc = nvrtc;
    const device = find(driver, index);
    this.#device = device;
    const attribute = (number: number) => driver.number("cuDeviceGetAttribute", number, device);
    const name = new Uint8Array(256);
    driver.call("cuDeviceGetName", name, name.length, device);
    this.name = new TextDecoder().decode(name.subarray(0, name.indexOf(0)));
    this.architecture = `sm_${attribute(CAPABILITY_MAJOR)}${attribute(CAPABILITY_MINOR)}`;
    this.multiprocessors = attribute(MULTIPROCESSORS);
    this.totalMemory = Number(driver.make("cuDeviceTotalMem_v2", device));
    this.#driverVersion = driver.number("cuDriverGetVersion");
    this.#context = driver.make("cuDevicePrimaryCtxRetain", device);
    this.#ownsStream = stream === undefined;
    try {
      driver.call("cuCtxSetCurrent", this.#context);
      this.stream = stream ?? driver.make("cuStreamCreate", NON_BLOCKING);
    } catch (error) {
      driver.ask("cuDevicePrimaryCtxRelease_v2", device);
      throw error;
    }
    const viewOf = (address: bigint, bytes: number) => new Uint8Array(koffi.view(address, bytes));
    this.pinned = new Pinned(driver, viewOf);
    const memory = koffi.alloc("uint8_t", PARAMETER_BYTES + 8);
    const parameter = BigInt(koffi.address(memory));
    this.#parameter = viewOf(parameter, PARAMETER_BYTES);
    this.#parameters = parameter + BigInt(PARAMETER_BYTES);
    new DataView(koffi.view(this.#parameters, 8)).setBigUint64(0, parameter, true);
    this.#freeParameter = () => koffi.free(memory);
  }

  get counts(): Counts {
    return { ...this.#counts, waits: this.pinned.waits };
  }

  /** Throws `device-error` once the context is broken, `disposed` after `close`. */
  check(): void {
    if (this.#isClosed) throw new StepjitError("disposed", "a cuda backend was used after dispose()");
    if (this.driver.broken) throw this.driver.broken;
  }

  /** At least so many bytes, at a multiple of 256, with whatever is there. Throws `out-of-memory`. */
  allocate(bytes: number): Address {
    this.#enter();
    try {
      const address = this.driver.make("cuMemAlloc_v2", Math.max(1, bytes));
      this.#allocations.add(address);
      return address;
    } catch (error) {
      if (!(error instanceof StepjitError) || error.code !== "out-of-memory") throw error;
      const [free, total] = [new BigUint64Array(1), new BigUint64Array(1)];
      this.driver.call("cuMemGetInfo_v2", free, total);
      throw new StepjitError(
        "out-of-memory",
        `cuda: no memory for ${bytes} bytes: of ${total[0]} bytes ${free[0]} are free`,
        { cause: error },
      );
    }
  }

  /** Gives memory back once all work so far is done with it: waits for that. After `close` it is given back already. */
  free(address: Address): void {
    if (!this.#allocations.delete(address) || this.#isClosed) return;
    if (this.#listed) this.#toFree.push(address);
    else this.#free(address);
  }

  #free(address: Address): void {
    if (this.driver.broken) return;
    this.#enter();
    try {
      this.driver.call("cuStreamSynchronize", this.stream);
      this.driver.call("cuMemFree_v2", address);
    } catch (error) {
      this.#allocations.add(address); // it is ours still
      throw error;
    }
  }

  /** The same kernel each time. Throws `device-error` with the compiler's log. */
  compile(text: string): Kernel {
    this.#enter();
    const known = this.#kernels.get(text);
    if (known) return known;
    const given = [text, this.architecture, String(this.#driverVersion), this.#nvrtc.version, ...OPTIONS];
    const kernel = this.#load(
      text,
      cached(given, () => this.#nvrtc.compile(text, this.architecture)),
    );
    this.#kernels.set(text, kernel);
    return kernel;
  }

  #load(text: string, cubin: Uint8Array): Kernel {
    const { driver } = this;
    const module = this.#moduleOf(cubin);
    this.#modules.push(module);
    const handle = driver.make("cuModuleGetFunction", module, ENTRY);
    const threads = Number(/__launch_bounds__\((\d+)/.exec(text)?.[1]);
    const fits = driver.number("cuOccupancyMaxActiveBlocksPerMultiprocessor", handle, threads, 0);
    return { text, threads, blocks: Math.max(1, fits) * this.multiprocessors, handle };
  }

  #moduleOf(cubin: Uint8Array): bigint {
    const module = new BigUint64Array(1);
    const version = `${Math.floor(this.#driverVersion / 1000)}.${(this.#driverVersion % 1000) / 10}`;
    const code = this.driver.ask("cuModuleLoadData", module, cubin);
    if (code === CUDA_ERROR_NO_BINARY_FOR_GPU)
      throw new StepjitError(
        "unsupported",
        `cuda: the driver (for CUDA ${version}) does not load what NVRTC ${this.#nvrtc.version} compiles for ` +
          `${this.architecture}: update the driver, or say by STEPJIT_LIBNVRTC where an older NVRTC is`,
      );
    if (code !== CUDA_SUCCESS) throw this.driver.errorOf("cuModuleLoadData", code);
    return module[0] as bigint;
  }

  /** `bytes` may be changed right afterwards. What is longer than a pinned slot goes in pieces. */
  upload(to: Address, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += MOST_BYTES) {
      const piece = bytes.subarray(at, at + MOST_BYTES);
      this.#counts.uploads++;
      this.#counts.uploadedBytes += piece.length;
      this.#do({ kind: "upload", to: to + BigInt(at), bytes: this.#listed ? piece.slice() : piece });
    }
  }

  copy(to: Address, from: Address, bytes: number): void {
    if (bytes > 0) this.#do({ kind: "copy", to, from, bytes });
  }

  /** So many times the same u32. */
  fill(to: Address, word: number, words: number): void {
    if (words > 0) this.#do({ kind: "fill", to, word, words });
  }

  /** `parameter`: the kernel's one parameter, which may be changed right afterwards. */
  launch(kernel: Kernel, grid: number, parameter: Uint8Array): void {
    this.#counts.launches++;
    this.#do({ kind: "launch", kernel, grid, parameter: this.#listed ? parameter.slice() : parameter });
  }

  /** A copy of device memory as it is at this point of the stream. */
  download(from: Address, bytes: number): Promise<ArrayBuffer> {
    return new Promise((resolve, reject) => {
      this.check();
      if (bytes === 0) return resolve(new ArrayBuffer(0));
      const take = (slot: Slot) => {
        const fetch = () => {
          resolve(slot.bytes.slice(0, bytes).buffer as ArrayBuffer);
          this.pinned.release(slot);
        };
        slot.fetch = fetch;
        const isWanted = () => slot.fetch === fetch; // unless somebody who needed the slot has seen to it
        this.#reached(slot.event, isWanted).then(() => isWanted() && fetch(), reject);
      };
      this.#do({ kind: "download", from, bytes, take, lose: reject });
    });
  }

  /** A point in the stream. Throws `unsupported` within a graph, which is launched as one. */
  mark(): Mark {
    if (this.#listed)
      throw new StepjitError("unsupported", "cuda: launches of a CUDA graph cannot be timed one by one");
    this.#enter();
    const event = this.driver.make("cuEventCreate", 0);
    const mark = new EventMark(event, () => {
      if (this.#marks.delete(mark) && !this.driver.broken) this.driver.call("cuEventDestroy_v2", event);
    });
    this.#marks.add(mark);
    this.driver.call("cuEventRecord", event, this.stream);
    return mark;
  }

  /** Milliseconds, once both points were reached. */
  async elapsed(from: Mark, to: Mark): Promise<number> {
    const [begin, end] = [from as EventMark, to as EventMark];
    await this.#reached(begin.event);
    await this.#reached(end.event);
    const milliseconds = new Float32Array(1);
    this.driver.call("cuEventElapsedTime", milliseconds, begin.event, end.event);
    return milliseconds[0] as number;
  }

  /** Resolves once all that was enqueued is done. Rejects as `check` throws. */
  async finished(): Promise<void> {
    const mark = this.mark() as EventMark;
    try {
      await this.#reached(mark.event);
    } finally {
      mark.dispose();
    }
    this.check();
  }

  /**
   * What `work` would enqueue, listed instead. If it throws, that is enqueued piece by piece, and thrown again: whoever asked for it goes
   * on as if it were done.
   */
  list(work: () => void): Work[] {
    this.check();
    if (this.#listed) throw new StepjitError("unsupported", "cuda: a graph was run within a graph's run");
    const listed: Work[] = [];
    this.#listed = listed;
    try {
      work();
    } catch (error) {
      this.#listed = undefined;
      this.doListed(listed);
      throw error;
    } finally {
      this.#listed = undefined;
    }
    this.#enter();
    return listed;
  }

  /** Enqueues what was listed, piece by piece. Nobody waits for the rest where that fails. */
  doListed(listed: readonly Work[]): void {
    let done = 0;
    try {
      for (const work of listed) {
        this.#do(work);
        done++;
      }
    } catch (error) {
      for (const work of listed.slice(done)) if (work.kind === "download") work.lose(error);
      throw error;
    }
    this.#freeListed();
  }

  /** Enqueues one piece of work. `own`: pinned memory for it, of a graph's, else the next slot of a ring, whose event is recorded. */
  enqueue(work: Work, own?: Slot): void {
    const { driver, stream } = this;
    switch (work.kind) {
      case "upload": {
        const { length } = work.bytes;
        const slot = own ?? this.pinned.take(length);
        slot.bytes.set(work.bytes);
        driver.call("cuMemcpyHtoDAsync_v2", work.to, slot.address, length, stream);
        if (!own) driver.call("cuEventRecord", slot.event, stream);
        return;
      }
      case "copy":
        driver.call("cuMemcpyDtoDAsync_v2", work.to, work.from, work.bytes, stream);
        return;
      case "fill":
        driver.call("cuMemsetD32Async", work.to, work.word, work.words, stream);
        return;
      case "launch": {
        const { handle, threads } = work.kernel;
        this.#parameter.set(work.parameter);
        driver.call("cuLaunchKernel", handle, work.grid, 1, 1, threads, 1, 1, 0, stream, this.#parameters, 0);
        return;
      }
      case "download": {
        const slot = own ?? this.pinned.take(work.bytes);
        driver.call("cuMemcpyDtoHAsync_v2", slot.address, work.from, work.bytes, stream);
        if (own) return; // whoever launches the graph says when it is done
        driver.call("cuEventRecord", slot.event, stream);
        work.take(slot);
      }
    }
  }

  /** A graph was launched; what it leaves behind is given back. */
  afterGraph(): void {
    this.#counts.graphLaunches++;
    this.#freeListed();
  }

  #freeListed(): void {
    for (const address of this.#toFree.splice(0)) this.#free(address);
  }

  /** Waits for all work, downloads included, and gives everything back. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const { driver } = this;
    driver.ask("cuCtxSetCurrent", this.#context);
    const code = driver.ask("cuStreamSynchronize", this.stream);
    if (code !== CUDA_SUCCESS) driver.errorOf("cuStreamSynchronize", code); // which notes what breaks the context
    if (!driver.broken) {
      for (const graph of this.graphs) graph.dispose();
      this.pinned.close();
      for (const address of this.#allocations) driver.ask("cuMemFree_v2", address);
      for (const mark of this.#marks) driver.ask("cuEventDestroy_v2", mark.event);
      for (const module of this.#modules) driver.ask("cuModuleUnload", module);
      if (this.#ownsStream) driver.ask("cuStreamDestroy_v2", this.stream);
    }
    driver.ask("cuDevicePrimaryCtxRelease_v2", this.#device);
    this.#allocations.clear();
    this.#marks.clear();
    this.#freeParameter();
  }

  /** Another library may have made another context this thread's. */
  #enter(): void {
    this.check();
    this.driver.call("cuCtxSetCurrent", this.#context);
  }

  #do(work: Work): void {
    if (this.#listed) {
      this.check();
      this.#listed.push(work);
    } else {
      this.#enter();
      this.enqueue(work);
    }
  }

  /** Polled: a thread of its own that waits would cost more than the wait. */
  async #reached(event: bigint, isWanted = () => true): Promise<void> {
    for (let asked = 0; isWanted(); asked++) {
      this.#enter();
      const code = this.driver.ask("cuEventQuery", event);
      if (code === CUDA_SUCCESS) return;
      if (code !== CUDA_ERROR_NOT_READY) throw this.driver.errorOf("cuEventQuery", code);
      await (asked < EAGER ? setImmediate() : setTimeout(1));
    }
  }
}

class EventMark implements Mark {
  readonly event: bigint;
  readonly dispose: () => void;

  constructor(event: bigint, dispose: () => void) {
    this.event = event;
    this.dispose = dispose;
  }
}

/** Throws `unsupported` where there is no such device. */
function find(driver: Driver, index: number): number {
  const missing = (why: string, cause?: unknown) =>
    new StepjitError(
      "unsupported",
      `cuda: ${why}. compileStep without a backend runs on WebAssembly everywhere.`,
      {
        cause,
      },
    );
  let count = 0;
  try {
    driver.call("cuInit", 0);
    count = driver.number("cuDeviceGetCount");
  } catch (cause) {
    throw missing(`the driver finds no GPU (${(cause as Error).message})`, cause);
  }
  if (index >= count) throw missing(`there is no GPU ${index}: the driver knows ${count}`);
  return driver.number("cuDeviceGet", index);
}

/** Throws `unsupported` where a package or a library is missing, saying what was looked for. */
export async function loadLibraries(): Promise<Libraries> {
  const koffi = await loadKoffi();
  const text = (address: bigint) => koffi.decode(address, "char", -1) as string;
  const driver = openLibrary(koffi, DRIVER, (library) => new Driver(library, text));
  return { koffi, driver, nvrtc: openLibrary(koffi, NVRTC, (library) => new Nvrtc(library)) };
}

async function loadKoffi(): Promise<typeof Koffi> {
  const name = "koffi"; // a variable, so that bundlers leave it alone
  try {
    return ((await import(/* @vite-ignore */ name)) as { default: typeof Koffi }).default;
  } catch (cause) {
    throw new StepjitError(
      "unsupported",
      'cuda: install the package "koffi", by which Node calls the driver',
      { cause },
    );
  }
}

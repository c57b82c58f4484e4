/** A GPUDevice as the backend uses it: work is encoded, flushed and watched for errors in one place. */
import { StepjitError } from "../../error.ts";
import { type Hear, Reports } from "./reports.ts";

/** Who owns the command encoder. TensorFlow.js has one of its own, and what we encode has to come after what it encoded. */
export interface Commands {
  /** An encoder with no open pass; ours until `submit`. */
  begin(): GPUCommandEncoder;
  submit(): void;
}

class OwnCommands implements Commands {
  readonly #device: GPUDevice;
  #encoder: GPUCommandEncoder | undefined;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  begin(): GPUCommandEncoder {
    this.#encoder ??= this.#device.createCommandEncoder({ label: "stepjit" });
    return this.#encoder;
  }

  submit(): void {
    if (this.#encoder) this.#device.queue.submit([this.#encoder.finish()]);
    this.#encoder = undefined;
  }
}

/** Some bytes of a buffer. */
export interface Range {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly bytes: number;
}

export class Device {
  readonly gpu: GPUDevice;
  /** Bytes that one storage binding may have, and one buffer. */
  readonly bindingBytes: number;
  readonly bufferBytes: number;
  /** Workgroups that a dispatch may have; where there are more chunks, each takes several. */
  readonly workgroups: number;
  readonly #commands: Commands;
  readonly #reports: Reports;
  /** Whether something was encoded that is not submitted. */
  #pending = false;
  /** Why nothing goes any more. */
  #error: StepjitError | undefined;
  /** Buffers that are known to have been made. */
  readonly #sound = new WeakSet<GPUBuffer>();
  readonly #failures = new WeakMap<GPUBuffer, StepjitError>();
  /** Whether a buffer ever was not in order. */
  hasFailures = false;
  /** What waits for submitted work. A race with `lost` would leave something with that promise each time. */
  readonly #waiting = new Set<() => void>();

  constructor(gpu: GPUDevice, commands: Commands = new OwnCommands(gpu)) {
    this.gpu = gpu;
    this.#commands = commands;
    this.#reports = new Reports(gpu);
    const { maxStorageBufferBindingSize, maxBufferSize } = gpu.limits;
    const [binding, buffer] = [maxStorageBufferBindingSize, maxBufferSize].map(wholeArenas) as [
      number,
      number,
    ];
    this.bindingBytes = Math.min(binding, buffer);
    this.bufferBytes = buffer;
    this.workgroups = gpu.limits.maxComputeWorkgroupsPerDimension;
    void gpu.lost.then(({ reason, message }) => {
      this.#end(
        new StepjitError(
          "device-error",
          `the WebGPU device was lost (${reason}: ${message}), and with it all that was in its memory: ` +
            "make a new optimizer on a new device and load the last state dict",
        ),
      );
      for (const wake of this.#waiting) wake();
    });
  }

  /** Throws `device-error` where the device was lost or refused something that cannot be laid to anybody, `disposed` after `close`. */
  check(): void {
    if (this.#error) throw this.#error;
  }

  /** Nothing goes from here on. */
  close(): void {
    this.#end(new StepjitError("disposed", "a webgpu backend was used after dispose()"));
  }

  readonly #end = (error: StepjitError | undefined): void => {
    this.#error ??= error;
  };

  /** Zero-filled. Whether there is memory for it is known later: then see `failureOf`. */
  createBuffer(label: string, bytes: number, usage = STORAGE | COPY_SRC | COPY_DST): GPUBuffer {
    this.check();
    const size = Math.ceil(bytes / 4) * 4;
    const buffer: GPUBuffer = this.guard(
      "out-of-memory",
      `webgpu: no memory for ${size} bytes of ${label}`,
      () => this.gpu.createBuffer({ label: `stepjit ${label}`, size, usage }),
      (error) => {
        if (error) this.#blame(buffer, error);
        else this.#sound.add(buffer);
      },
    );
    return buffer;
  }

  #blame(buffer: GPUBuffer, error: StepjitError): void {
    this.hasFailures = true;
    if (!this.#failures.has(buffer)) this.#failures.set(buffer, error);
  }

  /** What is known to be wrong with a buffer. */
  failureOf(buffer: GPUBuffer): StepjitError | undefined {
    return this.hasFailures ? this.#failures.get(buffer) : undefined;
  }

  /** Throws that. What befell somebody else's buffer is told once: it may be in order again. */
  checkBuffer(buffer: GPUBuffer): void {
    const failure = this.failureOf(buffer);
    if (!failure) return;
    if (failure.code !== "out-of-memory") this.#failures.delete(buffer);
    throw failure;
  }

  /** What is encoded runs in order, before whatever is submitted later. */
  encode(work: (encoder: GPUCommandEncoder) => void): void {
    this.check();
    work(this.#commands.begin());
    this.#pending = true;
  }

  /** Submits what was encoded. If it is refused, `hear` is told, as `what`'s; else nothing goes any more. */
  flush(what = "webgpu", hear: Hear = this.#end): void {
    if (!this.#pending) return;
    this.#pending = false;
    this.guard("validation", what, () => this.#commands.submit(), hear);
  }

  /** See `Reports.guard`. */
  guard<T>(filter: GPUErrorFilter, what: string, work: () => T, hear: Hear): T {
    return this.#reports.guard(filter, what, work, hear);
  }

  /** Writes to a buffer, after all that was encoded before. Throws where that is known not to go; later uses of the buffer do, too. */
  write(
    buffer: GPUBuffer,
    offset: number,
    data: Float32Array | Uint32Array,
    start = 0,
    length = data.length,
  ): void {
    this.check();
    this.flush();
    if (length === 0) return;
    const numbers = data as GPUAllowSharedBufferSource;
    const { queue } = this.gpu;
    if (this.#sound.has(buffer)) {
      queue.writeBuffer(buffer, offset, numbers, start, length);
      return;
    }
    this.checkBuffer(buffer);
    this.guard(
      "validation",
      "webgpu: writing to a tensor",
      () => queue.writeBuffer(buffer, offset, numbers, start, length),
      (error) => error && this.#blame(buffer, error),
    );
  }

  /** A copy of some bytes, once all that was asked for before is done. Rejects where one of the buffers is not in order. */
  async read(pieces: readonly Range[]): Promise<ArrayBuffer> {
    this.check();
    for (const { buffer } of pieces) this.checkBuffer(buffer);
    const total = pieces.reduce((sum, { bytes }) => sum + bytes, 0);
    if (total === 0) return new ArrayBuffer(0);
    this.flush();
    const staging = this.createBuffer("readback", total, MAP_READ | COPY_DST);
    let failure: StepjitError | undefined;
    this.encode((encoder) => copyInto(encoder, staging, pieces));
    this.flush("webgpu: reading a tensor", (error) => {
      failure = error;
    });
    const copy = this.take(staging);
    await Promise.allSettled([copy, this.#reports.heard()]);
    staging.destroy();
    for (const { buffer } of pieces) this.checkBuffer(buffer);
    if (failure) throw failure;
    return copy;
  }

  /** What is in a staging buffer once all that was submitted is done. */
  async take(staging: GPUBuffer): Promise<ArrayBuffer> {
    try {
      await this.#map(staging);
      const copy = staging.getMappedRange().slice(0);
      staging.unmap();
      return copy;
    } catch (cause) {
      await this.#reports.heard();
      this.check();
      this.checkBuffer(staging);
      throw new StepjitError("device-error", `webgpu: reading back failed: ${cause}`, { cause });
    }
  }

  #map(staging: GPUBuffer): Promise<undefined> {
    const map = () => staging.mapAsync(GPU_MAP_READ);
    return this.#sound.has(staging) ? map() : this.guard("validation", "webgpu: mapping", map, () => {});
  }

  /** Resolves once all that was submitted is done, and everybody was told of its errors. Throws as `check` does. */
  async finished(): Promise<void> {
    this.check();
    this.flush();
    await this.#done();
    await this.#reports.heard();
    this.check();
  }

  async #done(): Promise<void> {
    let wake = () => {};
    const woken = new Promise<void>((resolve) => {
      wake = resolve;
    });
    this.#waiting.add(wake);
    this.gpu.queue.onSubmittedWorkDone().then(wake, wake);
    await woken;
    this.#waiting.delete(wake);
  }

  /** Why a buffer cannot be used at present, if it cannot: tried out. */
  async probe(buffer: GPUBuffer): Promise<string | undefined> {
    const { gpu } = this;
    gpu.pushErrorScope("validation");
    const scratch = gpu.createBuffer({ label: "stepjit probe", size: 4, usage: COPY_DST });
    const encoder = gpu.createCommandEncoder({ label: "stepjit probe" });
    encoder.copyBufferToBuffer(buffer, 0, scratch, 0, 4);
    gpu.queue.submit([encoder.finish()]);
    scratch.destroy();
    const error = await gpu.popErrorScope().catch(() => null);
    return error?.message;
  }
}

function copyInto(encoder: GPUCommandEncoder, target: GPUBuffer, pieces: readonly Range[]): void {
  let at = 0;
  for (const { buffer, offset, bytes } of pieces) {
    encoder.copyBufferToBuffer(buffer, offset, target, at, bytes);
    at += bytes;
  }
}

/** Sizes are u32 in the tables, and whole elements. */
function wholeArenas(bytes: number): number {
  return Math.floor(Math.min(bytes, 2 ** 34 - 4) / 256) * 256;
}

// The numbers behind GPUBufferUsage and GPUMapMode, which are not global in Node. https://www.w3.org/TR/webgpu/#buffer-usage
export const MAP_READ = 0x1;
export const COPY_SRC = 0x4;
export const COPY_DST = 0x8;
export const UNIFORM = 0x40;
export const STORAGE = 0x80;
export const QUERY_RESOLVE = 0x200;
const GPU_MAP_READ = 0x1;

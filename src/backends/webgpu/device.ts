/** A GPUDevice as the backend uses it: work is encoded, flushed and watched for errors in one place. */
import { StepjitError } from "../../error.ts";

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

export class Device {
  readonly gpu: GPUDevice;
  /** Bytes that one storage binding may have, and one buffer. */
  readonly bindingBytes: number;
  readonly bufferBytes: number;
  /** Workgroups that a dispatch may have; where there are more chunks, each takes several. */
  readonly workgroups: number;
  readonly #commands: Commands;
  /** Whether something was encoded that is not submitted. */
  #pending = false;
  #error: StepjitError | undefined;

  constructor(gpu: GPUDevice, commands: Commands = new OwnCommands(gpu)) {
    this.gpu = gpu;
    this.#commands = commands;
    const { maxStorageBufferBindingSize, maxBufferSize } = gpu.limits;
    const [binding, buffer] = [maxStorageBufferBindingSize, maxBufferSize].map(wholeArenas) as [
      number,
      number,
    ];
    this.bindingBytes = Math.min(binding, buffer);
    this.bufferBytes = buffer;
    this.workgroups = gpu.limits.maxComputeWorkgroupsPerDimension;
    void gpu.lost.then(({ reason, message }) => {
      this.#error ??= new StepjitError("device-error", `the WebGPU device was lost (${reason}): ${message}`);
      for (const wake of this.#waiting) wake();
    });
  }

  /** Throws what went wrong earlier: errors of a GPU come later than the calls that caused them. */
  check(): void {
    if (this.#error) throw this.#error;
  }

  createBuffer(label: string, bytes: number, usage = STORAGE | COPY_SRC | COPY_DST): GPUBuffer {
    this.check();
    this.gpu.pushErrorScope("out-of-memory");
    const size = Math.ceil(bytes / 4) * 4;
    const buffer = this.gpu.createBuffer({ label: `stepjit ${label}`, size, usage });
    this.#watch("out-of-memory", `webgpu: no memory for ${size} bytes of ${label}`);
    return buffer;
  }

  /** What is encoded runs in order, before whatever is submitted later. */
  encode(work: (encoder: GPUCommandEncoder) => void): void {
    this.check();
    work(this.#commands.begin());
    this.#pending = true;
  }

  /** Submits what was encoded. */
  flush(): void {
    if (!this.#pending) return;
    this.#pending = false;
    this.#commands.submit();
  }

  /** Runs work whose validation errors are reported as `what`'s, at the next check. */
  guard(what: string, work: () => void): void {
    this.gpu.pushErrorScope("validation");
    try {
      work();
    } finally {
      this.#watch("device-error", what);
    }
  }

  /** Writes to a buffer, after all that was encoded before. */
  write(
    buffer: GPUBuffer,
    offset: number,
    data: Float32Array | Uint32Array,
    start = 0,
    length = data.length,
  ): void {
    this.flush();
    if (length > 0)
      this.gpu.queue.writeBuffer(buffer, offset, data as GPUAllowSharedBufferSource, start, length);
  }

  /** A copy of some bytes, once all that was asked for before is done. */
  async read(
    pieces: readonly { readonly buffer: GPUBuffer; readonly offset: number; readonly bytes: number }[],
  ): Promise<ArrayBuffer> {
    const total = pieces.reduce((sum, { bytes }) => sum + bytes, 0);
    if (total === 0) return new ArrayBuffer(0);
    const staging = this.createBuffer("readback", total, MAP_READ | COPY_DST);
    this.encode((encoder) => {
      let at = 0;
      for (const { buffer, offset, bytes } of pieces) {
        encoder.copyBufferToBuffer(buffer, offset, staging, at, bytes);
        at += bytes;
      }
    });
    this.guard("reading a tensor back", () => this.flush());
    try {
      await this.mapped(staging);
      return staging.getMappedRange().slice(0);
    } finally {
      staging.destroy();
    }
  }

  /** Maps a staging buffer for reading; a lost device rejects. */
  async mapped(staging: GPUBuffer): Promise<void> {
    try {
      await staging.mapAsync(GPU_MAP_READ);
    } catch (cause) {
      await this.#heard();
      this.check();
      throw new StepjitError("device-error", `webgpu: reading back failed: ${cause}`, { cause });
    }
  }

  /** Resolves once all that was submitted is done. Throws `device-error` and `out-of-memory`. */
  async finished(): Promise<void> {
    this.flush();
    await this.#doneOrLost();
    await this.#heard();
    this.check();
  }

  /** What waits for submitted work. A race with `lost` would leave something with that promise each time. */
  readonly #waiting = new Set<() => void>();

  async #doneOrLost(): Promise<void> {
    if (this.#error) return;
    let wake = () => {};
    const woken = new Promise<void>((resolve) => {
      wake = resolve;
    });
    this.#waiting.add(wake);
    this.gpu.queue.onSubmittedWorkDone().then(wake, wake);
    await woken;
    this.#waiting.delete(wake);
  }

  /** Errors are told in promises of their own: lets those that are settled be heard. */
  async #heard(): Promise<void> {
    await Promise.all(this.#watched);
  }

  readonly #watched = new Set<Promise<void>>();

  #watch(code: "device-error" | "out-of-memory", what: string): void {
    const heard = this.gpu.popErrorScope().then(
      (error) => {
        this.#watched.delete(heard);
        if (error) this.#error ??= new StepjitError(code, `${what}: ${error.message}`);
      },
      () => {
        this.#watched.delete(heard); // the device is lost, which is told elsewhere
      },
    );
    this.#watched.add(heard);
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
const GPU_MAP_READ = 0x1;

/**
 * The WebGPU backend, tensors in its memory, and buffers of your own as tensors.
 *
 * @module stepjit/webgpu
 */
import { WebGpuBackend } from "./backends/webgpu/index.ts";
import { StepjitError } from "./error.ts";
import { checkShape, makeTensor, type TensorData } from "./make-tensor.ts";
import { show } from "./optim/hyper.ts";
import { sizeOf, Tensor } from "./tensor.ts";

/** What `webgpu()` takes. */
export interface WebGpuOptions {
  /**
   * A device to work on; it stays yours. Default: a device of our own, with the limits that the adapter offers and, for `step.profile()`,
   * its feature `timestamp-query`.
   */
  readonly device?: GPUDevice;
  /** Which adapter to ask for. Default: what the platform prefers. */
  readonly powerPreference?: GPUPowerPreference;
}

/**
 * A WebGPU backend: in browsers, and in Node with the package `webgpu` installed.
 *
 *     const gpu = await webgpu();
 *     const weights = gpu.tensor(data, [784, 256]);
 *     const step = compileStep(new AdamW({ weights }), { backend: gpu });
 *     step({ weights: gradient });          // queued, not waited for
 *     await step.finished();
 *
 * It works on float32 only. Throws `invalid-option`, and `unsupported` where there is no WebGPU or no adapter.
 */
export async function webgpu(options: WebGpuOptions = {}): Promise<WebGpu> {
  checkOptions(options);
  if (options.device) return new WebGpu(options.device, undefined);
  const gpu = globalThis.navigator?.gpu ?? (await gpuOfNode());
  return new WebGpu(await requestDevice(gpu, options.powerPreference), gpu);
}

/** For each option, what it may be, in words and as a test. */
const OPTIONS: Readonly<Record<keyof WebGpuOptions, readonly [string, (value: unknown) => boolean]>> = {
  device: ["a GPUDevice", (value) => has(value, "queue") && has(value, "createComputePipeline")],
  powerPreference: [
    '"low-power" or "high-performance"',
    (value) => value === "low-power" || value === "high-performance",
  ],
};

function checkOptions(options: unknown): void {
  const refuse: (message: string) => never = (message) => {
    throw new StepjitError("invalid-option", `webgpu: ${message}`);
  };
  if (typeof options !== "object" || options === null)
    refuse(`options are an object such as { device }, got ${show(options)}`);
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(OPTIONS, name))
      refuse(`no option ${show(name)}; there are ${Object.keys(OPTIONS).join(", ")}`);
    const [allowed, fits] = OPTIONS[name as keyof WebGpuOptions];
    if (value !== undefined && !fits(value)) refuse(`${name} is ${allowed}, got ${show(value)}`);
  }
}

function has(value: unknown, name: string): boolean {
  return typeof value === "object" && value !== null && name in value;
}

/** What `webgpu()` makes: a backend, and tensors in its memory. Works on float32. */
export class WebGpu extends WebGpuBackend {
  /** Where the device came from, if it is our own; in Node the device does not outlive it. */
  #gpu: GPU | undefined;

  /** @internal Use `webgpu()`. */
  constructor(device: GPUDevice, gpu: GPU | undefined) {
    super(device);
    this.#gpu = gpu;
  }

  /** A tensor in GPU memory: `gpu.tensor([784, 256])` of zeros, `gpu.tensor(data, [784, 256])` a copy of data. Throws `invalid-parameters`. */
  tensor(shape: readonly number[]): Tensor;
  tensor(data: TensorData, shape: readonly number[]): Tensor;
  tensor(first: TensorData, second?: readonly number[]): Tensor {
    return makeTensor(this, first, second, second ? "float32" : undefined);
  }

  /**
   * A buffer of your own as a tensor, in place: float32 elements from `offset` on, in bytes, a multiple of 4. The buffer stays yours; it
   * needs the usages STORAGE, COPY_SRC and COPY_DST. Throws `invalid-parameters`.
   */
  wrap(buffer: GPUBuffer, shape: readonly number[], offset = 0): Tensor {
    const length = sizeOf(checkShape(shape));
    const refuse = (message: string): never => {
      throw new StepjitError("invalid-parameters", `wrap: ${message}`);
    };
    if (!has(buffer, "size") || !has(buffer, "usage")) refuse(`buffer is a GPUBuffer, got ${show(buffer)}`);
    if (!Number.isSafeInteger(offset) || offset < 0 || offset % 4 !== 0)
      refuse(`offset is a multiple of 4, at least 0, got ${offset}`);
    if (offset + 4 * length > buffer.size)
      refuse(`shape [${shape}] takes ${4 * length} bytes from ${offset} on; the buffer has ${buffer.size}`);
    const missing = Object.entries(USAGES).filter(([, bit]) => (buffer.usage & bit) === 0);
    if (missing.length > 0) refuse(`the buffer lacks usage ${missing.map(([name]) => name).join(", ")}`);
    return new Tensor(this.wrapped(buffer, length, offset), shape);
  }

  /** Gives back all memory, and the device unless it was handed in. Queued steps are still run. */
  override dispose(): void {
    super.dispose();
    if (this.#gpu) this.device.destroy();
    this.#gpu = undefined;
  }
}

const USAGES = { COPY_SRC: 0x4, COPY_DST: 0x8, STORAGE: 0x80 } as const;

/** What is asked for where the adapter has it: `step.profile()` reads the device's clock. */
const FEATURES: readonly GPUFeatureName[] = ["timestamp-query"];

async function requestDevice(gpu: GPU, powerPreference: GPUPowerPreference | undefined): Promise<GPUDevice> {
  const adapter = await gpu.requestAdapter(powerPreference && { powerPreference });
  if (!adapter)
    throw new StepjitError(
      "unsupported",
      "webgpu: this machine offers no WebGPU adapter. compileStep without a backend runs on WebAssembly everywhere.",
    );
  return adapter.requestDevice({
    label: "stepjit",
    requiredFeatures: FEATURES.filter((name) => adapter.features.has(name)),
    requiredLimits: limitsOf(adapter),
  });
}

/** Limits that matter, as large as the adapter has them. */
function limitsOf({ limits }: GPUAdapter): Record<string, number> {
  const { maxBufferSize, maxStorageBufferBindingSize, maxStorageBuffersPerShaderStage } = limits;
  return { maxBufferSize, maxStorageBufferBindingSize, maxStorageBuffersPerShaderStage };
}

/** Node has no WebGPU of its own. */
async function gpuOfNode(): Promise<GPU> {
  const name = "webgpu"; // a variable, so that bundlers for browsers leave it alone
  try {
    const { create } = (await import(/* @vite-ignore */ name)) as { create(flags: string[]): GPU };
    return create(["disable-dawn-features=timestamp_quantization"]); // which is for browsers, where a page might spy by it
  } catch (cause) {
    throw new StepjitError(
      "unsupported",
      'webgpu: there is no navigator.gpu here. In Node, install the package "webgpu"; in a browser, WebGPU needs a secure context (https or localhost).',
      { cause },
    );
  }
}

/**
 * The CUDA backend, tensors in an NVIDIA GPU's memory, memory of your own as tensors, and steps as CUDA graphs.
 *
 * @module stepjit/cuda
 */
import { CudaBackend } from "./backends/cuda/index.ts";
import { Device } from "./backends/cuda/native/device.ts";
import { Graph as CudaGraph } from "./backends/cuda/native/graph.ts";
import { StepjitError } from "./error.ts";
import { checkShape, makeTensor, type TensorData } from "./make-tensor.ts";
import { show } from "./optim/hyper.ts";
import { sizeOf, Tensor, type TensorDType } from "./tensor.ts";

export { CudaGraph };

/** What `cuda()` takes. */
export interface CudaOptions {
  /** Which GPU, by CUDA's number; `CUDA_VISIBLE_DEVICES` counts. Default 0. */
  readonly device?: number;
  /**
   * The handle of a stream (CUstream, cudaStream_t) that all work is to be queued on, in the device's primary context; it stays yours.
   * Default: a stream of our own, which waits for no other.
   */
  readonly stream?: bigint | number;
}

/**
 * A CUDA backend: in Node with the package `koffi` installed, on a machine with NVIDIA's driver and NVRTC.
 *
 *     const gpu = await cuda();
 *     const weights = gpu.tensor(data, [784, 256]);
 *     const step = compileStep(new AdamW({ weights }), { backend: gpu });
 *     step({ weights: gradient });          // queued, not waited for
 *     await step.finished();
 *
 * It works on float32 and float64. Kernels are compiled for the GPU at hand and kept on disk. The driver's library and NVRTC are looked
 * for where they are usually installed; the environment variables STEPJIT_LIBCUDA and STEPJIT_LIBNVRTC say where else they are.
 *
 * Throws `invalid-option`, and `unsupported` where a library or a GPU is missing, with all places that were looked at.
 */
export async function cuda(options: CudaOptions = {}): Promise<Cuda> {
  checkOptions(options);
  const { device, stream } = options;
  return new Cuda(
    await Device.open({
      ...(device !== undefined && { index: device }),
      ...(stream !== undefined && { stream: BigInt(stream) }),
    }),
  );
}

/** For each option, what it may be, in words and as a test. */
const OPTIONS: Readonly<Record<keyof CudaOptions, readonly [string, (value: unknown) => boolean]>> = {
  device: ["a GPU's number, from 0 on", (value) => typeof value === "number" && isUnsigned(value)],
  stream: ["a stream's handle, a bigint or a whole number", isUnsigned],
};

function checkOptions(options: unknown): void {
  const refuse: (message: string) => never = (message) => {
    throw new StepjitError("invalid-option", `cuda: ${message}`);
  };
  if (typeof options !== "object" || options === null)
    refuse(`options are an object such as { device }, got ${show(options)}`);
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(OPTIONS, name))
      refuse(`no option ${show(name)}; there are ${Object.keys(OPTIONS).join(", ")}`);
    const [allowed, fits] = OPTIONS[name as keyof CudaOptions];
    if (value !== undefined && !fits(value)) refuse(`${name} is ${allowed}, got ${show(value)}`);
  }
}

/** Whether it can be a u64: numbers that are too large to be whole ones are refused. */
function isUnsigned(value: unknown): value is bigint | number {
  return typeof value === "bigint"
    ? value >= 0n && value < 2n ** 64n
    : Number.isSafeInteger(value) && (value as number) >= 0;
}

/** What `cuda()` makes: a backend, and tensors in its memory. Works on float32 and float64. */
export class Cuda extends CudaBackend {
  /**
   * The handle (CUstream) of the stream that everything is queued on, in the GPU's primary context: order what others do with wrapped
   * memory by it.
   */
  get stream(): bigint {
    return this.device.stream;
  }

  /**
   * A tensor in GPU memory: `gpu.tensor([784, 256])` of zeros, `gpu.tensor(data, [784, 256])` a copy of data; a Float64Array makes a
   * float64 tensor. Throws `invalid-parameters`, and `out-of-memory`.
   */
  tensor(shape: readonly number[], dtype?: TensorDType): Tensor;
  tensor(data: TensorData, shape: readonly number[], dtype?: TensorDType): Tensor;
  tensor(first: TensorData, second?: readonly number[] | TensorDType, third?: TensorDType): Tensor {
    return makeTensor(this, first, second, third);
  }

  /**
   * Memory of your own as a tensor, in place: row-major elements from a device address (CUdeviceptr, `tensor.data_ptr()`) on. The address
   * is a multiple of the element's size; kernels are faster where it is one of 16. The memory stays yours and has to outlive the tensor.
   * Nothing can check that an address is one of this GPU: another one ends all work on the device. Throws `invalid-parameters`.
   */
  wrap(address: bigint | number, shape: readonly number[], dtype: TensorDType = "float32"): Tensor {
    const length = sizeOf(checkShape(shape));
    const refuse = (message: string): never => {
      throw new StepjitError("invalid-parameters", `wrap: ${message}`);
    };
    if (!Object.hasOwn(ELEMENTS, dtype)) refuse(`dtype is "float32" or "float64", got ${show(dtype)}`);
    const [type, bytes] = ELEMENTS[dtype];
    const isPlace = isUnsigned(address) && BigInt(address) > 0n && BigInt(address) % bytes === 0n;
    if (!isPlace)
      refuse(`address is a bigint or a whole number above 0, a multiple of ${bytes}, got ${show(address)}`);
    return new Tensor(this.wrapped(BigInt(address), type, length), shape);
  }

  /** Steps as one launch: see `CudaGraph`. */
  graph(): CudaGraph {
    return new CudaGraph(this.device);
  }
}

const ELEMENTS = { float32: ["f32", 4n], float64: ["f64", 8n] } as const;

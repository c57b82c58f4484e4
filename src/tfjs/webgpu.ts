/**
 * The webgpu backend keeps a tensor in a GPUBuffer. Our kernels are encoded behind TensorFlow.js's own commands and write the
 * variables' buffers in place; a step reads nothing back.
 */
import { type DataId, engine, type Tensor as TfTensor, type Variable } from "@tensorflow/tfjs-core";
import type { Storage } from "../backends/backend.ts";
import { WebGpuBackend } from "../backends/webgpu/index.ts";
import type { Gradient } from "../step/gradients.ts";
import { Tensor } from "../tensor.ts";
import { type Home, variableOf } from "./home.ts";

/** What tfjs knows of one piece of data. */
interface Entry {
  /** What lies on the CPU, or was read from the GPU and kept. */
  values: Float32Array | null;
  /** Its place on the GPU, once it has one. */
  readonly resource: GPUBuffer;
  readonly refCount: number;
  /** The buffer is the user's (`tf.tensor({ buffer, zeroCopy: true })`). */
  readonly external?: boolean;
}

/** The parts of the webgpu backend that we touch. `get` brings over the data of another backend. */
interface TfjsWebGpu {
  readonly device: GPUDevice;
  readonly commandEncoder: GPUCommandEncoder;
  readonly tensorMap: { has(id: DataId): boolean; get(id: DataId): Entry };
  read(id: DataId): Promise<Float32Array>;
  write(values: null, shape: readonly number[], dtype: "float32"): DataId;
  uploadToGPU(id: DataId): void;
  ensureCommandEncoderReady(): void;
  endComputePassEncoder(): void;
  submitQueue(): void;
}

export class WebGpuHome implements Home {
  readonly backend: WebGpuBackend;
  readonly #tfjs: TfjsWebGpu;
  /** How often we wrote. */
  readonly #writes = new WeakMap<DataId, number>();

  constructor(backend: object) {
    this.#tfjs = backend as TfjsWebGpu;
    this.backend = new WebGpuBackend(this.#tfjs.device, {
      begin: () => this.#begin(),
      submit: () => this.#tfjs.submitQueue(),
    });
    this.#keepNoOldReads();
  }

  adopt(variable: Variable): void {
    const { resource, refCount, external } = this.#onGpu(variable);
    const isExact = resource.size === BYTES * variable.size;
    if (refCount > 1 || external || !isExact) this.#makeOwn(variable);
  }

  /** A variable that takes no part in a step may be gone, or on the CPU: any buffer will do. */
  storage(variable: Variable): Storage {
    const { name, size } = variable;
    let { resource } = this.#onGpu(variable);
    const buffer = () => {
      resource = this.#entryOf(name)?.resource ?? resource;
      return resource;
    };
    return this.backend.foreignStorage(size, buffer);
  }

  gradientReader({ shape, size }: Variable): (gradient: TfTensor) => Gradient {
    let buffer: GPUBuffer;
    const storage = this.backend.foreignStorage(size, () => buffer);
    const readable = new Tensor(storage, shape);
    return (gradient) => {
      buffer = this.#onGpu(gradient).resource;
      return readable;
    };
  }

  written(names: readonly string[]): void {
    for (const name of names) {
      const id = variableOf(name)?.dataId;
      if (!id) continue;
      this.#tfjs.tensorMap.get(id).values = null;
      this.#writes.set(id, this.#writesTo(id) + 1);
    }
  }

  release(): void {}

  /** What this backend has of the variable of this name. */
  #entryOf(name: string): Entry | undefined {
    const { tensorMap } = this.#tfjs;
    const id = variableOf(name)?.dataId;
    return id && tensorMap.has(id) ? tensorMap.get(id) : undefined;
  }

  /** Small tensors may have been on the CPU only. */
  #onGpu({ dataId }: TfTensor): Entry {
    this.#tfjs.uploadToGPU(dataId);
    return this.#tfjs.tensorMap.get(dataId);
  }

  /** Gives a variable a buffer of its own, of exactly its size. */
  #makeOwn(variable: Variable): void {
    const { shape, size } = variable;
    const { resource } = this.#onGpu(variable);
    const dataId = this.#tfjs.write(null, shape, "float32");
    const own = engine().makeTensorFromDataId(dataId, shape, "float32");
    const buffer = this.#onGpu(own).resource;
    this.#begin().copyBufferToBuffer(resource, 0, buffer, 0, BYTES * size);
    variable.assign(own);
    own.dispose();
  }

  #begin(): GPUCommandEncoder {
    this.#tfjs.ensureCommandEncoderReady();
    this.#tfjs.endComputePassEncoder();
    return this.#tfjs.commandEncoder;
  }

  #writesTo(id: DataId): number {
    return this.#writes.get(id) ?? 0;
  }

  /**
   * tfjs keeps what it has read. Of a read that ends after a step, and began before it, it must not. (A read that was under way when
   * this home was made, at the first step of all, is not seen.)
   */
  #keepNoOldReads(): void {
    const tfjs = this.#tfjs;
    const read = tfjs.read.bind(tfjs);
    tfjs.read = async (id) => {
      const writes = this.#writesTo(id);
      const values = await read(id);
      if (this.#writesTo(id) !== writes && tfjs.tensorMap.has(id)) tfjs.tensorMap.get(id).values = null;
      return values;
    };
  }
}

/** Of an element. */
const BYTES = 4;

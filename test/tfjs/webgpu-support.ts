/** What the tests on TensorFlow.js's webgpu backend share: the backend itself, reading without blocking, and what reaches the GPU. */
import * as tf from "@tensorflow/tfjs";
import { afterAll, beforeAll, vi } from "vitest";
import { type Counter, type Counts, counted } from "../backends/webgpu/counted.ts";
import { describeOnGpu, openGpu } from "../backends/webgpu/gpu.ts";
import { makeVariables as makeSmall, numbers, sizeOf } from "./support.ts";

let counter: Counter;

/** A describe whose tests run on TensorFlow.js's own webgpu backend. What its device complains about fails them. */
export function describeOnTfjs(name: string, tests: () => void): void {
  describeOnGpu(name, () => {
    const complaints: string[] = [];
    let close = () => {};
    beforeAll(async () => {
      vi.spyOn(console, "warn").mockImplementation(() => {});
      close = openGpu();
      await import("@tensorflow/tfjs-backend-webgpu"); // looks for navigator.gpu
      await tf.setBackend("webgpu");
      const device = deviceOfTfjs();
      device.addEventListener("uncapturederror", ({ error }) => complaints.push(error.message));
      counter = counted(device);
    });
    tests();
    afterAll(async () => {
      await tf.setBackend("webgpu");
      await deviceOfTfjs().queue.onSubmittedWorkDone(); // complaints come before
      close();
      if (complaints.length > 0) throw new Error(complaints.join("\n"));
    });
  });
}

export function deviceOfTfjs(): GPUDevice {
  return (tf.backend() as unknown as { device: GPUDevice }).device;
}

/** What tfjs holds of a tensor. */
export function entryOf({ dataId }: tf.Tensor): { resource?: GPUBuffer; values?: Float32Array | null } {
  const { tensorMap } = tf.backend() as unknown as { tensorMap: { get(id: object): never } };
  return tensorMap.get(dataId);
}

export async function read(tensors: readonly tf.Tensor[]): Promise<number[][]> {
  return Promise.all(tensors.map(async (tensor) => [...(await tensor.data())]));
}

/** What is asked of the GPU while `work` runs; `reads` are buffers that come back. */
export function countWork(work: () => void): Counts & { reads: number } {
  const reads = vi.spyOn(GPUBuffer.prototype, "mapAsync");
  counter.reset();
  try {
    work();
    return { ...counter.counts, reads: reads.mock.calls.length };
  } finally {
    reads.mockRestore();
  }
}

let sets = 0;

/** Variables on the GPU, however small, under fresh names. */
export function makeOnGpu(shapes: readonly (readonly number[])[], seed = 1): tf.Variable[] {
  sets++;
  return shapes.map((shape, i) => {
    const made = tf.tensor(numbers(sizeOf(shape), seed + i), [...shape]);
    upload(made);
    const variable = tf.variable(made, true, `gpu${sets}/${i}`);
    made.dispose();
    return variable;
  });
}

/** Of the size from which on a buffer is bound by itself. */
export const LARGE = [160, 128] as const;

/** Variables on the CPU and on the GPU. */
export function makeVariables(seed = 1): tf.Variable[] {
  return [...makeSmall(seed), ...makeOnGpu([[3, 5], [1500]], seed + 10)];
}

/** Gradients that depend on the seed alone and are never near zero, where some updates are steep. */
export function makeGradients(variables: readonly tf.Variable[], seed: number): tf.NamedTensorMap {
  return Object.fromEntries(
    variables.map(({ name, shape, size }, i) => {
      const away = numbers(size, 100 * seed + i).map((x) => x + (x < 0 ? -0.1 : 0.1));
      return [name, tf.tensor(away, shape)];
    }),
  );
}

/** One step with them. */
export function stepWith(optimizer: tf.Optimizer, variables: readonly tf.Variable[], seed: number): void {
  const gradients = makeGradients(variables, seed);
  optimizer.applyGradients(gradients);
  tf.dispose(gradients);
}

export function upload({ dataId }: tf.Tensor): void {
  (tf.backend() as unknown as { uploadToGPU(id: object): void }).uploadToGPU(dataId);
}

/** TensorFlow.js on its own webgpu backend: tf.train.adam, a gradient for every variable. */

import type { WebGPUBackend } from "@tensorflow/tfjs-backend-webgpu";
import * as tf from "@tensorflow/tfjs-core";
import { fillGradient, fillParameters, HYPER, type Shapes } from "../../problem.ts";
import type { GpuContender, GpuEntry } from "./contender.ts";

const MOST_PARAMETERS = 50e6;

export const tfjs: GpuEntry = {
  name: "tfjs webgpu",
  bytesHeld: 100,
  refuses: ({ parameters }) =>
    parameters > MOST_PARAMETERS ? "its temporaries would take a dozen gigabytes" : undefined,
  make: makeTfjs,
};

/** The backend on the global navigator.gpu. Its device is everyone's. */
export async function tfjsBackend(): Promise<WebGPUBackend> {
  await import("@tensorflow/tfjs-backend-webgpu"); // looks for navigator.gpu when it is loaded
  tf.enableProdMode();
  await tf.setBackend("webgpu");
  return tf.backend() as WebGPUBackend;
}

async function makeTfjs({ tensors }: Shapes, device: GPUDevice): Promise<GpuContender> {
  const backend = await tfjsBackend();
  const filled = (fill: (tensor: number, target: Float32Array) => void) =>
    tensors.map(({ shape, size }, i) => {
      const data = new Float32Array(size);
      fill(i, data);
      const made = tf.tensor(data, [...shape], "float32");
      backend.uploadToGPU(made.dataId); // where a backward pass leaves it; small tensors stay on the CPU else
      return made;
    });
  const variables = filled(fillParameters).map((start, i) => tf.variable(start, true, tensors[i]?.name));
  const gradients = Object.fromEntries(
    filled(fillGradient).map((gradient, i) => [variables[i]?.name as string, gradient]),
  );
  const { lr, beta1, beta2, eps } = HYPER;
  const optimizer: tf.Optimizer = tf.train.adam(lr, beta1, beta2, eps);
  return {
    step() {
      optimizer.applyGradients(gradients);
      backend.ensureCommandEncoderReady(); // else what it still holds back is not under way
      backend.endComputePassEncoder();
      backend.submitQueue();
    },
    finished: () => device.queue.onSubmittedWorkDone(),
    read: () => Promise.all(variables.map(async (variable) => (await variable.data()) as Float32Array)),
    dispose() {
      optimizer.dispose();
      tf.dispose([variables, gradients]);
    },
  };
}

/** On TensorFlow.js's own webgpu backend, a gradient for every variable: tf.train.adam, and the same compiled. */

import type { WebGPUBackend } from "@tensorflow/tfjs-backend-webgpu";
import * as tf from "@tensorflow/tfjs-core";
import { compileStep } from "stepjit/tfjs";
import { fillGradient, fillParameters, HYPER, type Shapes } from "../../problem.ts";
import type { GpuContender, GpuEntry } from "./contender.ts";

const MOST_PARAMETERS = 50e6;

export const tfjs: GpuEntry = {
  name: "tfjs webgpu",
  bytesHeld: 100,
  refuses: ({ parameters }) =>
    parameters > MOST_PARAMETERS ? "its temporaries would take a dozen gigabytes" : undefined,
  make: (shapes, device) => makeOn(shapes, device, tfAdam(), submitRest),
};

export const stepjitTfjs: GpuEntry = {
  name: "stepjit/tfjs on tfjs webgpu",
  bytesHeld: 16,
  make: (shapes, device) => makeOn(shapes, device, compileStep(tfAdam())),
};

/** What tfjs still holds back, so that the whole step is under way. */
function submitRest(backend: WebGPUBackend): void {
  backend.ensureCommandEncoderReady();
  backend.endComputePassEncoder();
  backend.submitQueue();
}

function tfAdam(): tf.AdamOptimizer {
  const { lr, beta1, beta2, eps } = HYPER;
  return tf.train.adam(lr, beta1, beta2, eps);
}

/** The backend on the global navigator.gpu. Its device is everyone's. */
export async function tfjsBackend(): Promise<WebGPUBackend> {
  await import("@tensorflow/tfjs-backend-webgpu"); // looks for navigator.gpu when it is loaded
  tf.enableProdMode();
  await tf.setBackend("webgpu");
  return tf.backend() as WebGPUBackend;
}

let made = 0;

async function makeOn(
  { tensors }: Shapes,
  device: GPUDevice,
  optimizer: Pick<tf.Optimizer, "applyGradients" | "dispose">,
  submit?: (backend: WebGPUBackend) => void,
): Promise<GpuContender> {
  const backend = await tfjsBackend();
  const prefix = `bench${made++}/`;
  const filled = (fill: (tensor: number, target: Float32Array) => void) =>
    tensors.map(({ shape, size }, i) => {
      const data = new Float32Array(size);
      fill(i, data);
      const filled = tf.tensor(data, [...shape], "float32");
      backend.uploadToGPU(filled.dataId); // where a backward pass leaves it; small tensors stay on the CPU else
      return filled;
    });
  const variables = filled(fillParameters).map((start, i) =>
    tf.variable(start, true, prefix + tensors[i]?.name),
  );
  const gradients = Object.fromEntries(
    filled(fillGradient).map((gradient, i) => [variables[i]?.name as string, gradient]),
  );
  return {
    step() {
      optimizer.applyGradients(gradients);
      submit?.(backend);
    },
    finished: () => device.queue.onSubmittedWorkDone(),
    read: () => Promise.all(variables.map(async (variable) => (await variable.data()) as Float32Array)),
    dispose() {
      optimizer.dispose();
      tf.dispose([variables, gradients]);
    },
  };
}

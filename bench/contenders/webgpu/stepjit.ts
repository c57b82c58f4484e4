/** stepjit with tensors in its own GPU memory. */
import { Adam, compileStep, type Tensor } from "stepjit";
import { webgpu } from "stepjit/webgpu";
import { fillGradient, fillParameters, HYPER } from "../../problem.ts";
import type { GpuEntry } from "./contender.ts";

export const stepjit: GpuEntry = {
  name: "stepjit/webgpu",
  bytesHeld: 16,
  async make({ tensors }, device) {
    const gpu = await webgpu({ device });
    const filled = (fill: (tensor: number, target: Float32Array) => void): Record<string, Tensor> =>
      Object.fromEntries(
        tensors.map(({ name, shape, size }, i) => {
          const data = new Float32Array(size);
          fill(i, data);
          return [name, gpu.tensor(data, shape)];
        }),
      );
    const [parameters, gradients] = [filled(fillParameters), filled(fillGradient)];
    const { lr, beta1, beta2, eps } = HYPER;
    const optimizer = new Adam(parameters, { lr, betas: [beta1, beta2], eps });
    const step = compileStep(optimizer, { backend: gpu });
    return {
      step: () => step(gradients),
      finished: () => step.finished(),
      read: () =>
        Promise.all(Object.values(parameters).map(async (each) => (await each.read()) as Float32Array)),
      dispose() {
        step.dispose();
        optimizer.dispose();
        gpu.dispose();
      },
    };
  },
};

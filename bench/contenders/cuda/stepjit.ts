/** stepjit with tensors in its own GPU memory. */
import { Adam, AdamW, compileStep, type Tensor } from "stepjit";
import { fillGradient, fillParameters, HYPER, WEIGHT_DECAY } from "../../problem.ts";
import type { CudaEntry } from "./contender.ts";

export const stepjit: CudaEntry = {
  name: "stepjit/cuda",
  async make({ tensors, optimizer: name }, gpu) {
    const filled = (fill: (tensor: number, target: Float32Array) => void): Record<string, Tensor> =>
      Object.fromEntries(
        tensors.map(({ name, shape, size }, i) => {
          const data = new Float32Array(size);
          fill(i, data);
          return [name, gpu.tensor(data, shape)];
        }),
      );
    const [parameters, gradients] = [filled(fillParameters), filled(fillGradient)];
    await gpu.finished();
    const { lr, beta1, beta2, eps } = HYPER;
    const start = performance.now();
    const Class = name === "Adam" ? Adam : AdamW;
    const optimizer = new Class(parameters, {
      lr,
      betas: [beta1, beta2],
      eps,
      weightDecay: WEIGHT_DECAY[name],
    });
    const step = compileStep(optimizer, { backend: gpu });
    step(gradients);
    await step.finished();
    const coldStart = performance.now() - start;
    const before = { ...gpu.device.counts };
    step(gradients);
    const { launches, uploads } = gpu.device.counts;
    return {
      coldStart,
      step: () => step(gradients),
      finished: () => step.finished(),
      read: () =>
        Promise.all(Object.values(parameters).map(async (each) => (await each.read()) as Float32Array)),
      details: () => ({ launches: launches - before.launches, uploads: uploads - before.uploads }),
      dispose() {
        step.dispose();
        optimizer.dispose();
        for (const tensor of [...Object.values(parameters), ...Object.values(gradients)]) tensor.dispose();
      },
    };
  },
};

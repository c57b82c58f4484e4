/** What is measured: our own step. */
import { Adam, AdamW, compileStep, type Tensor, tensor } from "stepjit";
import { fillGradient, fillParameters, HYPER, type Problem, WEIGHT_DECAY } from "../problem.ts";
import type { Contender, Entry } from "./contender.ts";

export function stepjit(threads: number): Entry {
  return { name: "stepjit", threads, make: (problem) => makeStepjit(problem, threads) };
}

const OPTIMIZERS = { Adam, AdamW } as const;

function makeStepjit({ optimizer: name, tensors }: Problem, threads: number): Contender {
  const filled = (fill: (tensor: number, target: Float32Array) => void): Record<string, Tensor> =>
    Object.fromEntries(
      tensors.map(({ name, shape }, i) => {
        const made = tensor(shape);
        fill(i, made.data as Float32Array);
        return [name, made];
      }),
    );
  const parameters = filled(fillParameters);
  const gradients = filled(fillGradient);
  const { lr, beta1, beta2, eps } = HYPER;
  const options = { lr, betas: [beta1, beta2] as const, eps, weightDecay: WEIGHT_DECAY[name] };
  const optimizer = new OPTIMIZERS[name](parameters, options);
  const step = compileStep(optimizer, { threads });
  return {
    step: () => step(gradients),
    parameters: () => Object.values(parameters).map(({ data }) => data as Float32Array),
    details() {
      const { launches, kernels, bytesMoved, bytesIdeal } = step.stats;
      return { launches, kernels, bytesMoved, bytesIdeal };
    },
    dispose() {
      step.dispose();
      optimizer.dispose();
      for (const each of [...Object.values(parameters), ...Object.values(gradients)]) each.dispose();
    },
  };
}

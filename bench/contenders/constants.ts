/** What all elements of a step have in common, for those who write the step by hand. */
import { HYPER, type OptimizerName, WEIGHT_DECAY } from "../problem.ts";

export interface StepConstants {
  readonly decay: number;
  readonly oneMinusBeta1: number;
  readonly beta2: number;
  readonly oneMinusBeta2: number;
  readonly stepSize: number;
  readonly rootScale: number;
  readonly eps: number;
}

/** `count` is 1 in the first step. */
export function constantsOf(optimizer: OptimizerName, count: number): StepConstants {
  const { lr, beta1, beta2, eps } = HYPER;
  return {
    decay: 1 - lr * WEIGHT_DECAY[optimizer],
    oneMinusBeta1: 1 - beta1,
    beta2,
    oneMinusBeta2: 1 - beta2,
    stepSize: lr / (1 - beta1 ** count),
    rootScale: 1 / Math.sqrt(1 - beta2 ** count),
    eps,
  };
}

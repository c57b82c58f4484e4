import { adamDefinition, adamStep } from "./adam.ts";
import { defineOptimizer } from "./optimizer.ts";

/**
 * AdamW: Adam with decoupled weight decay.
 *
 *     p = p · (1 - lr · weightDecay)
 *     m = beta1 · m + (1 - beta1) · grad
 *     v = beta2 · v + (1 - beta2) · grad²
 *     p = p - lr / (1 - beta1^t) · m / (√v / √(1 - beta2^t) + eps)
 *
 * State as Adam's. Source: torch/optim/adamw.py; Loshchilov & Hutter, Decoupled weight decay regularization (2019).
 */
export const AdamW = defineOptimizer({
  name: "AdamW",
  ...adamDefinition,
  hyper: { ...adamDefinition.hyper, weightDecay: { default: 1e-2, min: 0 } },
  flags: { amsgrad: false, maximize: false },
  update(context) {
    "use stepjit";
    const { param, grad, hyper, flags } = context;
    const decayed = param * (1 - hyper.lr * hyper.weightDecay);
    return decayed - adamStep(flags.maximize ? -grad : grad, context);
  },
});
export type AdamW = InstanceType<typeof AdamW>;

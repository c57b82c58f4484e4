import { lerp, max, sqrt } from "stepjit/ops";
import { count, type UpdateContext } from "../trace/definition.ts";
import { defineOptimizer } from "./optimizer.ts";

type AdamHyper = { lr: number; betas: readonly [number, number]; eps: number; weightDecay: number };
type AdamFlags = "amsgrad" | "hasFirstMoment";
type AdamState = "exp_avg" | "exp_avg_sq" | "max_exp_avg_sq";

/** What Adam and AdamW have in common besides their treatment of weight decay. */
export const adamDefinition = {
  hyper: {
    lr: { default: 1e-3, min: 0 },
    betas: { default: [0.9, 0.999], min: 0, below: 1 },
    eps: { default: 1e-8, min: 0 },
  },
  derive: ({ betas: [beta1] }: AdamHyper) => ({ hasFirstMoment: beta1 !== 0 }),
  state: {
    step: count,
    exp_avg: { when: "hasFirstMoment" },
    exp_avg_sq: {},
    max_exp_avg_sq: { when: "amsgrad" },
  },
} as const;

/** Adam's moments and its step away from the parameter, for gradient g. */
export function adamStep(
  g: number,
  { state, hyper, flags, step }: UpdateContext<AdamHyper, AdamFlags, AdamState>,
): number {
  "use stepjit";
  const [beta1, beta2] = hyper.betas;
  const m = flags.hasFirstMoment ? lerp(state.exp_avg, g, 1 - beta1) : g;
  const v = beta2 * state.exp_avg_sq + (1 - beta2) * g * g;
  if (flags.hasFirstMoment) state.exp_avg = m;
  state.exp_avg_sq = v;
  if (flags.amsgrad) state.max_exp_avg_sq = max(state.max_exp_avg_sq, v);

  const biasCorrection1 = 1 - beta1 ** step;
  const biasCorrection2 = 1 - beta2 ** step;
  const largest = flags.amsgrad ? state.max_exp_avg_sq : v;
  const denominator = sqrt(largest) / sqrt(biasCorrection2) + hyper.eps;
  return (hyper.lr / biasCorrection1) * (m / denominator);
}

/**
 * Adam.
 *
 *     g = grad + weightDecay · p
 *     m = beta1 · m + (1 - beta1) · g
 *     v = beta2 · v + (1 - beta2) · g²
 *     p = p - lr / (1 - beta1^t) · m / (√v / √(1 - beta2^t) + eps)
 *
 * amsgrad: the largest v so far stands in the denominator. decoupledWeightDecay: p shrinks by 1 - lr · weightDecay instead of g growing.
 * State: `step`, and shaped as the parameter `exp_avg` (m; none while beta1 is 0), `exp_avg_sq` (v), `max_exp_avg_sq` (amsgrad).
 *
 * Source: torch/optim/adam.py, `_single_tensor_adam`; Kingma & Ba, Adam: A method for stochastic optimization (2015); Reddi et al.,
 * On the convergence of Adam and beyond (2018). As in torch, amsgrad keeps the maximum of the v that is not bias-corrected.
 */
export const Adam = defineOptimizer({
  name: "Adam",
  ...adamDefinition,
  hyper: { ...adamDefinition.hyper, weightDecay: { default: 0, min: 0 } },
  flags: { amsgrad: false, maximize: false, decoupledWeightDecay: false },
  update(context) {
    "use stepjit";
    const { param, grad, hyper, flags } = context;
    const ascent = flags.maximize ? -grad : grad;
    if (flags.decoupledWeightDecay)
      return param * (1 - hyper.lr * hyper.weightDecay) - adamStep(ascent, context);
    const g = hyper.weightDecay !== 0 ? ascent + hyper.weightDecay * param : ascent;
    return param - adamStep(g, context);
  },
});
export type Adam = InstanceType<typeof Adam>;

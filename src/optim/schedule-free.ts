import { lerp, max, min, sqrt } from "stepjit/ops";
import { count } from "../trace/definition.ts";
import { defineOptimizer } from "./optimizer.ts";

/**
 * Schedule-free AdamW: an average x of the iterates z takes the place of a schedule that lets lr decay. The parameters hold y, a point
 * between the two where gradients are taken; the weights to evaluate with are x: `await optimizer.averagedParameters()`.
 *
 *     v = beta2 · v + (1 - beta2) · grad²
 *     u = grad / (√(v / (1 - beta2^t)) + eps) + weightDecay · y
 *     γ = lr · min(1, t / warmupSteps)
 *     z = z - γ · u
 *     x = (1 - c) · x + c · z          where c = w / (sum of all w so far), w = t^r · (largest γ so far)^weightLrPower
 *     y = (1 - beta1) · z + beta1 · x
 *
 * beta1 · x = y - (1 - beta1) · z, so x need not be kept: put into the last line, with the old y and z on the right,
 *
 *     y = (1 - c) · y + c · z - γ · (1 - beta1 · (1 - c)) · u
 *
 * lr is best left constant; beta1 too, since x follows from y, z and the beta1 of the moment.
 *
 * State: `step`; shaped as the parameter `z` (starts as a copy of it), `exp_avg_sq` (v); numbers `weight_sum`, `lr_max`.
 *
 * Source: Defazio et al., The road less scheduled (2024), algorithm 1; facebookresearch/schedule_free, adamw_schedulefree.py (its bias
 * correction of v, not the paper's of lr). Other than there, steps, weight_sum and lr_max are each parameter's own and not the group's,
 * and parameters stay y: there is no `eval()` that writes x over them.
 */
export const ScheduleFreeAdamW = defineOptimizer({
  name: "ScheduleFreeAdamW",
  hyper: {
    lr: { default: 2.5e-3, min: 0 },
    betas: { default: [0.9, 0.999], min: 0, below: 1 },
    eps: { default: 1e-8, min: 0 },
    weightDecay: { default: 0, min: 0 },
    warmupSteps: { default: 0, min: 0 },
    r: { default: 0, min: 0 },
    weightLrPower: { default: 2, min: 0 },
  },
  flags: { maximize: false },
  check: ({ betas: [beta1] }) =>
    beta1 === 0 ? "beta1 is above 0: at 0 nothing of the average would be in the parameters" : undefined,
  state: {
    step: count,
    z: { init: "param" },
    exp_avg_sq: {},
    weight_sum: { extent: "param" },
    lr_max: { extent: "param" },
  },
  update({ param: y, grad, state, hyper, flags, step }) {
    "use stepjit";
    const { eps, weightDecay, warmupSteps, r, weightLrPower } = hyper;
    const [beta1, beta2] = hyper.betas;
    const g = flags.maximize ? -grad : grad;
    const v = beta2 * state.exp_avg_sq + (1 - beta2) * g * g;
    const u = g / (sqrt(v / (1 - beta2 ** step)) + eps) + weightDecay * y;
    state.exp_avg_sq = v;

    const lr = hyper.lr * min(1, step / warmupSteps); // t / 0 is infinite: no warmup
    state.lr_max = max(state.lr_max, lr);
    const weight = step ** r * state.lr_max ** weightLrPower;
    state.weight_sum = state.weight_sum + weight;
    const c = state.weight_sum > 0 ? weight / state.weight_sum : 0; // lr 0 from the start: nothing to average

    const z = state.z;
    state.z = z - lr * u;
    return lerp(y, z, c) - lr * (1 - beta1 * (1 - c)) * u;
  },
  /** x = (y - (1 - beta1) · z) / beta1 */
  average({ param: y, state: { z }, hyper }) {
    const [beta1] = hyper.betas;
    return z + (y - z) / beta1;
  },
});
export type ScheduleFreeAdamW = InstanceType<typeof ScheduleFreeAdamW>;

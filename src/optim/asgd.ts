import { lerp, max } from "stepjit/ops";
import { count } from "../trace/definition.ts";
import { defineOptimizer } from "./optimizer.ts";

/**
 * Averaged stochastic gradient descent. The parameters are stepped as ever; their average is in the state, and
 * `await optimizer.averagedParameters()` gives it.
 *
 *     g = grad + weightDecay · p
 *     p = p · (1 - lambd · η) - η · g
 *     a = a + µ · (p - a)                           (a = p where µ = 1)
 *     η = lr / (1 + lambd · lr · t)^alpha           (of the next step; lr in the first)
 *     µ = 1 / max(1, t - t0)                        (of the next step; 1 in the first)
 *
 * State: `step`, the numbers `eta` (η) and `mu` (µ), and shaped as the parameter `ax` (a).
 * Defaults: lr 1e-2, lambd 1e-4, alpha 0.75, t0 1e6 (averaging starts after that many steps), weightDecay 0.
 *
 * Source: torch/optim/asgd.py, `_single_tensor_asgd`; Polyak & Juditsky, Acceleration of stochastic approximation by averaging (1992).
 * As in torch, η and µ take effect one step after they were computed, so a new lr does too; both are f32 whatever the parameter's
 * dtype; and lambd moves a parameter whose gradient is 0.
 */
export const ASGD = defineOptimizer({
  name: "ASGD",
  hyper: {
    lr: { default: 1e-2, min: 0 },
    lambd: { default: 1e-4 },
    alpha: { default: 0.75 },
    t0: { default: 1e6 },
    weightDecay: { default: 0, min: 0 },
  },
  flags: { maximize: false },
  state: {
    step: count,
    eta: { extent: "param", dtype: "f32", init: ({ lr }) => lr },
    mu: { extent: "param", dtype: "f32", init: 1 },
    ax: {},
  },
  update({ param, grad, state, hyper, flags, step }) {
    "use stepjit";
    const { lr, lambd, alpha, t0, weightDecay } = hyper;
    const { eta, mu, ax } = state;
    const ascent = flags.maximize ? -grad : grad;
    const g = weightDecay !== 0 ? ascent + weightDecay * param : ascent;

    const stepped = param * (1 - lambd * eta) - eta * g;
    state.ax = mu !== 1 ? lerp(ax, stepped, mu) : stepped;
    state.eta = lr / (1 + lambd * lr * step) ** alpha;
    state.mu = 1 / max(1, step - t0);
    return stepped;
  },
  average: ({ state: { ax } }) => ax,
});
export type ASGD = InstanceType<typeof ASGD>;

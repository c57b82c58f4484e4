import { defineOptimizer } from "./optimizer.ts";

/**
 * Stochastic gradient descent with momentum.
 *
 *     g = grad + weightDecay · p
 *     b = momentum · b + (1 - dampening) · g        (b = g in a parameter's first step)
 *     p = p - lr · b                                (nesterov: p - lr · (g + momentum · b))
 *
 * State: `momentum_buffer`, shaped as the parameter; none while momentum is 0.
 *
 * Source: torch/optim/sgd.py, `_single_tensor_sgd`; Sutskever et al., On the importance of initialization and momentum in deep
 * learning (2013), in torch's form, in which lr multiplies the whole direction.
 */
export const SGD = defineOptimizer({
  name: "SGD",
  hyper: {
    lr: { default: 1e-3, min: 0 },
    momentum: { default: 0, min: 0 },
    dampening: { default: 0 },
    weightDecay: { default: 0, min: 0 },
  },
  flags: { nesterov: false, maximize: false },
  derive: ({ momentum }) => ({ hasMomentum: momentum !== 0 }),
  check: ({ momentum, dampening }, { nesterov }) =>
    nesterov && !(momentum > 0 && dampening === 0)
      ? "nesterov needs a momentum above 0 and no dampening"
      : undefined,
  state: { momentum_buffer: { when: "hasMomentum" } },
  update({ param, grad, state, hyper, flags, first }) {
    "use stepjit";
    const { lr, momentum, dampening, weightDecay } = hyper;
    const ascent = flags.maximize ? -grad : grad;
    const decayed = weightDecay !== 0 ? ascent + weightDecay * param : ascent;
    if (!flags.hasMomentum) return param - lr * decayed;

    const gain = first ? 1 : 1 - dampening;
    const buffer = momentum * state.momentum_buffer + gain * decayed;
    state.momentum_buffer = momentum !== 0 ? buffer : state.momentum_buffer;
    const direction = flags.nesterov ? decayed + momentum * buffer : buffer;
    return param - lr * (momentum !== 0 ? direction : decayed);
  },
});
export type SGD = InstanceType<typeof SGD>;

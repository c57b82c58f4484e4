import { defineOptimizer } from "stepjit";

/** Gradient descent with momentum, in units of a scale that the user knows: p ← p - lr · v / scale, v ← μ v + g. */
export const NormalizedSGD = defineOptimizer({
  name: "NormalizedSGD",
  hyper: { lr: { default: 0.1, min: 0 }, momentum: { default: 0.9, min: 0 }, scale: { default: 1, min: 0 } },
  state: { velocity: {} },
  update({ param, grad, state, hyper }) {
    "use stepjit";
    state.velocity = hyper.momentum * state.velocity + grad;
    return param - (hyper.lr * state.velocity) / hyper.scale;
  },
});

import { defineOptimizer } from "stepjit";

/** A class, and nothing else that is one. */
export const HeavyBall = defineOptimizer({
  name: "HeavyBall",
  hyper: { lr: { default: 0.01 }, momentum: { default: 0.9 } },
  state: { velocity: {} },
  update({ param, grad, state, hyper }) {
    "use stepjit";
    state.velocity = hyper.momentum * state.velocity + grad;
    return param - hyper.lr * state.velocity;
  },
});

export const notOne = 1;

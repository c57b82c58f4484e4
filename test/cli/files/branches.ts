import { defineOptimizer } from "stepjit";

export const Branches = defineOptimizer({
  name: "Branches",
  hyper: { lr: { default: 0.01 } },
  update({ param, grad, hyper }) {
    "use stepjit";
    if (grad > 0) return param;
    return param - hyper.lr * (grad | 0);
  },
});

/**
 * The optimizers of TensorFlow.js as definitions: its maths, its names for hyperparameters, and its names for state, which are
 * the ends of the weights' names in a checkpoint (`dense/kernel/m`). Source: tfjs-core 4.22, src/optimizers/*.ts.
 */
import { abs, max, sqrt } from "stepjit/ops";
import { defineOptimizer } from "../optim/optimizer.ts";

const number = { default: 0 };

/** tf.train.sgd. p = p - learningRate · grad */
export const Sgd = defineOptimizer({
  name: "SGD",
  hyper: { learningRate: number },
  update({ param, grad, hyper }) {
    "use stepjit";
    return param - hyper.learningRate * grad;
  },
});

/** tf.train.momentum. m = momentum · m + grad; p = p - learningRate · m, or with useNesterov - learningRate · (grad + momentum · m) */
export const Momentum = defineOptimizer({
  name: "Momentum",
  hyper: { learningRate: number, momentum: number },
  flags: { useNesterov: false },
  state: { momentum: {} },
  update({ param, grad, hyper, state, flags }) {
    "use stepjit";
    const m = hyper.momentum * state.momentum + grad;
    state.momentum = m;
    return param - hyper.learningRate * (flags.useNesterov ? grad + hyper.momentum * m : m);
  },
});

/** tf.train.rmsprop. Epsilon is under the root; where centered, it is subtracted together with the squared mean. */
export const RmsProp = defineOptimizer({
  name: "RMSProp",
  hyper: { learningRate: number, decay: number, momentum: number, epsilon: number },
  flags: { centered: false },
  state: { rms: {}, momentum: {}, mg: { when: "centered" } },
  update({ param, grad, hyper, state, flags }) {
    "use stepjit";
    const rms = hyper.decay * state.rms + (1 - hyper.decay) * (grad * grad);
    state.rms = rms;
    let variance = rms + hyper.epsilon;
    if (flags.centered) {
      const mean = hyper.decay * state.mg + (1 - hyper.decay) * grad;
      state.mg = mean;
      variance = rms - (mean * mean + hyper.epsilon);
    }
    const momentum = hyper.momentum * state.momentum + (hyper.learningRate * grad) / sqrt(variance);
    state.momentum = momentum;
    return param - momentum;
  },
});

/** tf.train.adagrad. `epsilon` is the backend's, under the root. */
export const Adagrad = defineOptimizer({
  name: "Adagrad",
  hyper: { learningRate: number, initialAccumulatorValue: { default: 0.1 }, epsilon: number },
  state: { accumulator: { init: ({ initialAccumulatorValue }) => initialAccumulatorValue } },
  update({ param, grad, hyper, state }) {
    "use stepjit";
    const accumulator = state.accumulator + grad * grad;
    state.accumulator = accumulator;
    return param - hyper.learningRate * (grad / sqrt(accumulator + hyper.epsilon));
  },
});

/** tf.train.adadelta. The update divides by the squared gradients as they were before this step. */
export const Adadelta = defineOptimizer({
  name: "Adadelta",
  hyper: { learningRate: number, rho: number, epsilon: number },
  state: { accum_grad: {}, accum_var: {} },
  update({ param, grad, hyper, state }) {
    "use stepjit";
    const update = (sqrt(state.accum_var + hyper.epsilon) / sqrt(state.accum_grad + hyper.epsilon)) * grad;
    state.accum_grad = hyper.rho * state.accum_grad + (1 - hyper.rho) * (grad * grad);
    state.accum_var = hyper.rho * state.accum_var + (1 - hyper.rho) * (update * update);
    return param - hyper.learningRate * update;
  },
});

/**
 * tf.train.adam. Both moments are bias-corrected before the root, and epsilon (1e-7) is outside of it. `beta1Power` is beta1^t:
 * tfjs counts the optimizer's steps, not the parameter's.
 */
export const Adam = defineOptimizer({
  name: "Adam",
  hyper: {
    learningRate: number,
    beta1: number,
    beta2: number,
    epsilon: number,
    beta1Power: number,
    beta2Power: number,
  },
  state: { m: {}, v: {} },
  update({ param, grad, hyper, state }) {
    "use stepjit";
    const m = hyper.beta1 * state.m + (1 - hyper.beta1) * grad;
    const v = hyper.beta2 * state.v + (1 - hyper.beta2) * (grad * grad);
    state.m = m;
    state.v = v;
    const corrected = m / (1 - hyper.beta1Power);
    return param - hyper.learningRate * (corrected / (sqrt(v / (1 - hyper.beta2Power)) + hyper.epsilon));
  },
});

/** tf.train.adamax. `iteration` counts the steps before this one. */
export const Adamax = defineOptimizer({
  name: "Adamax",
  hyper: {
    learningRate: number,
    beta1: number,
    beta2: number,
    epsilon: number,
    decay: number,
    beta1Power: number,
    iteration: number,
  },
  state: { m: {}, v: {} },
  update({ param, grad, hyper, state }) {
    "use stepjit";
    const m = hyper.beta1 * state.m + (1 - hyper.beta1) * grad;
    const v = max(hyper.beta2 * state.v, abs(grad));
    state.m = m;
    state.v = v;
    const rate = hyper.learningRate / (hyper.iteration * hyper.decay + 1) / (1 - hyper.beta1Power);
    return param - rate * (m / (v + hyper.epsilon));
  },
});

/** What the TensorFlow.js tests share: quiet backends, variables with known numbers, and gradient sequences. */
import * as tf from "@tensorflow/tfjs";
import "@tensorflow/tfjs-backend-cpu";
import "@tensorflow/tfjs-backend-wasm";

export const BACKENDS = ["cpu", "wasm"] as const;

export async function useBackend(name: string): Promise<void> {
  const { warn } = console;
  console.warn = () => {}; // tfjs advertises its node backend when the cpu backend is first used
  try {
    await tf.setBackend(name);
    tf.zeros([1]).dispose();
  } finally {
    console.warn = warn;
  }
}

/** Every optimizer of TensorFlow.js, with and without its options. */
export const OPTIMIZERS: Readonly<Record<string, () => tf.Optimizer>> = {
  sgd: () => tf.train.sgd(0.05),
  momentum: () => tf.train.momentum(0.02, 0.9),
  "momentum, nesterov": () => tf.train.momentum(0.02, 0.9, true),
  rmsprop: () => tf.train.rmsprop(0.01, 0.9, 0.5),
  "rmsprop, centered": () => tf.train.rmsprop(0.01, 0.9, 0.5, 1e-7, true),
  adagrad: () => tf.train.adagrad(0.1),
  adadelta: () => tf.train.adadelta(0.5),
  adam: () => tf.train.adam(),
  "adam, all options": () => tf.train.adam(0.01, 0.8, 0.99, 1e-4),
  adamax: () => tf.train.adamax(0.01, 0.9, 0.999, undefined, 0.01),
};

/** tfjs's own way to change the rate, where it has one that takes effect. */
export function setRate(optimizer: tf.Optimizer, rate: number): void {
  if (optimizer instanceof tf.SGDOptimizer && "setLearningRate" in optimizer) optimizer.setLearningRate(rate);
  else (optimizer as unknown as { learningRate: number }).learningRate = rate;
}

/** Numbers in [-1, 1) that depend on the seed alone. */
export function numbers(length: number, seed: number): Float32Array {
  let state = seed * 2654435761 + 1;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0;
    return ((state ^ (state >>> 13)) >>> 8) / 2 ** 23 - 1;
  });
}

export const SHAPES: Readonly<Record<string, number[]>> = {
  kernel: [5, 7],
  bias: [7],
  gain: [],
  filter: [3, 3, 2, 2],
};

let sets = 0;

/** Variables of all shapes under fresh names; the same seed gives the same numbers. */
export function makeVariables(seed = 1): tf.Variable[] {
  sets++;
  return Object.entries(SHAPES).map(([name, shape], i) =>
    tf.tidy(() =>
      tf.variable(tf.tensor(numbers(sizeOf(shape), seed + i), shape), true, `set${sets}/${name}`),
    ),
  );
}

export function makeGradients(variables: readonly tf.Variable[], seed: number): tf.NamedTensorMap {
  return Object.fromEntries(
    variables.map(({ name, shape }, i) => [name, tf.tensor(numbers(sizeOf(shape), 100 * seed + i), shape)]),
  );
}

/** One step with gradients that depend on the seed alone. */
export function stepWith(optimizer: tf.Optimizer, variables: readonly tf.Variable[], seed: number): void {
  const gradients = makeGradients(variables, seed);
  optimizer.applyGradients(gradients);
  tf.dispose(gradients);
}

/** Copies of the values. */
export function valuesOf(tensors: readonly tf.Tensor[]): number[][] {
  return tensors.map((tensor) => [...tensor.dataSync()]);
}

/** The largest |a - b| / max(1, |b|). */
export function distance(a: readonly number[][], b: readonly number[][]): number {
  const [x, y] = [a.flat(), b.flat()];
  if (x.length !== y.length) return Number.POSITIVE_INFINITY;
  const errors = x.map(
    (value, i) => Math.abs(value - (y[i] as number)) / Math.max(1, Math.abs(y[i] as number)),
  );
  return errors.reduce((largest, error) => Math.max(largest, error), 0); // NaN stays NaN
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

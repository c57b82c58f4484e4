import * as tf from "@tensorflow/tfjs";
import { compileStep } from "stepjit/tfjs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  BACKENDS,
  distance,
  makeGradients,
  makeVariables,
  stepWith,
  useBackend,
  valuesOf,
} from "./support.ts";

const make = (): tf.Optimizer => tf.train.adam(0.01);

/** Ours and tfjs's own side by side, from equal numbers. */
function makePair() {
  return {
    ours: makeVariables(),
    theirs: makeVariables(),
    compiled: compileStep(make(), { onRecompile: "error" }),
    original: make(),
  };
}

let pair: ReturnType<typeof makePair>;

function stepBoth(seed: number): void {
  stepWith(pair.compiled, pair.ours, seed);
  stepWith(pair.original, pair.theirs, seed);
}

function expectEqual(): void {
  expect(distance(valuesOf(pair.ours), valuesOf(pair.theirs))).toBeLessThan(1e-6);
}

/** The whole memory that a variable under our optimizer lies in. */
function memoryBytes(variable: tf.Variable): number {
  const { wasm } = tf.backend() as unknown as { wasm?: { HEAPU8: Uint8Array } };
  return (wasm?.HEAPU8 ?? variable.dataSync()).buffer.byteLength;
}

describe.each(BACKENDS)("variables' memory on the %s backend", (backend) => {
  beforeEach(async () => {
    await useBackend(backend);
    pair = makePair();
  });

  afterEach(() => {
    tf.dispose([pair.ours, pair.theirs]);
    pair.compiled.dispose();
    pair.original.dispose();
  });

  it("is written in place: no copy of a parameter, and the same data from step to step", () => {
    stepBoth(0);
    const ids = pair.ours.map(({ dataId }) => dataId);
    const { numBytes } = tf.memory();
    stepWith(pair.compiled, pair.ours, 1);
    expect(pair.ours.map(({ dataId }) => dataId)).toEqual(ids);
    expect(tf.memory().numBytes).toBe(numBytes);
    const bytes = pair.ours.reduce((sum, { size }) => sum + 4 * size, 0);
    expect(pair.compiled.step?.stats.bytesCopied).toBe(backend === "wasm" ? 0 : bytes); // gradients, on cpu
  });

  it("belongs to the variable: clones, reshapes and what it was made from keep what they saw", () => {
    const made = tf.tensor([1, 2, 3, 4]);
    const variable = tf.variable(made);
    const optimizer = compileStep(tf.train.sgd(1));
    const gradient = tf.ones([4]);
    const step = () => optimizer.applyGradients({ [variable.name]: gradient });
    step();
    const clone = variable.clone();
    const reshaped = variable.reshape([2, 2]);
    step();
    step();
    expect(valuesOf([made, clone, reshaped, variable])).toEqual([
      [1, 2, 3, 4],
      [0, 1, 2, 3],
      [0, 1, 2, 3],
      [-2, -1, 0, 1],
    ]);
    tf.dispose([made, variable, clone, reshaped, gradient]);
    optimizer.dispose();
  });

  it("is its own where two variables were made from one tensor, or one gradient is the variable itself", () => {
    const made = tf.tensor([1, 2, 3, 4]);
    const [a, b] = [tf.variable(made), tf.variable(made)];
    made.dispose();
    const optimizer = compileStep(tf.train.sgd(1));
    const gradients = { [a.name]: tf.ones([4]), [b.name]: b.clone() };
    optimizer.applyGradients(gradients);
    expect(valuesOf([a, b])).toEqual([
      [0, 1, 2, 3],
      [0, 0, 0, 0],
    ]);
    tf.dispose([a, b, gradients]);
    optimizer.dispose();
  });

  it("is found again after assign", () => {
    for (let step = 0; step < 6; step++) {
      stepBoth(step);
      if (step % 2 === 0)
        for (const variable of [...pair.ours, ...pair.theirs])
          tf.tidy(() => variable.assign(variable.mul(0.5) as tf.Tensor<never>));
      expectEqual();
    }
  });

  it("keeps an alias's numbers through assign and later steps", () => {
    stepBoth(0);
    const variable = pair.ours[0] as tf.Variable;
    const clone = variable.clone();
    const before = valuesOf([clone]);
    tf.tidy(() => variable.assign(tf.zerosLike(variable)));
    stepWith(pair.compiled, pair.ours, 1);
    expect(valuesOf([clone])).toEqual(before);
    clone.dispose();
  });

  it("stays right when memory grows in between", () => {
    stepBoth(0);
    const large = Array.from({ length: 4 }, (_, i) => tf.fill([1 << 20], i)); // 16 MiB
    expectEqual();
    stepBoth(1);
    const more = makeVariables(50);
    const second = compileStep(make());
    const huge = tf.variable(tf.zeros([5 << 20])); // 20 MiB, and as much again twice for its state
    const gradient = tf.ones([5 << 20]);
    second.applyGradients({ [huge.name]: gradient });
    stepBoth(2);
    expectEqual();
    expect(huge.min().dataSync()[0]).toBeCloseTo(-0.01, 5);
    tf.dispose([large, more, huge, gradient]);
    second.dispose();
  });

  it("is keyed by name: gradients in changed order, absent or null (tfjs issue 8379)", () => {
    const [kernel, bias, gain, filter] = pair.ours.map(({ name }) => name) as [
      string,
      string,
      string,
      string,
    ];
    stepBoth(0);
    const gradients = makeGradients(pair.ours, 1);
    pair.compiled.applyGradients(
      [filter, gain, kernel, bias].map((name) => ({ name, tensor: gradients[name] as tf.Tensor })),
    );
    stepWith(pair.original, pair.theirs, 1); // tfjs in its own order
    expectEqual();

    const before = valuesOf(pair.ours);
    pair.compiled.applyGradients([
      { name: bias, tensor: null as never },
      { name: kernel, tensor: gradients[kernel] as tf.Tensor },
    ]);
    const moved = valuesOf(pair.ours).map((values, i) => String(values) !== String(before[i]));
    expect(moved).toEqual([true, false, false, false]);
    tf.dispose(gradients);
  });

  it("takes variables that appear later, without compiling", () => {
    stepBoth(0);
    const later = makeVariables(9);
    const kernels = pair.compiled.step?.stats.kernels;
    const [ours, twin] = [later, makeVariables(9)];
    for (let step = 1; step < 4; step++) {
      const gradients = { ...makeGradients(pair.ours, step), ...makeGradients(ours, step + 50) };
      pair.compiled.applyGradients(gradients);
      tf.dispose(gradients);
      const expected = { ...makeGradients(pair.theirs, step), ...makeGradients(twin, step + 50) };
      pair.original.applyGradients(expected);
      tf.dispose(expected);
    }
    expectEqual();
    expect(distance(valuesOf(ours), valuesOf(twin))).toBeLessThan(1e-6);
    expect(pair.compiled.step?.stats.kernels).toBe(kernels);
    tf.dispose([ours, twin]);
  });

  it("outlives the optimizer, and another optimizer on the same variables", () => {
    stepBoth(0);
    const second = compileStep(tf.train.sgd(0));
    stepWith(second, pair.ours, 1);
    const before = valuesOf(pair.ours);
    second.dispose();
    expect(valuesOf(pair.ours)).toEqual(before);
    stepBoth(2);
    expectEqual();
    pair.compiled.dispose();
    expectEqual();
  });

  it("is given back with the optimizer: no growth over many of them", () => {
    const sizes = Array.from({ length: 6 }, () => {
      const variable = tf.variable(tf.zeros([1 << 20]));
      const gradient = tf.ones([1 << 20]);
      const optimizer = compileStep(make());
      optimizer.applyGradients({ [variable.name]: gradient });
      const inUse = memoryBytes(variable);
      optimizer.dispose();
      expect(variable.min().dataSync()[0]).toBeCloseTo(-0.01, 5);
      if (backend === "cpu") expect(variable.dataSync().buffer).toBeInstanceOf(ArrayBuffer);
      tf.dispose([variable, gradient]);
      return inUse;
    });
    expect(sizes[5]).toBe(sizes[1]);
  });

  it("is handed over when a variable is disposed and made again under its name", () => {
    const first = tf.variable(tf.zeros([3]), true, "again");
    const optimizer = compileStep(tf.train.momentum(1, 0.5));
    const gradient = tf.ones([3]);
    optimizer.applyGradients({ again: gradient });
    first.dispose();
    const second = tf.variable(tf.zeros([3]), true, "again");
    optimizer.applyGradients({ again: gradient });
    expect(valuesOf([second])).toEqual([[-1.5, -1.5, -1.5]]); // the momentum of the first
    second.dispose();
    const third = tf.variable(tf.zeros([2]), true, "again");
    const small = tf.ones([2]);
    expect(() => optimizer.applyGradients({ again: small })).toThrow(/"again" has shape \[2\].*\[3\]/);
    tf.dispose([third, gradient, small]);
    optimizer.dispose();
  });
});

it("moves with its state from backend to backend", async () => {
  await useBackend("cpu");
  pair = makePair();
  for (const [step, backend] of ["cpu", "wasm", "wasm", "cpu", "wasm"].entries()) {
    await useBackend(backend);
    stepBoth(step);
    expectEqual();
  }
  tf.dispose([pair.ours, pair.theirs]);
  pair.compiled.dispose();
});

import "stepjit/vitest";
import * as tf from "@tensorflow/tfjs";
import { SGD } from "stepjit";
import { compileOptimizer, compileStep } from "stepjit/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import {
  BACKENDS,
  distance,
  makeVariables,
  OPTIMIZERS,
  setRate,
  stepWith,
  useBackend,
  valuesOf,
} from "./support.ts";

describe.each(BACKENDS)("on the %s backend", (backend) => {
  beforeAll(() => useBackend(backend));

  it.each(Object.keys(OPTIMIZERS))("%s is tfjs's own over 50 steps and five learning rates", (name) => {
    const make = OPTIMIZERS[name] as () => tf.Optimizer;
    const [ours, theirs] = [makeVariables(), makeVariables()];
    const [compiled, original] = [compileStep(make(), { onRecompile: "error" }), make()];
    const before = valuesOf(ours);
    for (let step = 0; step < 50; step++) {
      if (step % 10 === 9) for (const one of [compiled, original]) setRate(one, 0.01 / (1 + step));
      stepWith(compiled, ours, step);
      stepWith(original, theirs, step);
      expect(distance(valuesOf(ours), valuesOf(theirs))).toBeLessThan(1e-6);
    }
    expect(distance(valuesOf(ours), before)).toBeGreaterThan(1e-3);
    expect(compiled.step).toHaveLaunched(1);
    expect(compiled.getConfig()).toEqual(original.getConfig());
    expect(compiled.getClassName()).toBe(original.getClassName());
    expect(compiled.iterations).toBe(50);
    tf.dispose([ours, theirs]);
    compiled.dispose();
  });

  it("scales one of ours by the variables' names, from the first gradients on", () => {
    const variables = makeVariables();
    const before = valuesOf(variables);
    const scales = [{ match: /\/bias$/, lr: 0.5 }];
    const optimizer = compileOptimizer(SGD, { lr: 1, foreach: null, scales });
    const ones = Object.fromEntries(variables.map(({ name, shape }) => [name, tf.ones(shape)]));
    optimizer.applyGradients(ones);
    optimizer.lr = 4;
    optimizer.applyGradients(ones);
    const moved = before.map((numbers, i) =>
      numbers.map(() => (variables[i]?.name.endsWith("bias") ? 2.5 : 5)),
    );
    const expected = before.map((numbers, i) => numbers.map((x, j) => x - (moved[i]?.[j] as number)));
    expect(distance(valuesOf(variables), expected)).toBeLessThan(1e-6);

    const idle = compileOptimizer(SGD, { scales: [{ match: /nothing/, lr: 0 }] });
    expect(() => idle.applyGradients(ones)).toThrow("SGD, scales[0]: /nothing/ matches no parameter");
    expect(() => compileOptimizer(SGD, { scales: [{ match: /bias/, lr: -1 }] })).toThrow("a factor on lr");
    tf.dispose([variables, ones]);
    for (const one of [optimizer, idle]) one.dispose();
  });

  it("keeps tfjs's running powers of the betas over 2,000 steps", () => {
    const make = (): tf.Optimizer => tf.train.adam(1e-3, 0.9, 0.9999);
    const [ours, theirs] = [tf.variable(tf.ones([8])), tf.variable(tf.ones([8]))];
    const [compiled, original] = [compileStep(make()), make()];
    for (let step = 0; step < 2000; step++) {
      const gradient = tf.tensor1d([1, 2, 3, 4, -1, -2, -3, -4].map((x) => x * Math.cos(step)));
      compiled.applyGradients({ [ours.name]: gradient });
      original.applyGradients({ [theirs.name]: gradient });
      gradient.dispose();
    }
    expect(distance(valuesOf([ours]), valuesOf([theirs]))).toBeLessThan(1e-5);
    tf.dispose([ours, theirs]);
    compiled.dispose();
  });

  it("compiles nothing over a thousand learning rates", () => {
    const variables = makeVariables();
    const optimizer = compileStep(tf.train.adam(1e-3), { onRecompile: "error" });
    stepWith(optimizer, variables, 0);
    const events = optimizer.step?.events.length;
    for (let step = 1; step <= 1000; step++) {
      optimizer.learningRate = 1e-3 / step;
      optimizer.beta1 = 0.9 - step * 1e-4;
      stepWith(optimizer, variables, step);
    }
    expect(optimizer.step?.events).toHaveLength(events as number);
    expect(optimizer.learningRate).toBe(1e-6);
    tf.dispose(variables);
    optimizer.dispose();
  });

  it("leaks no tensor over a thousand steps", () => {
    const before = tf.memory().numTensors;
    const variables = makeVariables();
    const optimizer = compileStep(tf.train.momentum(1e-3, 0.9));
    stepWith(optimizer, variables, 0);
    const { numTensors, numDataBuffers } = tf.memory();
    for (let step = 1; step <= 1000; step++) stepWith(optimizer, variables, step);
    expect(tf.memory()).toMatchObject({ numTensors, numDataBuffers });
    tf.dispose(variables);
    optimizer.dispose();
    expect(tf.memory().numTensors - before).toBeLessThanOrEqual(1); // tfjs's momentum does not dispose its learning rate
  });

  it("minimizes, over all trainable variables or some", () => {
    const [ours, theirs] = [makeVariables(), makeVariables()];
    const [compiled, original] = [compileStep(tf.train.adam(0.1)), tf.train.adam(0.1)];
    const loss = (variables: tf.Variable[]) => () =>
      tf.addN(variables.map((variable) => variable.square().sum())) as tf.Scalar;
    const before = tf.memory().numTensors;
    for (let step = 0; step < 5; step++) {
      const cost = compiled.minimize(loss(ours), true, ours.slice(0, 3)) as tf.Scalar;
      const expected = original.minimize(loss(theirs), true, theirs.slice(0, 3)) as tf.Scalar;
      expect(cost.dataSync()[0]).toBeCloseTo(expected.dataSync()[0] as number, 4);
      tf.dispose([cost, expected]);
    }
    expect(distance(valuesOf(ours), valuesOf(theirs))).toBeLessThan(1e-6);
    expect(tf.memory().numTensors).toBe(before + 6); // tfjs's own moments
    tf.dispose([ours, theirs]);
    compiled.dispose();
  });
});

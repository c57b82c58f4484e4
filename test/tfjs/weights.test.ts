import * as tf from "@tensorflow/tfjs";
import { AdamW } from "stepjit";
import { type CompiledOptimizer, compileOptimizer, compileStep } from "stepjit/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import { BACKENDS, distance, makeVariables, stepWith, useBackend, valuesOf } from "./support.ts";

const KINDS: Readonly<Record<string, () => tf.Optimizer>> = {
  sgd: () => tf.train.sgd(0.05),
  momentum: () => tf.train.momentum(0.02, 0.9, true),
  adam: () => tf.train.adam(0.01),
  rmsprop: () => tf.train.rmsprop(0.01, 0.9, 0.5, 1e-7, true),
  adagrad: () => tf.train.adagrad(0.1),
  adadelta: () => tf.train.adadelta(0.5),
};

/** Steps one, hands its weights to the other, steps on with that one, and compares with the first going on alone. */
async function handOver(from: tf.Optimizer, to: tf.Optimizer): Promise<void> {
  const variables = makeVariables();
  for (let step = 0; step < 5; step++) stepWith(from, variables, step);
  const weights = await from.getWeights();
  const start: tf.Tensor[] = variables.map((variable) => variable.clone());
  await to.setWeights(weights);
  expect(to.iterations).toBe(5);
  for (let step = 5; step < 10; step++) stepWith(from, variables, step);
  const expected = valuesOf(variables);
  for (const [i, variable] of variables.entries()) variable.assign(start[i] as tf.Tensor<never>);
  for (let step = 5; step < 10; step++) stepWith(to, variables, step);
  expect(distance(valuesOf(variables), expected)).toBeLessThan(2e-6);
  tf.dispose([variables, start]);
}

describe.each(BACKENDS)("weights on the %s backend", (backend) => {
  beforeAll(() => useBackend(backend));

  describe.each(Object.entries(KINDS))("of %s", (_, make) => {
    it("load into another compiled one", () => handOver(compileStep(make()), compileStep(make())));
    it("load from tfjs's own", () => handOver(make(), compileStep(make())));
    it("load into tfjs's own", () => handOver(compileStep(make()), make()));

    it("have tfjs's names, order and shapes", async () => {
      const variables = makeVariables();
      const layouts = [];
      for (const optimizer of [compileStep(make()), make()]) {
        for (let step = 0; step < 2; step++) stepWith(optimizer, variables, step);
        const weights = await optimizer.getWeights();
        layouts.push(weights.map(({ name, tensor }) => [name, tensor.shape, tensor.dtype]));
      }
      expect(layouts[0]).toEqual(layouts[1]);
      tf.dispose(variables);
    });
  });

  it("of a definition of ours make the round trip, step counts included", async () => {
    const make = () => compileOptimizer(AdamW, { lr: 0.01 }) as unknown as CompiledOptimizer;
    await handOver(make(), make());
  });

  it("are refused whole where they do not fit", async () => {
    const variables = makeVariables();
    const optimizer = compileStep(tf.train.adam());
    stepWith(optimizer, variables, 0);
    const weights = await optimizer.getWeights();
    const names = weights.map(({ name }) => name);
    const spoil = (
      index: number,
      change: Partial<tf.NamedTensorMap[string]> & { name?: string; tensor?: tf.Tensor },
    ) => weights.map((weight, i) => (i === index ? { ...weight, ...change } : weight)) as typeof weights;
    const refusals: [typeof weights, RegExp][] = [
      [[], /first weight is the number of steps/],
      [spoil(1, { name: "nobody/m" }), /no variable "nobody"/],
      [
        spoil(1, { name: `${variables[0]?.name}/q` }),
        /belongs to no state; there are <variable>\/m, <variable>\/v/,
      ],
      [spoil(1, { tensor: tf.zeros([5, 8]) }), /shape \[5,8\].*\[5,7\]/],
      [weights.slice(0, -1), /lacks "v"/],
    ];
    for (const [wrong, message] of refusals)
      await expect(optimizer.setWeights(wrong)).rejects.toThrow(message);
    const after = await optimizer.getWeights();
    expect(after.map(({ name }) => name)).toEqual(names);
    expect(valuesOf(after.map(({ tensor }) => tensor))).toEqual(
      valuesOf(weights.map(({ tensor }) => tensor)),
    );
    tf.dispose(variables);
  });
});

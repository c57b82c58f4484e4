import "stepjit/vitest";
import * as tf from "@tensorflow/tfjs";
import { AdamW, ScheduleFreeAdamW } from "stepjit";
import { type CompiledOptimizer, compileOptimizer, compileStep } from "stepjit/tfjs";
import { expect, it } from "vitest";
import { distance, OPTIMIZERS, setRate } from "./support.ts";
import {
  describeOnTfjs,
  LARGE,
  makeGradients,
  makeOnGpu,
  makeVariables,
  read,
  stepWith,
} from "./webgpu-support.ts";

/** f32 on both sides, but in another order, and divisions and roots of a GPU are not rounded to the last bit. */
const TOLERANCE = 5e-6;

async function expectEqual(ours: readonly tf.Tensor[], theirs: readonly tf.Tensor[]): Promise<void> {
  expect(distance(await read(ours), await read(theirs))).toBeLessThan(TOLERANCE);
}

async function expectFinite(tensors: readonly tf.Tensor[]): Promise<void> {
  for (const values of await read(tensors)) expect(values.every(Number.isFinite)).toBe(true);
}

describeOnTfjs("an optimizer on the webgpu backend", () => {
  it.each(Object.keys(OPTIMIZERS))("%s is tfjs's own over 50 steps and five learning rates", async (name) => {
    const make = OPTIMIZERS[name] as () => tf.Optimizer;
    const [ours, theirs] = [makeVariables(), makeVariables()];
    const [compiled, original] = [compileStep(make(), { onRecompile: "error" }), make()];
    const before = await read(ours);
    for (let step = 0; step < 50; step++) {
      if (step % 10 === 9) for (const one of [compiled, original]) setRate(one, 0.01 / (1 + step));
      stepWith(compiled, ours, step);
      stepWith(original, theirs, step);
      if (step % 10 === 0 || step === 49) await expectEqual(ours, theirs);
    }
    expect(distance(await read(ours), before)).toBeGreaterThan(1e-3);
    expect(compiled.step).toHaveLaunched(1);
    expect(compiled.getConfig()).toEqual(original.getConfig());
    tf.dispose([ours, theirs]);
    compiled.dispose();
  });

  it.each([
    ["adam", () => tf.train.adam(0.01), [[0, 1, 2, 3]]],
    [
      "sgd, some without a gradient",
      () => tf.train.sgd(0.1),
      [
        [0, 1, 2, 3],
        [1, 2],
        [0, 3],
        [1, 3],
      ],
    ],
  ] as const)("is tfjs's own where some variables are large: %s", async (_, make, takingPart) => {
    const shapes = [LARGE, [7], LARGE, [1500]];
    const [ours, theirs] = [makeOnGpu(shapes), makeOnGpu(shapes)];
    const [compiled, original] = [compileStep(make()), make()];
    for (let step = 0; step < 4; step++) {
      const part = takingPart[step % takingPart.length] as readonly number[];
      stepWith(
        compiled,
        part.map((i) => ours[i] as tf.Variable),
        step,
      );
      stepWith(
        original,
        part.map((i) => theirs[i] as tf.Variable),
        step,
      );
    }
    await expectEqual(ours, theirs);
    tf.dispose([ours, theirs]);
    compiled.dispose();
  });

  it("is profiled by the device's clock, among tfjs's own commands", async () => {
    const variables = makeVariables();
    const compiled = compileStep(tf.train.adam(0.01), { clipNorm: 1 });
    stepWith(compiled, variables, 0);
    const profile = await compiled.step?.profile(() => {
      for (let step = 1; step < 4; step++) {
        variables[0]?.square().sum();
        stepWith(compiled, variables, step);
      }
    });
    expect(profile).toMatchObject({ clock: "device", steps: { length: 3 }, launches: { length: 9 } });
    for (const { milliseconds } of profile?.launches ?? []) expect(milliseconds).toBeGreaterThanOrEqual(0);
    await expectFinite(variables);
    tf.dispose(variables);
    compiled.dispose();
  });

  it("minimizes, over some variables, with the gradients that tfjs computes", async () => {
    const [ours, theirs] = [makeVariables(), makeVariables()];
    const [compiled, original] = [compileStep(tf.train.adam(0.1)), tf.train.adam(0.1)];
    const loss = (variables: tf.Variable[]) => () =>
      tf.addN(variables.map((variable) => variable.square().sum())) as tf.Scalar;
    for (let step = 0; step < 5; step++) {
      const costs = [
        compiled.minimize(loss(ours), true, ours.slice(0, 3)) as tf.Scalar,
        original.minimize(loss(theirs), true, theirs.slice(0, 3)) as tf.Scalar,
      ] as const;
      const [cost, expected] = await read(costs);
      expect((cost?.[0] as number) / (expected?.[0] as number)).toBeCloseTo(1, 5);
      tf.dispose([...costs]);
    }
    await expectEqual(ours, theirs);
    tf.dispose([ours, theirs]);
    compiled.dispose();
  });

  it("clips by the norm of all gradients without reading it back", async () => {
    const variables = makeVariables();
    const optimizer = compileOptimizer(AdamW, { lr: 0.01, eps: 1e-3 }, { clipNorm: 0.5 });
    const twin = makeVariables();
    const plain = compileOptimizer(AdamW, { lr: 0.01, eps: 1e-3 });
    for (let step = 0; step < 3; step++) {
      const gradients = makeGradients(variables, step);
      const norm = Math.sqrt(
        (await read(Object.values(gradients))).flat().reduce((sum, x) => sum + x * x, 0),
      );
      optimizer.applyGradients(gradients);
      const clipped = Object.values(gradients).map((gradient) => gradient.mul(Math.min(1, 0.5 / norm)));
      plain.applyGradients(Object.fromEntries(twin.map(({ name }, i) => [name, clipped[i] as tf.Tensor])));
      tf.dispose([gradients, clipped]);
    }
    await expectEqual(variables, twin);
    tf.dispose([variables, twin]);
    for (const one of [optimizer, plain]) one.dispose();
  });
});

describeOnTfjs("weights of an optimizer on the webgpu backend", () => {
  /** Steps one, hands its weights to the other, steps on with that one, and compares with the first going on alone. */
  async function handOver(from: tf.Optimizer, to: tf.Optimizer): Promise<void> {
    const variables = makeVariables();
    for (let step = 0; step < 5; step++) stepWith(from, variables, step);
    const weights = await from.getWeights();
    const start: tf.Tensor[] = variables.map((variable) => variable.clone());
    await to.setWeights(weights);
    expect(to.iterations).toBe(5);
    for (let step = 5; step < 10; step++) stepWith(from, variables, step);
    const expected = await read(variables);
    for (const [i, variable] of variables.entries()) variable.assign(start[i] as tf.Tensor<never>);
    for (let step = 5; step < 10; step++) stepWith(to, variables, step);
    expect(distance(await read(variables), expected)).toBeLessThan(TOLERANCE);
    tf.dispose([variables, start]);
  }

  const make = () => tf.train.adam(0.01);

  it("load into another compiled one", () => handOver(compileStep(make()), compileStep(make())));
  it("load from tfjs's own", () => handOver(make(), compileStep(make())));
  it("load into tfjs's own", () => handOver(compileStep(make()), make()));
  it("load into one that has stepped", async () => {
    const [others, used] = [makeVariables(), compileStep(make())];
    stepWith(used, others, 0);
    tf.dispose(others);
    await handOver(compileStep(make()), used);
  });

  it("are those of the moment, whatever is stepped while they are read", async () => {
    const variables = makeVariables();
    const optimizer = compileStep(make());
    for (let step = 0; step < 3; step++) stepWith(optimizer, variables, step);
    const expected = await optimizer.getWeights();
    const overtaken = optimizer.getWeights();
    stepWith(optimizer, variables, 3);
    const later = await optimizer.getWeights();
    const numbersOf = (weights: { tensor: tf.Tensor }[]) => read(weights.map(({ tensor }) => tensor));
    expect(await numbersOf(await overtaken)).toEqual(await numbersOf(expected));
    expect(await numbersOf(later)).not.toEqual(await numbersOf(expected));
    tf.dispose(variables);
    optimizer.dispose();
  });

  it.each<[string, () => CompiledOptimizer]>([
    ["what ema keeps", () => compileOptimizer(AdamW, { lr: 0.1, weightDecay: 0 }, { ema: 0.5 })],
    ["ScheduleFreeAdamW's own", () => compileOptimizer(ScheduleFreeAdamW, { lr: 0.1, weightDecay: 0 })],
  ])("are averaged: %s, as on the cpu", async (_, compile) => {
    const averages: number[][] = [];
    for (const backend of ["webgpu", "cpu"]) {
      await tf.setBackend(backend);
      const variable = tf.variable(tf.tensor1d([1, 2, 3]), true, "averaged/gpu");
      const optimizer = compile();
      const gradient = tf.tensor1d([1, 0.5, -1]);
      for (let step = 0; step < 3; step++) optimizer.applyGradients({ [variable.name]: gradient });
      const { "averaged/gpu": average } = await optimizer.averagedWeights();
      averages.push(...(await read([average as tf.Tensor])));
      tf.dispose([variable, gradient, average as tf.Tensor]);
      optimizer.dispose();
    }
    await tf.setBackend("webgpu");
    expect(distance([averages[0] as number[]], [averages[1] as number[]])).toBeLessThan(1e-6);
    expect(averages[1]?.[0]).toBeLessThan(0.95);
  });
});

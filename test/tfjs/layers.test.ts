import * as tf from "@tensorflow/tfjs";
import { Adafactor, AdamW, LAMB, Lion, RMSprop, ScheduleFreeAdamW } from "stepjit";
import { type CompiledOptimizer, compileOptimizer, compileStep } from "stepjit/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import { lossCurve, makeData, makeModel } from "./network.ts";
import { BACKENDS, useBackend } from "./support.ts";

/** One of each kind: element-wise, rows and columns, norms, signs, numbers of the parameter's own. */
const OURS: Readonly<Record<string, () => CompiledOptimizer>> = {
  AdamW: () => compileOptimizer(AdamW, { lr: 0.03 }, { ema: 0.9 }),
  Adafactor: () => compileOptimizer(Adafactor, { lr: 0.3 }, { ema: 0.9, clipNorm: 1 }),
  LAMB: () => compileOptimizer(LAMB, { lr: 0.03 }, { ema: 0.9 }),
  Lion: () => compileOptimizer(Lion, { lr: 0.01 }, { swa: true }),
  RMSprop: () =>
    compileOptimizer(RMSprop, { lr: 0.01, centered: true, momentum: 0.5 }, { swa: { every: 2 } }),
  ScheduleFreeAdamW: () => compileOptimizer(ScheduleFreeAdamW, { lr: 0.03 }, { ema: 0.9 }),
};

describe.each(BACKENDS)("model.fit on the %s backend", (backend) => {
  beforeAll(() => useBackend(backend));

  /** XNNPACK keeps packed weights: a step behind its back would leave matMul with the old ones, and this curve flat. */
  it.each([
    ["adam", () => tf.train.adam(0.03)],
    ["momentum", () => tf.train.momentum(0.1, 0.9)],
  ])("has the whole loss curve of tf.train.%s", async (_, make) => {
    const expected = await lossCurve(make(), 20);
    const compiled = compileStep(make(), { onRecompile: "error" });
    const curve = await lossCurve(compiled, 20);
    expect(curve).toHaveLength(80);
    for (const [i, loss] of curve.entries()) expect(loss).toBeCloseTo(expected[i] as number, 3);
    expect(curve.at(-1)).toBeLessThan(0.3 * (curve[0] as number));
    expect(compiled.step?.stats.steps).toBe(80);
    compiled.dispose();
  });

  it("trains with a definition of ours under a schedule, without compiling again", async () => {
    const optimizer = compileOptimizer(
      AdamW,
      { lr: 0.03, weightDecay: 0.01 },
      { clipNorm: 1, onRecompile: "error" },
    );
    const first = await lossCurve(optimizer, 1);
    expect(optimizer.getConfig()).toEqual({
      lr: 0.03,
      betas: [0.9, 0.999],
      eps: 1e-8,
      weightDecay: 0.01,
      amsgrad: false,
      maximize: false,
    });
    optimizer.lr = 0.02;
    expect(optimizer.learningRate).toBe(0.02);
    const curve = await lossCurve(optimizer, 20);
    expect(curve.at(-1)).toBeLessThan(0.5 * (first[0] as number));
    optimizer.dispose();
  });

  it.each(Object.entries(OURS))("trains with %s, averages along, and hands both over", async (_, make) => {
    const optimizer = make();
    const curve = await lossCurve(optimizer, 30);
    expect(curve.at(-1)).toBeLessThan(0.8 * (curve[0] as number));
    const names = (await optimizer.getWeights()).map(({ name }) => name.replace(/^.*\//, ""));
    expect(names).toEqual(expect.arrayContaining(["n_averaged", "average"]));
    optimizer.dispose();
  });

  it("gives the averaged weights as tensors, and takes averages with the weights", async () => {
    const run = async (
      optimizer: CompiledOptimizer,
      weights?: Awaited<ReturnType<typeof optimizer.getWeights>>,
    ) => {
      const w = tf.variable(tf.tensor1d([1, 2, 3]), true, "averaged/w");
      if (weights) await optimizer.setWeights(weights);
      for (let step = 0; step < 3; step++) optimizer.applyGradients({ "averaged/w": tf.onesLike(w) });
      const { "averaged/w": average } = (await optimizer.averagedWeights()) as { "averaged/w": tf.Tensor };
      const result = [[...w.dataSync()], [...average.dataSync()]];
      const saved = await optimizer.getWeights();
      tf.dispose([w, average]);
      optimizer.dispose();
      return { result, saved };
    };
    const make = () => compileOptimizer(AdamW, { lr: 0.1, weightDecay: 0 }, { ema: 0.5 });
    const { result, saved } = await run(make());
    // Adam's steps under a gradient of ones are lr each; the average of the first is the weights themselves.
    const [w, average] = result as [number[], number[]];
    expect(w[0]).toBeCloseTo(0.7, 5);
    expect(average[0]).toBeCloseTo(0.25 * 0.9 + 0.25 * 0.8 + 0.5 * 0.7, 5);
    const again = await run(make(), saved);
    expect(again.result[1]?.[0]).toBeCloseTo(0.125 * 0.775 + 0.125 * 0.9 + 0.25 * 0.8 + 0.5 * 0.7, 4);
  });

  it("sees each step at once in predictions", () => {
    const model = makeModel();
    const [xs, ys] = makeData();
    const optimizer = compileStep(tf.train.sgd(0.5));
    const loss = () =>
      tf.tidy(() => tf.losses.softmaxCrossEntropy(ys, (model.predict(xs) as tf.Tensor).log()) as tf.Scalar);
    const losses = Array.from({ length: 5 }, () => optimizer.minimize(loss, true)?.dataSync()[0] as number);
    for (const [i, value] of losses.slice(1).entries()) expect(value).toBeLessThan(losses[i] as number);
    tf.dispose([xs, ys]);
    model.dispose();
    optimizer.dispose();
  });

  it("is saved with the model as the tfjs optimizer it is, which trains on the same way", async () => {
    const [xs, ys] = makeData();
    const model = makeModel();
    const optimizer = compileStep(tf.train.adam(0.03));
    const compileArgs = { optimizer, loss: "categoricalCrossentropy" };
    const fitArgs = { epochs: 2, shuffle: false, verbose: 0, yieldEvery: "never" } as const;
    model.compile(compileArgs);
    await model.fit(xs, ys, fitArgs);
    let saved: tf.io.ModelArtifacts = {};
    await model.save(
      tf.io.withSaveHandler(async (artifacts) => {
        saved = artifacts;
        return { modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: "JSON" } };
      }),
      { includeOptimizer: true },
    );
    const goesOn = await model.fit(xs, ys, fitArgs);
    model.dispose(); // its variables' names are free again
    const loaded = (await tf.loadLayersModel(tf.io.fromMemory(saved))) as tf.LayersModel;
    expect(loaded.optimizer.getConfig()).toEqual(optimizer.getConfig());
    const loadedGoesOn = await loaded.fit(xs, ys, fitArgs);
    const [losses, expected] = [loadedGoesOn.history.loss, goesOn.history.loss] as number[][];
    for (const [i, loss] of losses?.entries() ?? []) expect(loss).toBeCloseTo(expected?.[i] as number, 4);
    expect(losses).toHaveLength(2);
    tf.dispose([xs, ys]);
    loaded.dispose();
    optimizer.dispose();
  });
});

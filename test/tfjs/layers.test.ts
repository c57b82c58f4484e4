import * as tf from "@tensorflow/tfjs";
import { AdamW } from "stepjit";
import { compileOptimizer, compileStep } from "stepjit/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import { BACKENDS, numbers, useBackend } from "./support.ts";

const ROWS = 64;

/** A dense classifier whose start depends on nothing but the seeds. */
function makeModel(): tf.Sequential {
  const dense = (units: number, seed: number, rest: object) =>
    tf.layers.dense({ units, kernelInitializer: tf.initializers.glorotUniform({ seed }), ...rest });
  return tf.sequential({
    layers: [
      dense(16, 1, { inputShape: [8], activation: "relu" }),
      dense(12, 2, { activation: "tanh" }),
      dense(3, 3, { activation: "softmax" }),
    ],
  });
}

function makeData(): [tf.Tensor2D, tf.Tensor2D] {
  const xs = numbers(ROWS * 8, 7);
  const classes = Array.from({ length: ROWS }, (_, row) =>
    (xs[8 * row] as number) > 0.3 ? 2 : (xs[8 * row + 1] as number) > 0 ? 1 : 0,
  );
  return [
    tf.tensor2d(xs, [ROWS, 8]),
    tf.tidy(() => tf.oneHot(tf.tensor1d(classes, "int32"), 3).toFloat() as tf.Tensor2D),
  ];
}

/** The loss of every batch. */
async function lossCurve(optimizer: tf.Optimizer, epochs: number): Promise<number[]> {
  const model = makeModel();
  const [xs, ys] = makeData();
  const losses: number[] = [];
  model.compile({ optimizer, loss: "categoricalCrossentropy", metrics: ["accuracy"] });
  await model.fit(xs, ys, {
    epochs,
    batchSize: 16,
    shuffle: false,
    verbose: 0,
    yieldEvery: "never",
    callbacks: { onBatchEnd: (_, logs) => void losses.push(logs?.loss as number) },
  });
  tf.dispose([xs, ys]);
  model.dispose();
  return losses;
}

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

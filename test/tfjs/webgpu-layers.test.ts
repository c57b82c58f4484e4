import * as tf from "@tensorflow/tfjs";
import { compileStep } from "stepjit/tfjs";
import { expect, it } from "vitest";
import { lossCurve, makeData } from "./network.ts";
import { describeOnTfjs } from "./webgpu-support.ts";

/** Convolutions, whose filters have gradients on this backend, and moving averages that tfjs assigns between the steps. */
function makeNetwork(): tf.Sequential {
  const kernelInitializer = (seed: number) => tf.initializers.glorotUniform({ seed });
  return tf.sequential({
    layers: [
      tf.layers.reshape({ inputShape: [8], targetShape: [2, 4, 1] }),
      tf.layers.conv2d({ filters: 6, kernelSize: 2, kernelInitializer: kernelInitializer(4) }),
      tf.layers.batchNormalization(),
      tf.layers.flatten(),
      tf.layers.dense({ units: 3, activation: "softmax", kernelInitializer: kernelInitializer(5) }),
    ],
  });
}

// Few steps: where SwiftShader stands in for a GPU, tfjs's own kernels take half a second each.
describeOnTfjs("model.fit on the webgpu backend", () => {
  it("has the whole loss curve of tf.train.adam", async () => {
    const expected = await lossCurve(tf.train.adam(0.03), 2, makeNetwork());
    const compiled = compileStep(tf.train.adam(0.03), { onRecompile: "error" });
    const curve = await lossCurve(compiled, 2, makeNetwork());
    expect(curve).toHaveLength(8);
    for (const [i, loss] of curve.entries()) expect(loss).toBeCloseTo(expected[i] as number, 3);
    expect(curve.at(-1)).toBeLessThan(0.9 * (curve[3] as number));
    expect(compiled.step?.stats.steps).toBe(8);
    compiled.dispose();
  });

  it("trains on the same way from a saved model, with tfjs's own optimizer", async () => {
    const [xs, ys] = makeData();
    const model = makeNetwork();
    const optimizer = compileStep(tf.train.adam(0.03));
    model.compile({ optimizer, loss: "categoricalCrossentropy" });
    const train = async (trained: tf.LayersModel) => {
      const { history } = await trained.fit(xs, ys, {
        epochs: 1,
        shuffle: false,
        verbose: 0,
        yieldEvery: "never",
      });
      return history.loss?.[0] as number;
    };
    await train(model);
    let saved: tf.io.ModelArtifacts = {};
    const keep = tf.io.withSaveHandler(async (artifacts) => {
      saved = artifacts;
      return { modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: "JSON" } };
    });
    await model.save(keep, { includeOptimizer: true });
    const expected = await train(model);
    model.dispose(); // its variables' names are free again
    const loaded = (await tf.loadLayersModel(tf.io.fromMemory(saved))) as tf.LayersModel;
    expect(await train(loaded)).toBeCloseTo(expected, 4);
    tf.dispose([xs, ys]);
    loaded.dispose();
    optimizer.dispose();
  });
});

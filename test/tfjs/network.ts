/** A network that is small enough to be trained in a test, what it learns, and how that goes. */
import * as tf from "@tensorflow/tfjs";
import { numbers } from "./support.ts";

const ROWS = 64;

/** A dense classifier whose start depends on nothing but the seeds. */
export function makeModel(): tf.Sequential {
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

/** Rows, and their classes. */
export function makeData(): [tf.Tensor2D, tf.Tensor2D] {
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
export async function lossCurve(
  optimizer: tf.Optimizer,
  epochs: number,
  model: tf.LayersModel = makeModel(),
): Promise<number[]> {
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

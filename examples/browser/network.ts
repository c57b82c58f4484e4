/** A small dense network, written with TensorFlow.js's own ops: a point in, the two arms' scores out. */
import * as tf from "@tensorflow/tfjs-core";
import { matMul } from "../matmul.ts";
import type { Batch } from "./spirals.ts";

const SIZES = [2, 64, 64, 64, 2];

export class Network {
  /** Kernel, bias, kernel, bias, … */
  readonly variables: tf.Variable[];

  /** Every network starts from the same weights. */
  constructor(name: string) {
    this.variables = SIZES.slice(1).flatMap((outputs, layer) =>
      dense(`${name}/${layer}`, SIZES[layer] as number, outputs, layer + 1),
    );
  }

  get parameters(): number {
    return this.variables.reduce((sum, { size }) => sum + size, 0);
  }

  logits(inputs: tf.Tensor2D): tf.Tensor2D {
    const last = this.variables.length - 2;
    let values = inputs;
    for (let i = 0; i <= last; i += 2) {
      const [kernel, bias] = this.variables.slice(i, i + 2) as [tf.Variable, tf.Variable];
      const sums = tf.add(matMul(values, kernel), bias);
      values = (i < last ? tf.tanh(sums) : sums) as tf.Tensor2D;
    }
    return values;
  }

  loss({ inputs, labels }: Batch): tf.Scalar {
    return tf.losses.softmaxCrossEntropy(labels, this.logits(inputs)) as tf.Scalar;
  }

  dispose(): void {
    tf.dispose(this.variables);
  }
}

/** Weights wide enough for a border that winds, biases at zero. */
function dense(name: string, inputs: number, outputs: number, seed: number): tf.Variable[] {
  const deviation = Math.sqrt((inputs === 2 ? 3 : 1.5) / inputs);
  return tf.tidy(() => [
    tf.variable(tf.randomNormal([inputs, outputs], 0, deviation, "float32", seed), true, `${name}/kernel`),
    tf.variable(tf.zeros([outputs]), true, `${name}/bias`),
  ]);
}

/** A small dense network, written with TensorFlow.js's own ops: 784 pixels, one hidden layer, ten digits. */
import * as tf from "@tensorflow/tfjs";
import { matMul } from "../matmul.ts";
import { DIGITS, PIXELS } from "./data.ts";

export class Network {
  readonly hidden: number;
  readonly variables: tf.Variable[];

  constructor(name: string, hidden: number) {
    this.hidden = hidden;
    this.variables = [
      ...dense(`${name}/hidden`, PIXELS, hidden, 1),
      ...dense(`${name}/digits`, hidden, DIGITS, 2),
    ];
  }

  get parameters(): number {
    return this.variables.reduce((sum, { size }) => sum + size, 0);
  }

  logits(images: tf.Tensor2D): tf.Tensor2D {
    const [w1, b1, w2, b2] = this.variables as [tf.Variable, tf.Variable, tf.Variable, tf.Variable];
    return matMul(matMul(images, w1).add(b1).relu(), w2).add(b2) as tf.Tensor2D;
  }

  loss(images: tf.Tensor2D, oneHot: tf.Tensor2D): tf.Scalar {
    return tf.losses.softmaxCrossEntropy(oneHot, this.logits(images)) as tf.Scalar;
  }

  /** The share of digits that it reads rightly. */
  accuracy(images: tf.Tensor2D, oneHot: tf.Tensor2D): number {
    return tf.tidy(() => {
      const right = this.logits(images).argMax(1).equal(oneHot.argMax(1));
      return right.mean().dataSync()[0] as number;
    });
  }
}

/** Weights with He's variance, biases at zero. */
function dense(name: string, inputs: number, outputs: number, seed: number): tf.Variable[] {
  const deviation = Math.sqrt(2 / inputs);
  return tf.tidy(() => [
    tf.variable(tf.randomNormal([inputs, outputs], 0, deviation, "float32", seed), true, `${name}/kernel`),
    tf.variable(tf.zeros([outputs]), true, `${name}/bias`),
  ]);
}

/**
 * The time of one update, without the gradients' own: a block of updates in a row, from the moment when nothing is left to do until
 * nothing is again. On a GPU there is no other way, since calls return before the work is done.
 */
import * as tf from "@tensorflow/tfjs-core";
import { Network } from "./network.ts";
import type { Trainer } from "./optimizers.ts";
import type { Batch } from "./spirals.ts";

const UPDATES = 10;

export class Stopwatch<T extends Trainer = Trainer> {
  /** Of its own, so that training goes on undisturbed; at a learning rate of 0 the weights stay where they are. */
  readonly optimizer: T;
  readonly #network: Network;
  readonly #gradients: tf.NamedTensorMap;

  constructor(name: string, optimizer: T, batch: Batch) {
    const network = new Network(name);
    const { value, grads } = tf.variableGrads(() => network.loss(batch), network.variables);
    value.dispose();
    optimizer.learningRate = 0;
    this.optimizer = optimizer;
    this.#network = network;
    this.#gradients = grads;
  }

  /** Milliseconds an update, the mean of a block. */
  async time(): Promise<number> {
    await this.#idle();
    const start = performance.now();
    for (let i = 0; i < UPDATES; i++) this.optimizer.applyGradients(this.#gradients);
    await this.#idle();
    return (performance.now() - start) / UPDATES;
  }

  dispose(): void {
    this.optimizer.dispose();
    this.#network.dispose();
    tf.dispose(this.#gradients);
  }

  /** A GPU works in the order of the calls: when this number is there, all that was asked for before is done. */
  async #idle(): Promise<void> {
    const sum = tf.sum(this.#network.variables[2] as tf.Variable);
    await sum.data();
    sum.dispose();
  }
}

/** The optimizers of the page: those that stepjit compiles, and the one of TensorFlow.js that they run beside. */
import * as tf from "@tensorflow/tfjs-core";
import { Adafactor, AdamW, Adan, LAMB, Lion } from "stepjit";
import { type CompiledOptimizer, compileOptimizer, compileStep } from "stepjit/tfjs";

export interface Choice {
  readonly label: string;
  readonly make: (learningRate: number) => CompiledOptimizer;
  /** Whether it has the flag amsgrad. A flag changes the maths, so setting it compiles. */
  readonly amsgrad?: true;
}

export const CHOICES: readonly Choice[] = [
  { label: "Adam", make: (learningRate) => compileStep(tf.train.adam(learningRate)) },
  { label: "AdamW", make: (lr) => compileOptimizer(AdamW, { lr }), amsgrad: true },
  { label: "Lion", make: (lr) => compileOptimizer(Lion, { lr }) },
  { label: "Adan", make: (lr) => compileOptimizer(Adan, { lr }) },
  { label: "LAMB", make: (lr) => compileOptimizer(LAMB, { lr }) },
  { label: "Adafactor", make: (lr) => compileOptimizer(Adafactor, { lr }) },
];

/** A tf.Optimizer whose learning rate can be set; TensorFlow.js declares it as protected. */
export type Trainer = Pick<tf.Optimizer, "minimize" | "applyGradients" | "dispose"> & {
  learningRate: number;
};

export function tfAdam(learningRate: number): Trainer {
  return tf.train.adam(learningRate) as unknown as Trainer;
}

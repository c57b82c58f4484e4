/** TensorFlow.js: tf.train.adam, a gradient for every variable. */
import * as tf from "@tensorflow/tfjs-core";
import "@tensorflow/tfjs-backend-cpu";
import "@tensorflow/tfjs-backend-wasm";
import { fillGradient, fillParameters, HYPER, type Problem } from "../problem.ts";
import type { Contender, Entry } from "./contender.ts";

export function tfjs(backend: "wasm" | "cpu"): Entry {
  return { name: `tfjs ${backend}`, threads: 1, refuses, make: (problem) => makeTfjs(problem, backend) };
}

const MOST_PARAMETERS = 50e6;

function refuses({ optimizer, parameters }: Problem): string | undefined {
  if (optimizer !== "Adam") return `tf.train has no ${optimizer}`;
  if (parameters <= MOST_PARAMETERS) return undefined;
  return "variables and temporaries do not fit its 2 GiB of wasm memory, and on cpu a step takes a quarter of a minute";
}

let made = 0;

async function makeTfjs({ tensors }: Problem, backend: string): Promise<Contender> {
  tf.enableProdMode();
  await tf.setBackend(backend);
  const prefix = `bench${made++}/`;
  const filled = (fill: (tensor: number, target: Float32Array) => void) =>
    tensors.map(({ shape, size }, i) => {
      const data = new Float32Array(size);
      fill(i, data);
      return tf.tensor(data, [...shape], "float32");
    });
  const variables = filled(fillParameters).map((start, i) =>
    tf.variable(start, true, prefix + tensors[i]?.name),
  );
  const gradients = Object.fromEntries(
    filled(fillGradient).map((gradient, i) => [variables[i]?.name as string, gradient]),
  );
  const { lr, beta1, beta2, eps } = HYPER;
  const optimizer: tf.Optimizer = tf.train.adam(lr, beta1, beta2, eps);
  return {
    enter: () => tf.setBackend(backend),
    step: () => optimizer.applyGradients(gradients),
    parameters: () => variables.map((variable) => variable.dataSync() as Float32Array),
    dispose() {
      optimizer.dispose();
      tf.dispose([variables, gradients]);
    },
  };
}

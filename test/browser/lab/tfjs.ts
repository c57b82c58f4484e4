/** tf.train.adam on TensorFlow.js's own webgpu backend: compiled, and as it is. */
import * as tf from "@tensorflow/tfjs";
import "@tensorflow/tfjs-backend-webgpu";
import { compileStep } from "stepjit/tfjs";
import { type Counter, type Counts, counted } from "../../backends/webgpu/counted.ts";
import { worstError } from "../../optim/torch-case.ts";
import { noise, sizeOf } from "../page/training.ts";

const SHAPES = { hidden: [12, 160], bias: [160], output: [160, 3], gain: [] } as const;
const STEPS = 10;
const adam = () => tf.train.adam(0.01);

let device: GPUDevice;
let counter: Counter;

export async function open(): Promise<void> {
  await tf.setBackend("webgpu");
  ({ device } = tf.backend() as unknown as { device: GPUDevice });
  counter = counted(device);
  device.addEventListener("uncapturederror", ({ error }) => console.error(error.message));
}

/** Trains the same small network with both, at a learning rate that changes. `reads`: of the steps of both. */
export async function train() {
  const [ours, theirs] = [makeVariables("ours"), makeVariables("theirs")];
  const [compiled, original] = [compileStep(adam()), adam()];
  const reads = countReads();
  for (let step = 1; step <= STEPS; step++) {
    for (const optimizer of [compiled, original])
      (optimizer as unknown as { learningRate: number }).learningRate = 0.01 / step;
    compiled.minimize(lossOf(ours), false, ours);
    original.minimize(lossOf(theirs), false, theirs);
  }
  const { length } = reads;
  const [mine, expected] = await Promise.all([valuesOf(ours), valuesOf(theirs)]);
  const { step } = compiled;
  return {
    error: Math.max(...mine.map((values, i) => worstError(values, expected[i] as number[]))),
    moved: worstError(mine[0] as number[], Array.from(noise(sizeOf(SHAPES.hidden), 0))),
    reads: length,
    steps: step?.stats.steps,
    events: step?.events.filter((event) => event.step > 0).length,
  };
}

/** What a step asks of the device, with gradients that are there already. */
export async function countStep(): Promise<Pick<Counts, "dispatches" | "submits">> {
  const variables = makeVariables("counted");
  const compiled = compileStep(adam());
  const gradients = Object.fromEntries(variables.map(({ name, shape }) => [name, tf.ones([...shape])]));
  compiled.applyGradients(gradients);
  counter.reset();
  compiled.applyGradients(gradients);
  const { dispatches, submits } = counter.counts;
  await device.queue.onSubmittedWorkDone(); // errors come before
  return { dispatches, submits };
}

function makeVariables(prefix: string): tf.Variable[] {
  return Object.entries(SHAPES).map(([name, shape], i) => {
    const values = tf.tensor(noise(sizeOf(shape), i), [...shape]);
    return tf.variable(values, true, `${prefix}/${name}`);
  });
}

/** Of a network with one hidden layer, on 32 examples. */
function lossOf([hidden, bias, output, gain]: readonly tf.Variable[]): () => tf.Scalar {
  const inputs = tf.tensor2d(noise(32 * 12, 10), [32, 12]);
  const goals = tf.tensor2d(noise(32 * 3, 11), [32, 3]);
  return () =>
    tf.tidy(() => {
      const inner = inputs
        .matMul(hidden as tf.Tensor)
        .add(bias as tf.Tensor)
        .tanh();
      const outer = inner.matMul(output as tf.Tensor).mul(gain as tf.Tensor);
      return tf.losses.meanSquaredError(goals, outer) as tf.Scalar;
    });
}

function valuesOf(variables: readonly tf.Variable[]): Promise<number[][]> {
  return Promise.all(variables.map(async (variable) => Array.from(await variable.data())));
}

/** Grows by one for each buffer that is read back from now on. */
function countReads(): unknown[] {
  const reads: unknown[] = [];
  const { mapAsync } = GPUBuffer.prototype;
  GPUBuffer.prototype.mapAsync = function (...args) {
    reads.push(args);
    return mapAsync.apply(this, args);
  };
  return reads;
}

/**
 * Trains a small network on MNIST with TensorFlow.js (wasm) and a compiled AdamW, and steps TensorFlow.js's own Adam beside it, on
 * the same gradients, to compare the time a step of the optimizer takes. About half a minute.
 */
import * as tf from "@tensorflow/tfjs";
import "@tensorflow/tfjs-backend-wasm";
import { AdamW } from "stepjit";
import { compileOptimizer } from "stepjit/tfjs";
import { DIGITS, type Digits, loadDigits, PIXELS, pick, shuffled } from "./data.ts";
import { Network } from "./network.ts";
import { progress } from "./progress.ts";

const EPOCHS = 4;
const BATCH = 64;
const HIDDEN = 128;
const PEAK_RATE = 3e-3;
const WARMUP_STEPS = 200;

await tf.setBackend("wasm");
const started = performance.now();
const [train, test] = [loadDigits("train"), loadDigits("t10k")];
const [testImages, testOneHot] = batch(test, Array(test.count).keys());
const stepsPerEpoch = Math.floor(train.count / BATCH);
const totalSteps = EPOCHS * stepsPerEpoch;

const network = new Network("ours", HIDDEN);
const optimizer = compileOptimizer(AdamW, { weightDecay: 0.01 }, { onRecompile: "error" });
const peer = { network: new Network("peer", HIDDEN), optimizer: tf.train.adam() };
const milliseconds = { ours: new Float64Array(totalSteps), peer: new Float64Array(totalSteps) };

console.log(`
MNIST with TensorFlow.js (wasm) and a compiled AdamW
  images   ${grouped(train.count)} to learn from, ${grouped(test.count)} to test on
  network  ${PIXELS} → ${HIDDEN} → ${DIGITS}, ${grouped(network.parameters)} parameters
  steps    ${grouped(totalSteps)} of ${BATCH} images; learning rate up to ${PEAK_RATE} in ${WARMUP_STEPS} steps, then a cosine down to 0
`);

let accuracy = 0;
for (let epoch = 0; epoch < EPOCHS; epoch++) {
  const bar = progress(`epoch ${epoch + 1}/${EPOCHS}`, stepsPerEpoch);
  const order = shuffled(train.count, epoch + 1);
  let meanLoss = Number.NaN;
  for (let i = 0; i < stepsPerEpoch; i++) {
    const loss = trainStep(epoch * stepsPerEpoch + i, order.subarray(i * BATCH, (i + 1) * BATCH));
    meanLoss = Number.isNaN(meanLoss) ? loss : 0.99 * meanLoss + 0.01 * loss;
    if (i % 10 === 0) {
      bar.update(i, `loss ${meanLoss.toFixed(3)}`);
      await new Promise(setImmediate); // lets the bar draw itself
    }
  }
  accuracy = network.accuracy(testImages, testOneHot);
  bar.finish(`loss ${meanLoss.toFixed(3)}  test accuracy ${percent(accuracy)}`);
}

const events = optimizer.step?.events.filter(({ kind }) => kind === "kernel") ?? [];
const compileTime = events.reduce((sum, event) => sum + event.milliseconds, 0);
const [ours, theirs] = [median(milliseconds.ours), median(milliseconds.peer)];
console.log(`
  accuracy   ${percent(accuracy)} of ${grouped(test.count)} test images, after ${((performance.now() - started) / 1000).toFixed(0)} s
  optimizer  ${ours.toFixed(3)} ms a step; tf.train.adam ${theirs.toFixed(3)} ms on the same gradients (medians of ${grouped(totalSteps)} steps)
  kernels    ${events.length} compiled, in ${compileTime.toFixed(1)} ms; ${events.filter(({ step }) => step > 0).length} recompiled over ${grouped(totalSteps)} learning rates

Where next
  README.md         how to use stepjit in a program of your own
  ARCHITECTURE.md   how a step is compiled
  npm test          the tests
  npm run bench     against other implementations, on this machine
`);

/** One step of both optimizers on the gradients of our network; gives the loss. */
function trainStep(step: number, indices: Uint32Array): number {
  const [images, oneHot] = batch(train, indices);
  const { value, grads } = tf.variableGrads(() => network.loss(images, oneHot), network.variables);
  const peerGrads = peer.network.variables.map(({ name }, i) => ({
    name,
    tensor: grads[network.variables[i]?.name as string] as tf.Tensor,
  }));
  const turns = {
    ours() {
      optimizer.lr = learningRate(step);
      optimizer.applyGradients(grads);
    },
    peer() {
      (peer.optimizer as unknown as { learningRate: number }).learningRate = learningRate(step);
      peer.optimizer.applyGradients(peerGrads);
    },
  };
  const order = step % 2 === 0 ? (["ours", "peer"] as const) : (["peer", "ours"] as const);
  for (const who of order) {
    const start = performance.now();
    turns[who]();
    milliseconds[who][step] = performance.now() - start;
  }
  const loss = value.dataSync()[0] as number;
  tf.dispose([images, oneHot, value, grads]);
  return loss;
}

/** Linear warm-up, then half a cosine to zero. */
function learningRate(step: number): number {
  if (step < WARMUP_STEPS) return (PEAK_RATE * (step + 1)) / WARMUP_STEPS;
  const rest = (step - WARMUP_STEPS) / (totalSteps - WARMUP_STEPS);
  return (PEAK_RATE * (1 + Math.cos(Math.PI * rest))) / 2;
}

function batch(digits: Digits, indices: Iterable<number>): [tf.Tensor2D, tf.Tensor2D] {
  const [images, oneHot] = pick(digits, indices);
  return [
    tf.tensor2d(images, [images.length / PIXELS, PIXELS]),
    tf.tensor2d(oneHot, [oneHot.length / DIGITS, DIGITS]),
  ];
}

function median(numbers: Float64Array): number {
  return numbers.slice().sort()[numbers.length >> 1] as number;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}

function grouped(count: number): string {
  return count.toLocaleString("en-US");
}

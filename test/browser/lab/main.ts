/** What webgpu.test.ts runs in a page: the same on webgpu and on wasm with all threads. It measures; the test says what is right. */
import { AdamW, type Backend, compileStep, SGD, wasm } from "stepjit";
import { type WebGpu, webgpu } from "stepjit/webgpu";
import { type Counter, counted } from "../../backends/webgpu/counted.ts";
import {
  applyHyper,
  type GoldenCase,
  gradientsOf,
  type Replay,
  replay,
  startCase,
  worstError,
} from "../../optim/torch-case.ts";
import { tensorOn } from "../../tensor-on.ts";
import { noise, SHAPES, sizeOf } from "../page/training.ts";

export type Where = "webgpu" | "wasm";

/** What a device was asked for; of wasm, nothing. */
interface Counted {
  readonly dispatches: number;
  readonly pipelines: number;
}

const tasks = {
  /** What there is to work on: the adapter's name, threads of wasm. */
  async describe() {
    const { gpu } = await device();
    return { adapter: gpu.device.adapterInfo.architecture, threads: backends.wasm.threads };
  },

  /** A whole case of torch's. */
  async replay(where: Where, golden: GoldenCase): Promise<Replay & Counted> {
    const backend = await backendOf(where);
    const started = startCase(golden, backend);
    const [result, counts] = await counting(() => replay(golden, backend, started));
    started.optimizer.dispose();
    return { ...result, ...counts };
  },

  /** The first half of a case on one backend, the second half on another, from a state dict. */
  async resume(golden: GoldenCase, first: Where, second: Where): Promise<Replay["errors"]> {
    const half = golden.grads.length / 2;
    const backend = await backendOf(first);
    const begun = startCase(golden, backend);
    await replay(golden, backend, begun, { to: half });
    const saved = structuredClone(await begun.optimizer.stateDict());
    const params = await Promise.all(
      golden.params.map(async (param) => ({
        ...param,
        init: Array.from((await begun.params[param.name]?.read()) ?? []),
      })),
    );
    const other = await backendOf(second);
    const resumed = startCase({ ...golden, params }, other);
    resumed.optimizer.loadStateDict(saved);
    const { errors } = await replay(golden, other, resumed, { from: half + 1 });
    for (const { optimizer } of [begun, resumed]) optimizer.dispose();
    return errors;
  },

  /** A case whose parameters are in the page's memory, on webgpu, without waiting before the end: how far `tensor.data` is off. */
  async bringBack(golden: GoldenCase) {
    const backend = await backendOf("webgpu");
    const { params, optimizer } = startCase(golden);
    const step = compileStep(optimizer, { backend });
    for (let count = 1; count <= golden.grads.length; count++) {
      applyHyper(golden, count, optimizer);
      step(gradientsOf(golden, count));
    }
    const distance = (expected: Readonly<Record<string, readonly number[]>>) =>
      Math.max(
        ...golden.params.map(({ name }) =>
          worstError(params[name]?.data ?? [], expected[name] ?? [Number.NaN]),
        ),
      );
    const beginning = Object.fromEntries(
      golden.params.map(({ name, init }) => [name, init.map(Math.fround)]),
    );
    const moved = distance(beginning);
    await step.finished();
    const error = distance(golden.after[golden.grads.length] ?? {});
    step.dispose();
    optimizer.dispose();
    return { moved, error };
  },

  /** A hundred steps, each with other numbers. Counts are those of all steps but the first. */
  async changeRates(where: Where, golden: GoldenCase): Promise<Counted & { events: number }> {
    const backend = await backendOf(where);
    const { optimizer } = startCase(golden, backend);
    const step = compileStep(optimizer, { backend });
    const gradients = gradientsOf(golden, 1);
    step(gradients);
    await step.finished();
    const { length } = step.events;
    const [, counts] = await counting(async () => {
      for (let count = 1; count <= 100; count++) {
        for (const group of optimizer.paramGroups)
          group.assign({ lr: 0.1 / count, weightDecay: 0.01 * count, betas: [0.9 - count / 1000, 0.99] });
        step(gradients);
      }
      await step.finished();
    });
    const events = step.events.length - length;
    step.dispose();
    optimizer.dispose();
    return { ...counts, events };
  },

  /**
   * Clipping over about a million elements: with SGD of rate 1 from zeros, parameters are minus the sum of what gradients were clipped
   * to. The first gradients are longer than the limit, the second are not.
   */
  async clip(where: Where) {
    const backend = await backendOf(where);
    const sizes = SHAPES.map(sizeOf);
    const params = SHAPES.map((shape, i) => tensorOn(backend, new Float32Array(sizes[i] as number), shape));
    const expected = sizes.map((size) => new Float64Array(size));
    const optimizer = new SGD(params, { lr: 1 });
    const clipNorm = 500;
    const step = compileStep(optimizer, { backend, clipNorm });
    const factors: number[] = [];
    for (const [index, scale] of [1, 0.75].entries()) {
      const gradients = sizes.map((size, i) => noise(size, 100 * index + i).map((x) => scale * x));
      const norm = Math.sqrt(gradients.flatMap(sumOfSquares).reduce((sum, x) => sum + x));
      const factor = Math.min(1, clipNorm / (norm + 1e-6));
      factors.push(factor);
      for (const [i, gradient] of gradients.entries())
        gradient.forEach((x, j) => {
          (expected[i] as Float64Array)[j] = ((expected[i] as Float64Array)[j] as number) - factor * x;
        });
      step(gradients);
    }
    await step.finished();
    const errors = await Promise.all(
      params.map(async (param, i) => worstError(await param.read(), Array.from(expected[i] as Float64Array))),
    );
    const { launches } = step.stats;
    step.dispose();
    optimizer.dispose();
    for (const param of params) param.dispose();
    return { error: Math.max(...errors), factors, launches };
  },

  /** Three steps of AdamW over about a million elements, timed by whoever launches. */
  async profile(where: Where) {
    const backend = await backendOf(where);
    const tensors = () =>
      SHAPES.map((shape, i) => tensorOn(backend, Float32Array.from(noise(sizeOf(shape), i)), shape));
    const optimizer = new AdamW(tensors());
    const step = compileStep(optimizer, { backend, clipNorm: 1 });
    const gradients = tensors();
    const profile = await step.profile(() => {
      for (let i = 0; i < 3; i++) step(gradients);
    });
    const { bytesMoved } = step.stats;
    step.dispose();
    optimizer.dispose();
    const { clock, memoryRate, launches, steps } = profile;
    return {
      clock,
      memoryRate,
      steps: steps.length,
      launches: launches.map(({ kind, phase, milliseconds }) => ({ kind, phase, milliseconds })),
      bytes: launches.reduce((sum, { bytes }) => sum + bytes, 0) / (steps.length * bytesMoved),
    };
  },

  /** Adam of TensorFlow.js on its own webgpu backend, compiled and as it is. */
  async tfjs() {
    const { countStep, open, train } = await import("./tfjs.ts");
    await open();
    return { ...(await train()), ...(await countStep()) };
  },
};

declare global {
  /** For the test. */
  var lab: typeof tasks;
}
globalThis.lab = tasks;

const backends = { wasm: wasm() };
let opened: Promise<{ gpu: WebGpu; counter: Counter }> | undefined;

/** The page's own device. */
function device() {
  opened ??= webgpu().then((gpu) => ({ gpu, counter: counted(gpu.device) }));
  return opened;
}

async function backendOf(where: Where): Promise<Backend> {
  return where === "wasm" ? backends.wasm : (await device()).gpu;
}

async function counting<T>(work: () => Promise<T>): Promise<[T, Counted]> {
  const { counter } = await device();
  counter.reset();
  const result = await work();
  const { dispatches, pipelines } = counter.counts;
  return [result, { dispatches, pipelines }];
}

function sumOfSquares(numbers: Float32Array): number {
  return numbers.reduce((sum, x) => sum + x * x, 0);
}

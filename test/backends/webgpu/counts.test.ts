/** What a step asks of a device besides its arithmetic: dispatches, passes, submits, copies, writes, and what it creates. */
import { Adafactor, AdamW, compileStep, type Gradient, SGD, scalar, type Tensor } from "stepjit";
import { afterEach, beforeEach, expect, test } from "vitest";
import { COPY_DST, COPY_SRC, STORAGE } from "../../../src/backends/webgpu/device.ts";
import { WebGpu } from "../../../src/webgpu.ts";
import { numbers } from "../../models.ts";
import { dispatchesOf, SUBJECTS } from "../../optim/subjects.ts";
import { expectSameArrays } from "../../properties/compare.ts";
import { type Counter, type Counts, counted } from "./counted.ts";
import { describeOnGpu, testDevice } from "./gpu.ts";
import { objectsLeft } from "./heap.ts";

let gpu: WebGpu;
let counter: Counter;
beforeEach(async () => {
  gpu = new WebGpu(await testDevice(), undefined);
  counter = counted(gpu.device);
});
afterEach(() => gpu.dispose());

const sizeOf = (shape: readonly number[]) => shape.reduce((product, axis) => product * axis, 1);
const f32 = (length: number, seed: number) => Float32Array.from(numbers(length, seed));

/** 784-256-256-10, as for MNIST. */
const MLP = [[784, 256], [256], [256, 256], [256], [256, 10], [10]];
/** Matrices, vectors and filters, as many as asked. */
const mixed = (count: number) =>
  Array.from({ length: count }, (_, i) => [[17, 5], [33], [4, 3, 3, 3], [1], [300]][i % 5] as number[]);

/** The same of whole multiples of 16 bytes. */
const aligned = (count: number) =>
  Array.from({ length: count }, (_, i) => [[17, 4], [32], [4, 3, 3, 3], [4], [300]][i % 5] as number[]);

/** A step of one dispatch, in the steady state. */
const ONE: Counts = {
  dispatches: 1,
  passes: 1,
  submits: 1,
  copies: 0,
  writes: 1, // the scalars
  buffers: 0,
  bindGroups: 0,
  pipelines: 0,
};

const ours = (shapes: readonly number[][], seed: number) =>
  shapes.map((shape, i) => gpu.tensor(f32(sizeOf(shape), seed + i), shape));
const arrays = (shapes: readonly number[][], seed: number) =>
  shapes.map((shape, i) => f32(sizeOf(shape), seed + i));

function bufferOf(bytes: number): GPUBuffer {
  return gpu.device.createBuffer({ size: bytes, usage: STORAGE | COPY_SRC | COPY_DST });
}

/** Each in a buffer of the user's own. */
const foreign = (shapes: readonly number[][], seed: number) =>
  shapes.map((shape, i) => {
    const tensor = gpu.wrap(bufferOf(4 * sizeOf(shape)), shape);
    tensor.write(f32(sizeOf(shape), seed + i));
    return tensor;
  });

/** All in one buffer of the user's own, after `gap` bytes each. */
function packed(shapes: readonly number[][], seed: number, gap = 0): Tensor[] {
  const buffer = bufferOf(shapes.reduce((sum, shape) => sum + gap + 4 * sizeOf(shape), 0));
  let end = 0;
  return shapes.map((shape, i) => {
    const tensor = gpu.wrap(buffer, shape, end + gap);
    end += gap + 4 * sizeOf(shape);
    tensor.write(f32(sizeOf(shape), seed + i));
    return tensor;
  });
}

/** What each of so many steps is counted to be, the first `skip` excepted. `gradients`: of a step. */
function countSteps(
  step: (gradients: Gradient[]) => void,
  gradients: (at: number) => Gradient[],
  { skip = 2, steps = 6 } = {},
): Counts[] {
  return Array.from({ length: steps }, (_, at) => {
    counter.reset();
    step(gradients(at));
    return { ...counter.counts };
  }).slice(skip);
}

const times = (count: number, counts: Counts) => Array.from({ length: count }, () => counts);
const read = (tensors: readonly Tensor[]) => Promise.all(tensors.map((one) => one.read()));

/** Where the same steps take parameters that are all ours. */
async function expected(shapes: readonly number[][], gradients: (at: number) => Gradient[], steps = 6) {
  const parameters = ours(shapes, 1);
  const step = compileStep(new AdamW(parameters), { backend: gpu });
  for (let at = 0; at < steps; at++) step(gradients(at));
  return read(parameters);
}

describeOnGpu("a step of webgpu", () => {
  test.each([
    ["an MLP", MLP],
    ["50 tensors", mixed(50)],
    ["150 tensors", mixed(150)],
  ])("over %s of ours is one dispatch, one pass, one submit, one write", (_, shapes) => {
    const step = compileStep(new AdamW(ours(shapes, 1)), { backend: gpu });
    const gradients = ours(shapes, 500);
    expect(countSteps(step, () => gradients)).toEqual(times(4, ONE));
  });

  test("with gradients in arrays writes these, and that is all", () => {
    const step = compileStep(new AdamW(ours(MLP, 1)), { backend: gpu });
    const gradients = arrays(MLP, 500);
    expect(countSteps(step, () => gradients)).toEqual(times(4, { ...ONE, writes: 1 + MLP.length }));
  });

  test("with gradients that alternate between two sets writes their rows, too", async () => {
    const shapes = mixed(10);
    const parameters = ours(shapes, 1);
    const step = compileStep(new AdamW(parameters), { backend: gpu });
    const sets = [ours(shapes, 500), ours(shapes, 600)];
    const gradients = (at: number) => sets[at % 2] as Tensor[];
    expect(countSteps(step, gradients)).toEqual(times(4, { ...ONE, writes: 2 }));
    expectSameArrays(await read(parameters), await expected(shapes, gradients));
  });

  test("takes another learning rate, and gradients that come and go, without an event or a buffer", () => {
    const shapes = mixed(20);
    const lr = scalar(0.1);
    const step = compileStep(new AdamW(ours(shapes, 1), { lr }), { backend: gpu });
    const [some, others] = [ours(shapes, 500), arrays(shapes, 600)];
    const gradients = (at: number) => {
      lr.value = 0.1 / (at + 1);
      return some.map((own, i) => (at < 2 || (at * 7 + i) % 3 > 0 ? own : at % 2 ? null : others[i]));
    };
    step(others); // their copies are made
    const events = step.events.length;
    for (const counts of countSteps(step, gradients, { steps: 20 }))
      expect(counts).toMatchObject({ dispatches: 1, submits: 1, buffers: 0, bindGroups: 0, pipelines: 0 });
    expect(step.events.length).toBe(events);
  });

  test("with clipNorm is three dispatches", () => {
    const step = compileStep(new AdamW(ours(MLP, 1)), { backend: gpu, clipNorm: 1 });
    const gradients = ours(MLP, 500);
    expect(countSteps(step, () => gradients)).toEqual(times(4, { ...ONE, dispatches: 3 }));
  });

  test.each([
    ["by itself", {}],
    ["clipped", { clipNorm: 1 }],
  ])("of Adafactor over mixed shapes, %s", (name, around) => {
    const shapes = mixed(20);
    const step = compileStep(new Adafactor(ours(shapes, 1)), { backend: gpu, ...around });
    const gradients = ours(shapes, 500);
    const dispatches = dispatchesOf(SUBJECTS.Adafactor as (typeof SUBJECTS)[string], name === "clipped");
    expect(countSteps(step, () => gradients)).toEqual(times(4, { ...ONE, dispatches }));
  });
});

/** 4 tensors of 100 KiB: too large to be copied. */
const LARGE = [[160, 160], [25_600], [100, 256], [25_604]];

describeOnGpu("buffers of the user's own", () => {
  test.each([
    ["parameters", ours, 2],
    ["parameters and gradients", foreign, 3],
  ])("small %s are copied", async (_, make, copies) => {
    const shapes = mixed(10);
    const [parameters, gradients] = [foreign(shapes, 1), make(shapes, 500)];
    const step = compileStep(new AdamW(parameters), { backend: gpu });
    const counts = { ...ONE, copies: copies * shapes.length };
    expect(countSteps(step, () => gradients)).toEqual(times(4, counts));
    expectSameArrays(await read(parameters), await expected(shapes, () => gradients));
  });

  test("large ones are bound, each in a dispatch", async () => {
    const [parameters, gradients] = [foreign(LARGE, 1), foreign(LARGE, 500)];
    const step = compileStep(new AdamW(parameters), { backend: gpu });
    const counts = { ...ONE, dispatches: LARGE.length };
    expect(countSteps(step, () => gradients)).toEqual(times(4, counts));
    expectSameArrays(await read(parameters), await expected(LARGE, () => gradients));
  });

  test("many tensors in one large buffer share a dispatch", async () => {
    const shapes = [...LARGE, ...aligned(30)];
    const [parameters, gradients] = [packed(shapes, 1, 16), packed(shapes, 500)];
    const step = compileStep(new AdamW(parameters), { backend: gpu });
    expect(countSteps(step, () => gradients)).toEqual(times(4, ONE));
    expectSameArrays(await read(parameters), await expected(shapes, () => gradients));
  });

  test("those that do not begin or end at a multiple of 16 bytes are copied: neighbours stay as they are", async () => {
    const shapes = [[25_600], [25_601], [32], [31]];
    const [parameters, gradients] = [packed(shapes, 1), packed(shapes, 500)];
    const step = compileStep(new AdamW(parameters), { backend: gpu });
    const counts = { ...ONE, dispatches: 2, copies: 3 * 3 };
    expect(countSteps(step, () => gradients)).toEqual(times(4, counts));
    expectSameArrays(await read(parameters), await expected(shapes, () => gradients));
  });

  test.each([
    ["each in a small buffer", mixed(10), foreign, { copies: 10 }],
    ["each in a large buffer", LARGE, foreign, { dispatches: LARGE.length }],
    ["all in one buffer", [...LARGE, ...aligned(10)], packed, {}],
  ])("gradients that rotate, %s, create nothing", async (_, shapes, make, counts) => {
    const parameters = ours(shapes, 1);
    const sets = [500, 600, 700].map((seed) => make(shapes, seed));
    const gradients = (at: number) => sets[at % 3] as Tensor[];
    const step = compileStep(new AdamW(parameters), { backend: gpu });
    for (const counted of countSteps(step, gradients, { skip: 4, steps: 10 })) {
      expect(counted).toEqual({ ...ONE, ...counts, writes: expect.any(Number) });
      expect(counted.writes).toBeLessThanOrEqual(2);
    }
    expectSameArrays(await read(parameters), await expected(shapes, gradients, 10));
  });

  test("a parameter and its gradient may lie in one buffer", async () => {
    const shapes = [...LARGE, ...aligned(6)];
    const both = packed([...shapes, ...shapes], 1, 32);
    const [parameters, gradients] = [both.slice(0, shapes.length), both.slice(shapes.length)];
    const start = await read(gradients);
    const step = compileStep(new AdamW(parameters), { backend: gpu });
    expect(countSteps(step, () => gradients)).toEqual(times(4, ONE));
    expectSameArrays(await read(gradients), start);
    expectSameArrays(await read(parameters), await expected(shapes, () => start));
  });

  test("that come and go as gradients make no buffer", async () => {
    const shapes = [...LARGE, ...mixed(6)];
    const parameters = ours(shapes, 1);
    const there = foreign(shapes, 500);
    const gradients = (at: number) => there.map((one, i) => ((at + i) % 3 === 0 ? null : one));
    const step = compileStep(new AdamW(parameters), { backend: gpu });
    for (const counts of countSteps(step, gradients, { skip: 6, steps: 12 }))
      expect(counts).toMatchObject({ submits: 1, passes: 1, buffers: 0, bindGroups: 0 });
    expectSameArrays(await read(parameters), await expected(shapes, gradients, 12));
  });
});

describeOnGpu("memory", () => {
  test("of the device is taken once: 200 steps with gradients of all kinds", async () => {
    const shapes = mixed(5);
    const lr = scalar(0.1);
    const step = compileStep(new AdamW(ours(shapes, 1), { lr }), { backend: gpu, clipNorm: 1, ema: 0.9 });
    const sets = [ours(shapes, 500), foreign(shapes, 600), arrays(shapes, 700), shapes.map(() => null)];
    for (let at = 0; at < 200; at++) {
      if (at === 10) counter.reset();
      lr.value = 1 / (at + 1);
      step(sets[at % 4]);
    }
    await step.finished();
    expect(counter.counts).toMatchObject({ submits: 190, buffers: 0, bindGroups: 0, pipelines: 0 });
  });

  test.each([
    ["steps that are queued", 200],
    ["steps that are waited for", 1],
  ])("of the host does not grow: %s", async (_, together) => {
    const shapes = mixed(5);
    const lr = scalar(0.1);
    const step = compileStep(new SGD(ours(shapes, 1), { lr }), { backend: gpu });
    const sets = [ours(shapes, 500), foreign(shapes, 600), arrays(shapes, 700), shapes.map(() => null)];
    const run = async () => {
      for (let at = 1; at <= 200; at++) {
        lr.value = 1 / at;
        step(sets[at % 4]);
        if (at % together === 0) await step.finished();
      }
    };
    await run();
    expect(await objectsLeft(run)).toBeLessThan(20);
  });
});

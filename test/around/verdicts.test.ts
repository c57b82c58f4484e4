/** Steps that are queued on a device which decides whether they are committed: what the host makes of it, and when. */
import { setTimeout } from "node:timers/promises";
import { compileStep, defineOptimizer, GradScaler, type Optimizer, Rprop, SGD, type Tensor } from "stepjit";
import { add, mul, sub, sum } from "stepjit/ops";
import { beforeAll, expect, test } from "vitest";
import { WebGpu } from "../../src/webgpu.ts";
import { describeOnGpu, testDevice } from "../backends/webgpu/gpu.ts";

const finite = Float32Array.of(4, 8);
const spoilt = Float32Array.of(4, Infinity);

describeOnGpu("verdicts of a device", () => {
  let gpu: WebGpu;
  beforeAll(async () => {
    gpu = new WebGpu(await testDevice(), undefined);
  });

  /** SGD with momentum 1 and dampening: a first step takes the gradient whole, later ones half of it. */
  function start(initScale = 4) {
    const w = gpu.tensor([10, 20], [2]);
    const optimizer = new SGD({ w }, { lr: 1, momentum: 1, dampening: 0.5 });
    const scaler = new GradScaler({ initScale });
    const step = compileStep(optimizer, { backend: gpu, scaler });
    return { w, optimizer, scaler, step };
  }

  const numbersOf = async (tensor: Tensor) => [...(await tensor.read())];
  const countOf = ({ parameters }: Optimizer) => parameters.map(({ count }) => count);

  test("steps that were queued under one scale lower it once; none is lost, and skipped ones leave no trace", async () => {
    const { w, step, scaler, optimizer } = start();
    for (const gradient of [spoilt, spoilt, finite, spoilt, finite]) step([gradient]);
    expect(step.stats.steps).toBe(5);
    await step.finished();
    expect(step.stats.skipped).toBe(3);
    expect(scaler.scale.value).toBe(2);
    // The gradient is [1, 2]: the first that counts takes it whole, the second adds half of it to the momentum.
    expect(await numbersOf(w)).toEqual([10 - 1 - 1.5, 20 - 2 - 3]);
    expect((await optimizer.stateDict()).state[0]?.momentum_buffer).toMatchObject({
      data: Float32Array.of(1.5, 3),
    });
    expect(countOf(optimizer)).toEqual([2]);
  });

  test("the scale stays what it is until the next step, or until one waits", async () => {
    const { step, scaler } = start();
    step([spoilt]);
    await gpu.finished();
    await setTimeout(20); // the device has answered
    expect([scaler.scale.value, step.stats.skipped]).toEqual([4, 0]);
    step([finite]);
    expect([scaler.scale.value, step.stats.skipped]).toEqual([2, 1]);
    await step.finished();
    expect(step.stats).toMatchObject({ steps: 2, skipped: 1 });
  });

  test("steps that are skipped later, with a lowered scale, lower it again", async () => {
    const { step, scaler } = start();
    for (const expected of [2, 1]) {
      for (let i = 0; i < 3; i++) step([spoilt]);
      await step.finished();
      expect(scaler.scale.value).toBe(expected);
    }
    expect(step.stats.skipped).toBe(6);
  });

  test("state of steps that were all given up is none, and is filled anew with what holds then", async () => {
    const w = gpu.tensor([10, 20], [2]);
    const optimizer = new Rprop({ w }, { lr: 1, stepSizes: [0, 50] });
    const scaler = new GradScaler({ initScale: 4 });
    const step = compileStep(optimizer, { backend: gpu, scaler, ema: 0.5 });
    step([spoilt]);
    step([spoilt]);
    expect((await optimizer.stateDict()).state).toEqual({});
    expect(countOf(optimizer)).toEqual([0]);
    (optimizer.paramGroups[0] as { lr: number }).lr = 3;
    step([finite]); // the first one: its step size is lr
    await step.finished();
    expect(await numbersOf(w)).toEqual([7, 17]);
    expect((await optimizer.stateDict()).state[0]).toMatchObject({
      step: 1,
      n_averaged: 1,
      step_size: { data: Float32Array.of(3, 3) },
      average: { data: Float32Array.of(7, 17) },
    });
  });

  test("another plan goes on from what the device knows", async () => {
    const { w, step, optimizer } = start();
    for (const gradient of [finite, spoilt, finite]) step([gradient]);
    const late = gpu.tensor([1], [1]);
    optimizer.addParamGroup({ params: { late } });
    expect(countOf(optimizer)).toEqual([3, 0]); // as if all were committed
    for (const gradient of [spoilt, finite]) step([gradient, Float32Array.of(2)]);
    expect(step.stats.plans).toBe(2);
    await step.finished();
    expect(step.stats).toMatchObject({ steps: 5, skipped: 2 });
    expect(countOf(optimizer)).toEqual([3, 1]);
    expect(await numbersOf(late)).toEqual([1 - 2 / 4]); // its first step, though not the first that was tried
    expect(await numbersOf(w)).toEqual([10 - 1 - 1.5 - 2, 20 - 2 - 3 - 4]);
  });

  test("a parameter that is added before one waits: counts are read back all the same", async () => {
    const { step, optimizer } = start();
    for (const gradient of [finite, spoilt]) step([gradient]);
    optimizer.addParamGroup({ params: { late: gpu.tensor([1], [1]) } });
    await step.finished();
    expect(countOf(optimizer)).toEqual([1, 0]);
  });

  test("a step that is launched while one waits for those before it", async () => {
    const { w, step, optimizer } = start();
    step([spoilt]);
    const early = step.finished();
    step([finite]);
    await early;
    expect(step.stats.skipped).toBe(1);
    expect((await optimizer.stateDict()).state[0]).toBeDefined(); // that waited for the second one
    expect(countOf(optimizer)).toEqual([1]);
    expect(await numbersOf(w)).toEqual([9, 18]);
  });

  test("numbers that a device computes and keeps are read back too, though it decides on nothing", async () => {
    const Summed = defineOptimizer({
      name: "Summed",
      hyper: { lr: { default: 1 } },
      state: { n: { extent: "param", init: 1 } },
      update({ param, grad, state, hyper }) {
        state.n = add(state.n, sum(grad));
        return sub(param, mul(hyper.lr, state.n));
      },
    });
    const w = gpu.tensor([10, 20], [2]);
    const optimizer = new Summed({ w });
    const step = compileStep(optimizer, { backend: gpu });
    step([Float32Array.of(1, 1)]);
    step([Float32Array.of(2, 0)]);
    optimizer.addParamGroup({ params: { late: gpu.tensor([0], [1]) } });
    step([Float32Array.of(0, 0), Float32Array.of(7)]);
    const saved = await optimizer.stateDict();
    expect([saved.state[0]?.n, saved.state[1]?.n]).toEqual([5, 8]);
    expect(await numbersOf(w)).toEqual([10 - 3 - 5 - 5, 20 - 3 - 5 - 5]);
    optimizer.loadStateDict({ ...saved, state: { 0: { n: 100 }, 1: { n: 1 } } });
    step([Float32Array.of(0, 0), null]);
    await step.finished();
    expect(await numbersOf(w)).toEqual([-3 - 100, 7 - 100]);
  });

  test("another step of the optimizer has to wait", async () => {
    const { step, optimizer } = start();
    step([finite]);
    for (const backend of [gpu, "wasm"] as const)
      expect(() => compileStep(optimizer, { backend })).toThrow(
        expect.objectContaining({
          code: "unsupported",
          message: expect.stringContaining("await step.finished() first"),
        }),
      );
    await step.finished();
    const other = compileStep(optimizer, { backend: gpu });
    other([finite.map((g) => g / 4)]);
    await other.finished();
    expect(countOf(optimizer)).toEqual([2]);
  });

  test("a state dict that is loaded counts, whatever the device has not told yet", async () => {
    const { w, step, scaler, optimizer } = start();
    step([finite]);
    const saved = await optimizer.stateDict();
    for (const gradient of [spoilt, finite, finite]) step([gradient]);
    const waiting = step.finished();
    optimizer.loadStateDict(saved);
    expect(countOf(optimizer)).toEqual([0]); // SGD saves no count
    await waiting;
    expect(countOf(optimizer)).toEqual([0]);
    expect(await optimizer.stateDict()).toEqual(saved);
    expect([step.stats.skipped, scaler.scale.value]).toEqual([1, 2]);
    w.write([10, 20]);
    step([finite.map((g) => g / 2)]);
    await step.finished();
    expect(countOf(optimizer)).toEqual([1]);
    expect(await numbersOf(w)).toEqual([8.5, 17]); // momentum [1, 2] and half of [1, 2]
  });

  test("gradients are zeroed whatever the verdict, arrays of the user's own at once", async () => {
    const w = gpu.tensor([10, 20], [2]);
    const optimizer = new SGD({ w }, { lr: 1 });
    const scaler = new GradScaler({ initScale: 4 });
    const step = compileStep(optimizer, { backend: gpu, scaler, zeroGrad: true });
    for (const numbers of [spoilt, finite]) {
      const there = gpu.tensor(numbers, [2]);
      const here = numbers.slice();
      step([here]);
      expect([...here]).toEqual([0, 0]);
      step([there]);
      await step.finished();
      expect(await numbersOf(there)).toEqual([0, 0]);
    }
  });
});

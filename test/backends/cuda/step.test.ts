/** Steps through the engine, the tables and the driver's calls to the numbers, and what they cost in calls. */
import {
  Adafactor,
  AdamW,
  type CompileOptions,
  compileStep,
  defineOptimizer,
  GradScaler,
  type Optimizer,
  type Tensor,
} from "stepjit";
import { mul, sub } from "stepjit/ops";
import { beforeEach, expect, test } from "vitest";
import type { Cuda } from "../../../src/cuda.ts";
import { numbers } from "../../models.ts";
import { describeOnCuda, testCuda } from "./cuda.ts";

const Descent = defineOptimizer({
  name: "Descent",
  hyper: { lr: { default: 0.1 } },
  update: ({ param, grad, hyper }) => sub(param, mul(hyper.lr, grad)),
});

type List = Float32Array | Float64Array;
const f32 = (length: number, seed: number) => Float32Array.from(numbers(length, seed));
const f64 = (length: number, seed: number) => Float64Array.from(numbers(length, seed));
const read = (tensors: readonly Tensor[]) => Promise.all(tensors.map((one) => one.read()));

/** What the step makes of it: rounded as the parameter is. */
function descended(param: List, grad: List, lr: number): List {
  const round = param instanceof Float32Array ? Math.fround : (x: number) => x;
  return param.map((p, i) => p - round(round(lr) * (grad[i] as number)));
}

describeOnCuda("a step", () => {
  let gpu: Cuda;
  beforeEach(async () => {
    gpu = await testCuda();
  });

  const start = (params: readonly (Tensor | List)[], options: CompileOptions = {}) => {
    const optimizer = new Descent(params as never) as Optimizer;
    return { optimizer, step: compileStep(optimizer, { backend: gpu, ...options }) };
  };
  const setLr = (optimizer: Optimizer, lr: number) => optimizer.paramGroups[0]?.assign({ lr });

  test("computes what its kernel says, over tensors of any size and both dtypes", async () => {
    const data: List[] = [f32(1, 1), f64(50_000, 2), f32(100_001, 3), f32(0, 4), f64(7, 5)];
    const tensors = data.map((one) => gpu.tensor(one, [one.length]));
    const { optimizer, step } = start(tensors);
    let expected = data;
    for (let i = 0; i < 3; i++) {
      setLr(optimizer, 0.1 * i);
      const grads = data.map((one, k) => (one instanceof Float32Array ? f32 : f64)(one.length, 10 * i + k));
      step(i === 1 ? grads.map((grad) => gpu.tensor(grad, [grad.length])) : grads);
      expected = expected.map((param, k) => descended(param, grads[k] as List, 0.1 * i));
    }
    expect(await read(tensors)).toEqual(expected);
    expect(step.stats.launches).toBe(1);
  });

  test("is one upload and one launch, and waits for nothing", async () => {
    const tensors = Array.from({ length: 100 }, (_, i) => gpu.tensor(f32(i, i), [i]));
    const grads = tensors.map(({ size }, i) => gpu.tensor(f32(size, 100 + i), [size]));
    const { optimizer, step } = start(tensors);
    step(grads);
    await gpu.finished();
    const { waits } = gpu.device.counts;
    for (let i = 0; i < 5; i++) {
      const before = gpu.device.counts;
      setLr(optimizer, i);
      step(grads);
      expect(gpu.device.counts).toMatchObject({ launches: before.launches + 1, uploads: before.uploads + 1 });
      expect(gpu.device.counts.uploadedBytes - before.uploadedBytes).toBeLessThan(1000);
    }
    const others = grads.map(({ shape }) => gpu.tensor(shape));
    await gpu.finished();
    const before = gpu.device.counts;
    step(others);
    expect(gpu.device.counts).toMatchObject({ launches: before.launches + 1, uploads: before.uploads + 1 });
    expect(gpu.device.counts.waits).toBe(waits);
    await step.finished();
  });

  test("skips what has no gradient", async () => {
    const data = [f32(5, 1), f32(6, 2)] as const;
    const tensors = data.map((one) => gpu.tensor(one, [one.length]));
    const { step } = start(tensors);
    step([null, f32(6, 3)]);
    expect(await read(tensors)).toEqual([data[0], descended(data[1], f32(6, 3), 0.1)]);
  });

  test("works on memory of others where it is, aligned or not", async () => {
    const memory = gpu.tensor(f32(100, 1), [100]);
    const { address } = memory.storage as unknown as { address: bigint };
    const { step } = start([gpu.wrap(address + 4n, [50])]);
    step([f32(50, 2)]);
    const expected = f32(100, 1);
    expected.set(descended(expected.slice(1, 51), f32(50, 2), 0.1), 1);
    expect(await memory.read()).toEqual(expected);
  });

  test("on arrays of the host goes on without them, until they are read back", async () => {
    const [one, other] = [f32(5, 1), f64(6, 2)];
    const expected = [descended(one, f32(5, 3), 0.1), descended(other, f64(6, 4), 0.1)];
    const { step } = start([one, other]);
    step([f32(5, 3), f64(6, 4)]);
    await step.finished();
    expect([one, other]).toEqual(expected);
  });

  test("refuses a gradient that was disposed", async () => {
    const tensor = gpu.tensor(f32(5, 1), [5]);
    const grad = gpu.tensor([5]);
    const { step } = start([tensor]);
    step([grad]);
    grad.dispose();
    expect(() => step([grad])).toThrow(expect.objectContaining({ code: "disposed" }));
    step([f32(5, 2)]);
    expect(await tensor.read()).toEqual(descended(f32(5, 1), f32(5, 2), 0.1));
    tensor.dispose();
    expect(() => step([f32(5, 2)])).toThrow(expect.objectContaining({ code: "disposed" }));
  });

  test("is one launch of a graph, captured again only where it looks otherwise", async () => {
    const data = [f32(5, 1), f32(3000, 2)];
    const tensors = data.map((one) => gpu.tensor(one, [one.length]));
    const grads = [f32(5, 3), f32(3000, 4)].map((one) => gpu.tensor(one, [one.length]));
    const { optimizer, step } = start(tensors);
    const graph = gpu.graph();
    let expected: List[] = data;
    const run = async (lr: number) => {
      setLr(optimizer, lr);
      graph.run(() => step(grads));
      const values = await read(grads);
      expected = expected.map((param, k) => descended(param, values[k] as List, lr));
    };
    for (let i = 0; i < 6; i++) await run(i / 8);
    expect(graph.captures).toBe(1); // the first step fills memory, too, and is run as it is
    const { graphLaunches } = gpu.device.counts;
    await run(1);
    expect(gpu.device.counts.graphLaunches).toBe(graphLaunches + 1);
    grads[1]?.write(f32(3000, 5));
    await run(0.5);
    expect(graph.captures).toBe(1);
    grads[0] = gpu.tensor(f32(5, 6), [5]);
    await run(0.25);
    await run(0.25);
    await run(0.25);
    expect(await read(tensors)).toEqual(expected);
    graph.dispose();
  });

  type Make = new (params: never) => Optimizer;
  test.each<[string, Make, () => CompileOptions]>([
    ["AdamW, clipped", AdamW as never, () => ({ clipNorm: 0.5 })],
    ["AdamW, scaled, some steps with a NaN", AdamW as never, () => ({ scaler: new GradScaler() })],
    ["Adafactor", Adafactor as never, () => ({})],
  ])("of several launches is one, too, and the same: %s", async (_, make, options) => {
    const run = async (inGraph: boolean) => {
      const on = await testCuda();
      const tensors = [f32(300, 1), f32(7000, 2)].map((one, i) =>
        on.tensor(one, i === 0 ? [300] : [70, 100]),
      );
      const grads = [f32(300, 3), f32(7000, 4)].map((one) => on.tensor(one, [one.length]));
      const optimizer = new make(tensors as never);
      const given = options();
      const step = compileStep(optimizer, { backend: on, ...given });
      const graph = on.graph();
      for (let i = 0; i < 9; i++) {
        const numbers = f32(300, 10 + i);
        if ([1, 2, 5].includes(i) && given.scaler) numbers[7] = Number.NaN;
        grads[0]?.write(numbers);
        setLr(optimizer, 0.01 * (i + 1));
        if (inGraph) graph.run(() => step(grads));
        else step(grads);
      }
      const { captures } = graph;
      graph.dispose(); // verdicts are still on their way
      await step.finished();
      const { launches, graphLaunches } = on.device.counts;
      return {
        values: await read(tensors),
        state: await optimizer.stateDict(),
        skipped: step.stats.skipped,
        launches,
        graphLaunches,
        captures,
      };
    };
    const [eager, graphed] = [await run(false), await run(true)];
    const { values, state, skipped } = eager;
    expect(graphed).toMatchObject({ values, state, skipped });
    expect(eager.graphLaunches).toBe(0);
    expect(graphed.graphLaunches).toBe(6); // the first steps upload other tables, too
    expect(graphed.launches).toBe(eager.launches);
    expect(graphed.captures).toBe(1);
  });

  test("is taken even where what else a graph is to run throws", async () => {
    const [tensor, grad] = [gpu.tensor(f32(5, 1), [5]), gpu.tensor(f32(5, 2), [5])];
    const { step } = start([tensor]);
    const graph = gpu.graph();
    const mine = new Error("mine");
    expect(() =>
      graph.run(() => {
        step([grad]);
        throw mine;
      }),
    ).toThrow(mine);
    step([grad]);
    await step.finished();
    const once = descended(f32(5, 1), f32(5, 2), 0.1);
    expect(await tensor.read()).toEqual(descended(once, f32(5, 2), 0.1));
  });

  test("is timed by the device", async () => {
    const { step } = start([gpu.tensor(f32(100_000, 1), [100_000])]);
    const profile = await step.profile(() => step([f32(100_000, 2)]));
    expect(profile).toMatchObject({
      backend: "cuda",
      clock: "device",
      launches: [{ kind: "kernels", dispatches: 1 }],
    });
    expect(profile.launches[0]?.milliseconds).toBeGreaterThanOrEqual(0);
    expect(profile.memoryRate).toBeGreaterThan(0);
  });

  test("on a backend that was disposed of is refused", async () => {
    const tensor = gpu.tensor(f32(5, 1), [5]);
    const { step } = start([tensor]);
    step([f32(5, 2)]);
    gpu.dispose();
    const disposed = expect.objectContaining({ code: "disposed" });
    expect(() => step([f32(5, 2)])).toThrow(disposed);
    expect(() => gpu.tensor([3])).toThrow(disposed);
    await expect(step.finished()).rejects.toThrow(disposed);
    await expect(tensor.read()).rejects.toThrow(disposed);
    step.dispose();
    tensor.dispose();
    gpu.dispose();
  });
});

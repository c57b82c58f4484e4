/** What a backend has to rely on whose memory the host does not see: state, state dicts, tensors, arrays of the user's own. */
import {
  AdamW,
  compileStep,
  type Optimizer,
  Rprop,
  reference,
  type SavedTensor,
  ScheduleFreeAdamW,
  SGD,
  saveSafetensors,
  type Tensor,
  tensor,
} from "stepjit";
import { beforeEach, describe, expect, test } from "vitest";
import { StepjitError } from "../src/error.ts";
import { Tensor as TensorClass } from "../src/tensor.ts";
import { tensorOn } from "./backends.ts";
import { BlindBackend } from "./blind.ts";
import { numbers } from "./models.ts";

let blind: BlindBackend;
beforeEach(() => {
  blind = new BlindBackend();
});

const f32 = (length: number, seed: number) => Float32Array.from(numbers(length, seed));
const gradients = (seed: number) => [f32(6, seed), f32(4, seed + 50)];
const code = (code: string, message = "") =>
  expect.objectContaining({ code, message: expect.stringContaining(message) });

/** Two parameters, a matrix and a vector, in a backend's memory. */
function start<T>(make: new (params: never, options: never) => T, options: object, on = reference()) {
  const tensors = [tensorOn(on, f32(6, 1), [2, 3]), tensorOn(on, f32(4, 2), [4])];
  const [w, b] = tensors;
  return { tensors, optimizer: new make({ w, b } as never, options as never) as T & Optimizer };
}

const read = (tensors: readonly Tensor[]) => Promise.all(tensors.map((one) => one.read()));

describe("state", () => {
  test("is asked for at once, slot by slot over all parameters, also what goes around and adds up", () => {
    const { optimizer } = start(AdamW, {}, blind);
    compileStep(optimizer, { backend: blind, accumulate: 2, ema: 0.9 });
    expect(blind.requests).toHaveLength(1);
    const asked = blind.requests[0]?.map(({ parameter, length, overElements }) => [
      parameter,
      length,
      overElements,
    ]);
    const slots = [...(optimizer.parameters[0]?.slots.keys() ?? [])];
    expect([...slots].sort()).toEqual(["average", "exp_avg", "exp_avg_sq", "grad_sum"]);
    expect(asked).toEqual(
      slots.flatMap(() => [
        [0, 6, true],
        [1, 4, true],
      ]),
    );
    compileStep(optimizer, { backend: blind, accumulate: 2, ema: 0.9 }); // all is there
    expect(blind.requests).toHaveLength(1);
  });

  test.each([
    ["AdamW", AdamW, { lr: 0.1, amsgrad: true }, {}],
    ["Rprop: filled with a number that is not 0", Rprop, {}, {}],
    [
      "ScheduleFreeAdamW: a copy of the parameter",
      ScheduleFreeAdamW,
      { lr: 0.1 },
      { clipNorm: 1, zeroGrad: true },
    ],
  ])("%s has the bits of the reference", async (_, make, options, around) => {
    const outcomes = [];
    for (const backend of [reference(), blind]) {
      const { tensors, optimizer } = start(make as never, options, backend);
      const step = compileStep(optimizer as Optimizer, { backend, ...around });
      for (const seed of [1, 2, 3]) step(gradients(seed));
      await step.finished();
      outcomes.push([await read(tensors), await (optimizer as Optimizer).stateDict()]);
    }
    expect(outcomes[1]).toEqual(outcomes[0]);
  });

  test("moves there from memory that the host sees, and to another one only as a state dict", async () => {
    const values = [f32(6, 1), f32(4, 2)];
    const moving = new AdamW(values);
    const expected = start(AdamW, {});
    const plain = compileStep(expected.optimizer, { backend: "reference" });
    compileStep(moving)(gradients(1));
    const step = compileStep(moving, { backend: blind });
    step(gradients(2));
    await step.finished();
    for (const seed of [1, 2]) plain(gradients(seed));
    expect(values).toEqual(await read(expected.tensors));
    const slotsOf = async (optimizer: Optimizer) =>
      Object.values((await optimizer.stateDict()).state).map(({ exp_avg, exp_avg_sq }) =>
        [exp_avg, exp_avg_sq].map((slot) => [...(slot as SavedTensor).data]),
      );
    expect(await slotsOf(moving)).toEqual(await slotsOf(expected.optimizer));
  });

  test.each([
    ["wasm", () => "wasm" as const],
    ["another device", () => new BlindBackend()],
  ])("that a step has filled is not moved to %s: nothing changes", async (_, other) => {
    const values = [f32(6, 1), f32(4, 2)];
    const optimizer = new AdamW({ w: values[0] as Float32Array, b: values[1] as Float32Array });
    const step = compileStep(optimizer, { backend: blind });
    compileStep(optimizer, { backend: other() }); // nothing is filled yet
    step(gradients(1));
    await step.finished();
    const before = [await optimizer.stateDict(), values.map((one) => one.slice())];
    expect(() => compileStep(optimizer, { backend: other() })).toThrow(
      code(
        "unsupported",
        'the state of parameter "w" is in a device\'s memory, which ' +
          `${other() === "wasm" ? "wasm" : "blind"} does not reach: take await optimizer.stateDict() and load it into a new optimizer`,
      ),
    );
    expect([await optimizer.stateDict(), values]).toEqual(before);
    step(gradients(2));
    await step.finished();
    expect(step.stats).toMatchObject({ steps: 2, plans: 2 }); // the other one was planned in between

    const resumed = new AdamW({
      w: tensor(values[0] as Float32Array, [6]),
      b: values[1]?.slice() as Float32Array,
    });
    resumed.loadStateDict(await optimizer.stateDict());
    compileStep(resumed)(gradients(3));
    step(gradients(3));
    expect(await resumed.stateDict()).toEqual(await optimizer.stateDict());
  });
});

describe("state dicts", () => {
  test("read all slots at the same time, as of the call", async () => {
    const { optimizer } = start(AdamW, {}, blind);
    const step = compileStep(optimizer, { backend: blind });
    step(gradients(1));
    const once = await optimizer.stateDict();
    blind.log.length = 0;
    const pending = optimizer.stateDict();
    expect(blind.log).toEqual(["read", "read", "read", "read"]);
    step(gradients(2));
    expect(await pending).toEqual(once);
    expect((await optimizer.stateDict()).state[0]?.step).toBe(2);
  });

  test("are of the call on wasm too", async () => {
    const optimizer = new AdamW({ w: f32(6, 1), b: f32(4, 2) });
    const step = compileStep(optimizer);
    step(gradients(1));
    const pending = [optimizer.stateDict(), optimizer.stateDict()] as const;
    const file = saveSafetensors(optimizer);
    step(gradients(2));
    expect((await pending[0]).state[0]?.step).toBe(1);
    expect(await pending[0]).toEqual(await pending[1]);
    expect(await file).not.toEqual(await saveSafetensors(optimizer));
  });

  test("are loaded at once, and go on to the bit", async () => {
    const [one, other] = [start(AdamW, {}, blind), start(AdamW, {}, blind)];
    const [step, resumed] = [one, other].map(({ optimizer }) => compileStep(optimizer, { backend: blind }));
    for (const seed of [1, 2]) step?.(gradients(seed));
    resumed?.(gradients(7)); // its slots are there, and are written over
    const saved = await one.optimizer.stateDict();
    for (const [i, data] of (await read(one.tensors)).entries()) other.tensors[i]?.write(data);
    other.optimizer.loadStateDict(saved);
    expect(await other.optimizer.stateDict()).toEqual(saved);
    for (const each of [step, resumed]) each?.(gradients(3));
    expect(await read(other.tensors)).toEqual(await read(one.tensors));
    expect(await other.optimizer.stateDict()).toEqual(await one.optimizer.stateDict());
  });

  test("averages are read too", async () => {
    const scenes = [reference(), blind].map((backend) => {
      const { optimizer } = start(ScheduleFreeAdamW, { lr: 0.1 }, backend);
      const step = compileStep(optimizer, { backend });
      step([f32(6, 3), null]);
      return optimizer;
    });
    const [expected, averages] = await Promise.all(scenes.map((one) => one.averagedParameters()));
    for (const name of ["w", "b"]) expect(averages?.[name]?.data).toEqual(expected?.[name]?.data);
  });
});

describe("a tensor", () => {
  test("is read as a copy and written; it has no data", async () => {
    const w = tensorOn(blind, Float32Array.of(1, 2, 3, 4), [2, 2]);
    const copy = await w.read();
    expect(copy).toEqual(Float32Array.of(1, 2, 3, 4));
    const numbers = [5, 6, 7, 8];
    w.write(numbers);
    numbers.fill(0);
    copy.fill(9);
    expect(await w.read()).toEqual(Float32Array.of(5, 6, 7, 8));
    expect(() => w.data).toThrow(code("device-memory", "await tensor.read()"));
    w.dispose();
    await expect(w.read()).rejects.toThrow(code("disposed"));
  });

  test.each([
    ["blind", () => blind.allocate("f32", 2)],
    ["reference", () => reference().allocate("f32", 2)],
  ])("checks what is written, on %s", async (_, allocate) => {
    const w = new TensorClass(allocate(), [2]);
    w.write([1, 0.1]);
    for (const [data, message] of [
      [[1], "was given 1 numbers; shape [2] takes 2"],
      [Float64Array.of(1, 2), "was given float64 numbers; the tensor is float32"],
      ["12", "takes a list of numbers"],
      [[1, "2"], "takes a list of numbers"],
      [undefined, "takes a list of numbers"],
    ] as const)
      expect(() => w.write(data as never)).toThrow(code("invalid-parameters", `tensor.write ${message}`));
    expect(await w.read()).toEqual(Float32Array.of(1, 0.1));
  });

  test("in a device's memory is neither parameter nor gradient of a step elsewhere", () => {
    const there = tensorOn(blind, f32(6, 1), [6]);
    expect(() => compileStep(new SGD({ w: there }))).toThrow(
      code("unsupported", 'SGD: parameter "w" is in a device\'s memory, which wasm does not reach'),
    );
    const values = f32(6, 2);
    const before = values.slice();
    expect(() => compileStep(new SGD({ w: values }))({ w: there })).toThrow(
      code(
        "invalid-gradient",
        'gradient of "w" is in a device\'s memory, which wasm does not reach: give await gradient.read()',
      ),
    );
    expect(values).toEqual(before);
  });

  test("appears once", () => {
    const storage = blind.allocate("f32", 3);
    const twins = [new TensorClass(storage, [3]), new TensorClass(storage, [3])];
    expect(() => new SGD(twins)).toThrow(code("invalid-parameters", "appears more than once"));
  });
});

describe("arrays of the user's own", () => {
  const one = Float32Array.of(1);
  /** SGD with lr 1 and a gradient of ones: each step takes 1. */
  const make = (values: Float32Array) => compileStep(new SGD([values], { lr: 1 }), { backend: blind });

  test("have a step's result after finished(), and count again from then on", async () => {
    const values = Float32Array.of(10);
    const step = make(values);
    step([one]);
    expect(step.stats.bytesCopied).toBe(8); // the gradient, and the parameter one way
    await step.finished();
    expect([...values]).toEqual([9]);
    values[0] = 100;
    step([one]);
    await step.finished();
    expect([...values]).toEqual([99]);
  });

  test("are not looked at while a result has not come back", async () => {
    const values = Float32Array.of(10);
    const step = make(values);
    step([one]);
    values[0] = 100;
    step([one]);
    expect(step.stats.bytesCopied).toBe(4);
    await step.finished();
    expect([...values]).toEqual([8]);
  });

  test("get what there was at the call of finished(); steps since then go on from theirs", async () => {
    const values = Float32Array.of(10);
    const step = make(values);
    step([one]);
    const [early, twin] = [step.finished(), step.finished()];
    await blind.delay(); // early is reading now
    step([one]);
    await early;
    expect([...values]).toEqual([9]);
    values[0] = 100; // the second step is ahead of this
    await twin;
    expect([...values]).toEqual([100]); // and nobody writes the first one's result again
    step([one]);
    await step.finished();
    expect([...values]).toEqual([7]);
  });

  test("keep what a plan before left, and get it after dispose() too", async () => {
    const values = Float32Array.of(10);
    const optimizer = new SGD([values], { lr: 1 });
    const step = compileStep(optimizer, { backend: blind });
    step([one]);
    const late = Float32Array.of(20);
    optimizer.addParamGroup({ params: [late] });
    step([one, one]);
    expect(step.stats.plans).toBe(2);
    step.dispose();
    await step.finished();
    expect([...values, ...late]).toEqual([8, 19]);
  });

  test("are read before a state dict is taken; another step has to wait for them", async () => {
    const values = Float32Array.of(10);
    const optimizer = new SGD([values], { lr: 1, momentum: 0.5 });
    const step = compileStep(optimizer, { backend: blind });
    step([one]);
    for (const backend of [blind, new BlindBackend(), "wasm"] as const)
      expect(() => compileStep(optimizer, { backend })).toThrow(
        code(
          "unsupported",
          "steps of another compiled step have not come back from its device: await step.finished() first",
        ),
      );
    await optimizer.stateDict();
    expect([...values]).toEqual([9]);
    const other = compileStep(optimizer, { backend: blind });
    other([one]);
    await other.finished();
    expect([...values]).toEqual([7.5]);
  });

  test("gradients among them are zeroed at once", async () => {
    const step = compileStep(new SGD([Float32Array.of(10)], { lr: 1 }), { backend: blind, zeroGrad: true });
    const gradient = Float32Array.of(3);
    step([gradient]);
    expect([...gradient]).toEqual([0]);
    await step.finished();
  });
});

test("a dtype that the backend does not work on is refused by name, before anything", () => {
  const single = new BlindBackend(["f32"]);
  const optimizer = new AdamW({ a: new Float32Array(2), w: new Float64Array(3) });
  expect(() => compileStep(optimizer, { backend: single })).toThrow(
    code("unsupported", 'AdamW: blind works on float32; parameter "w" is float64'),
  );
  expect(single.requests).toEqual([]);
  compileStep(optimizer, { backend: blind });
});

test("a device that fails is told by finished(), and the optimizer is not used further", async () => {
  const optimizer = new SGD([Float32Array.of(1)], { lr: 1 });
  const step = compileStep(optimizer, { backend: blind });
  step([Float32Array.of(1)]);
  blind.lost = new StepjitError("device-error", "the device was lost");
  await expect(step.finished()).rejects.toThrow(code("device-error"));
  expect(() => step([Float32Array.of(1)])).toThrow(code("poisoned"));
  await expect(optimizer.stateDict()).rejects.toThrow(code("poisoned"));
  step.dispose();
});

test("finished() resolves at once where steps are not queued", async () => {
  const step = compileStep(new SGD([tensor([2])]));
  step([new Float32Array(2)]);
  expect(await step.finished()).toBeUndefined();
});

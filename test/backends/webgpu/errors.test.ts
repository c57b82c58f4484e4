/** What goes wrong on a device is told, by a StepjitError, to whom it concerns; nothing hangs, and nothing else is disturbed. */
import {
  Adafactor,
  AdamW,
  type CompileOptions,
  compileStep,
  type ErrorCode,
  GradScaler,
  type Optimizer,
  SGD,
  type Tensor,
} from "stepjit";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { COPY_DST, COPY_SRC, STORAGE } from "../../../src/backends/webgpu/device.ts";
import { type WebGpu, WebGpu as WebGpuClass, webgpu } from "../../../src/webgpu.ts";
import { numbers } from "../../models.ts";
import { expectSameArrays } from "../../properties/compare.ts";
import { findNoGpu } from "./adapter.ts";
import { describeOnGpu, testDevice } from "./gpu.ts";

const f32 = (length: number, seed = 1) => Float32Array.from(numbers(length, seed));
const read = (tensors: readonly Tensor[]) => Promise.all(tensors.map((one) => one.read()));

/** A StepjitError of this code that says all of this. */
const error = (code: ErrorCode, ...texts: string[]) =>
  expect.objectContaining({
    name: "StepjitError",
    code,
    message: expect.stringMatching(new RegExp(texts.map((text) => escaped(text)).join("[^]*"))),
  });
const escaped = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
const LOST = error("device-error", "was lost", "new optimizer on a new device", "last state dict");

async function rejections(promises: readonly Promise<unknown>[]): Promise<unknown[]> {
  const outcomes = await Promise.allSettled(promises);
  return outcomes.map((outcome) => (outcome.status === "rejected" ? outcome.reason : "resolved"));
}
const all = (count: number, one: unknown) => Array.from({ length: count }, () => one);

let gpu: WebGpu;
beforeEach(() => {
  gpu = undefined as never;
});
afterEach(() => {
  gpu?.dispose();
});

const open = async () => new WebGpuClass(await testDevice(), undefined);

/** A matrix and a vector, and their gradients in each step. */
const SHAPES = { w: [30, 7], b: [300] };
const LENGTHS = [210, 300] as const;
const gradients = (step: number) => LENGTHS.map((length, i) => f32(length, 10 * step + i));

type Make = new (params: never, options?: never) => Optimizer;

function start(on: WebGpu, make: Make = AdamW as never, options: CompileOptions = {}) {
  const tensors = Object.entries(SHAPES).map(
    ([name, shape], i) => [name, on.tensor(f32(LENGTHS[i] as number, i), shape)] as const,
  );
  const optimizer = new make(tensors as never);
  const step = compileStep(optimizer, { backend: on, ...options });
  return { tensors: tensors.map(([, one]) => one), optimizer, step };
}

describeOnGpu("a lost device", () => {
  test("is told by every step, by finished() and by whatever else there is to do on it", async () => {
    gpu = await open();
    const { tensors, optimizer, step } = start(gpu);
    const [w] = tensors as [Tensor];
    step(gradients(1));
    await step.finished();
    gpu.device.destroy();
    await gpu.device.lost;
    for (let i = 0; i < 3; i++) expect(() => step(gradients(2))).toThrow(LOST);
    expect(await rejections([step.finished(), step.finished(), w.read()])).toEqual(all(3, LOST));
    for (const act of [
      () => step(gradients(2)),
      () => compileStep(new SGD([new Float32Array(3)]), { backend: gpu }),
      () => gpu.tensor([3]),
      () => w.write(new Float32Array(210)),
    ])
      expect(act).toThrow(LOST);
    expect(await rejections([optimizer.stateDict()])).toEqual([
      error("poisoned", "was lost", "load the last state dict"),
    ]);
    for (const one of [step, optimizer, ...tensors, gpu]) one.dispose();
  });

  test.each<[string, CompileOptions]>([
    ["plain", {}],
    ["whose commit the device decides", { scaler: new GradScaler() }],
  ])("rejects all that waits for queued steps: %s", async (_, options) => {
    gpu = await open();
    const { tensors, optimizer, step } = start(gpu, undefined, options);
    const mine = { w: f32(210), b: f32(300) };
    const arrays = compileStep(new AdamW(mine), { backend: gpu });
    arrays(gradients(1));
    await arrays.finished();
    const before = structuredClone(mine);
    const waiting = () => [
      step.finished(),
      optimizer.stateDict(),
      arrays.finished(),
      ...tensors.map((one) => one.read()),
    ];
    for (let i = 1; i < 5; i++) for (const one of [step, arrays]) one(gradients(i));
    const early = waiting();
    for (let i = 5; i < 9; i++) for (const one of [step, arrays]) one(gradients(i));
    gpu.device.destroy();
    step(gradients(9)); // nobody knows yet
    const late = waiting();
    expect(await rejections([...early, ...late])).toEqual(all(10, LOST));
    expect(() => step(gradients(10))).toThrow(LOST);
    expect(mine).toEqual(before);
    for (const one of [step, arrays]) one.dispose();
  });

  test("may be disposed of while steps are on their way", async () => {
    gpu = await open();
    const { step } = start(gpu, undefined, { scaler: new GradScaler() });
    step(gradients(1));
    gpu.device.destroy();
    step.dispose();
    await gpu.device.lost;
    await expect(step.finished()).rejects.toThrow(LOST);
  });

  test.each<[string, Make, CompileOptions]>([
    ["AdamW", AdamW as never, {}],
    ["AdamW, clipped and averaged", AdamW as never, { clipNorm: 1, ema: 0.9 }],
    ["Adafactor", Adafactor as never, {}],
  ])("is survived by the last state dict: %s", async (_, make, options) => {
    const undisturbed = await open();
    const expected = start(undisturbed, make, options);
    for (let i = 1; i <= 6; i++) expected.step(gradients(i));

    gpu = await open();
    const { tensors, optimizer, step } = start(gpu, make, options);
    for (let i = 1; i <= 3; i++) step(gradients(i));
    const [saved, values] = [await optimizer.stateDict(), await read(tensors)];
    for (let i = 4; i <= 5; i++) step(gradients(i));
    gpu.device.destroy();
    await expect(step.finished()).rejects.toThrow(LOST);

    gpu = await open();
    const rebuilt = start(gpu, make, options);
    rebuilt.tensors.forEach((one, i) => {
      one.write(values[i] as Float32Array);
    });
    rebuilt.optimizer.loadStateDict(saved);
    for (let i = 4; i <= 6; i++) rebuilt.step(gradients(i));
    await rebuilt.step.finished();
    expectSameArrays(await read(rebuilt.tensors), await read(expected.tensors));
    expect(await rebuilt.optimizer.stateDict()).toEqual(await expected.optimizer.stateDict());
    undisturbed.dispose();
  });
});

const SMALL = 210;
const LARGE = 30_000; // not copied, but bound

function bufferOf(length: number, label: string, mappedAtCreation = false): GPUBuffer {
  const usage = STORAGE | COPY_SRC | COPY_DST;
  return gpu.device.createBuffer({ label, size: 4 * length, usage, mappedAtCreation });
}

/** What makes a buffer unusable, and what repairs it where that is possible. */
const DAMAGES = [
  ["destroyed by its owner", false, (buffer: GPUBuffer) => buffer.destroy()],
  ["still mapped", true, () => {}],
] as const;

describeOnGpu("a buffer of the user's own", () => {
  beforeEach(async () => {
    gpu = await open();
  });

  describe.each(DAMAGES)("that is %s", (_, mapped, damage) => {
    test.each([
      ["small parameter", SMALL, "param", 'parameter "w"'],
      ["large parameter", LARGE, "param", 'parameter "w"'],
      ["small gradient", SMALL, "grad", 'gradient of "w"'],
      ["large gradient", LARGE, "grad", 'gradient of "w"'],
    ])("is told by name, and the optimizer not used further: a %s", async (_, length, role, name) => {
      const bystander = start(gpu);
      const buffer = bufferOf(length, "my buffer", mapped);
      const wrapped = gpu.wrap(buffer, [length]);
      const own = gpu.tensor([length]);
      const [w, gradient] = role === "param" ? [wrapped, own] : [own, wrapped];
      const optimizer = new AdamW({ v: gpu.tensor([5]), w });
      const step = compileStep(optimizer, { backend: gpu });
      damage(buffer);
      for (let i = 0; i < 2; i++) step({ v: f32(5), w: gradient });
      const told = error("device-error", "AdamW f32", name, "my buffer");
      const poisoned = error("poisoned", name, "Make a new optimizer");
      expect(await rejections([optimizer.stateDict(), step.finished(), step.finished()])).toEqual([
        poisoned,
        told,
        told,
      ]);
      for (let i = 0; i < 2; i++) expect(() => step([f32(5), null])).toThrow(poisoned);
      await expect(step.finished()).rejects.toThrow(told);
      bystander.step(gradients(1));
      await bystander.step.finished();

      if (!mapped) return;
      buffer.unmap();
      const again = compileStep(new AdamW({ w }), { backend: gpu });
      again([gradient]);
      await again.finished();
    });
  });

  test("that fails a step is told by the next one, too, where nobody waited", async () => {
    const buffer = bufferOf(LARGE, "my buffer");
    const step = compileStep(new SGD({ w: gpu.wrap(buffer, [LARGE]) }), { backend: gpu });
    buffer.destroy();
    step([gpu.tensor([LARGE])]);
    await gpu.device.queue.onSubmittedWorkDone();
    await gpu.finished(); // the device is well
    expect(() => step([gpu.tensor([LARGE])])).toThrow(error("poisoned", 'parameter "w"'));
  });

  test("fails a step that starts from it: ScheduleFree and averages copy the parameter", async () => {
    const buffer = bufferOf(SMALL, "my buffer");
    const options = { backend: gpu, swa: true, scaler: new GradScaler() };
    const step = compileStep(new SGD({ w: gpu.wrap(buffer, [SMALL]) }), options);
    buffer.destroy();
    step([f32(SMALL)]);
    await expect(step.finished()).rejects.toThrow(error("device-error", 'parameter "w"'));
    await gpu.finished();
  });

  test("may hold a hyperparameter: that is told by name", async () => {
    const buffer = bufferOf(1, "my buffer");
    const options = { lr: gpu.wrap(buffer, []) };
    const step = compileStep(new SGD({ w: gpu.tensor([3]) }, options), { backend: gpu });
    buffer.destroy();
    step([f32(3)]);
    await expect(step.finished()).rejects.toThrow(error("device-error", 'hyperparameter "lr"', "my buffer"));
  });

  test("is not looked at any more once its gradient is not given", async () => {
    for (const length of [SMALL, LARGE]) {
      const buffer = bufferOf(length, "my buffer");
      const step = compileStep(new SGD([gpu.tensor([length]), gpu.tensor([3])]), { backend: gpu });
      step([gpu.wrap(buffer, [length]), f32(3)]);
      buffer.destroy();
      step([null, f32(3)]);
      await step.finished();
    }
  });

  test("may be another device's: that is told by name", async () => {
    const other = await testDevice();
    const usage = STORAGE | COPY_SRC | COPY_DST;
    const buffer = other.createBuffer({ label: "theirs", size: 4 * LARGE, usage });
    const step = compileStep(new SGD({ w: gpu.wrap(buffer, [LARGE]) }), { backend: gpu });
    step([gpu.tensor([LARGE])]);
    await expect(step.finished()).rejects.toThrow(error("device-error", 'parameter "w"'));
  });

  test.each([
    ["read", (one: Tensor) => one.read()],
    ["step", (one: Tensor) => compileStep(new SGD({ w: one }), { backend: gpu })([f32(SMALL)])],
  ])("that could not be written is told by the next %s, once", async (_, use) => {
    const buffer = bufferOf(SMALL, "my buffer", true);
    const one = gpu.wrap(buffer, [SMALL]);
    one.write(f32(SMALL));
    await gpu.finished();
    const told = error("device-error", "writing", "my buffer", "mapped");
    await expect((async () => use(one))()).rejects.toThrow(told);
    buffer.unmap();
    one.write(f32(SMALL, 2));
    expect(await one.read()).toEqual(f32(SMALL, 2));
  });

  test("that cannot be read rejects, and that is all", async () => {
    const buffer = bufferOf(SMALL, "my buffer");
    const one = gpu.wrap(buffer, [SMALL]);
    buffer.destroy();
    expect(await rejections([one.read(), one.read()])).toEqual(
      all(2, error("device-error", "reading", "my buffer")),
    );
    expect(await gpu.tensor([2]).read()).toEqual(new Float32Array(2));
  });
});

describe("memory that a device does not have", async () => {
  const found = await findNoGpu();
  const MIB = 1 << 20;
  const uncaught: string[] = [];

  /** Of 512 MiB in all. */
  async function openSmall(): Promise<WebGpu> {
    if (found.reason !== undefined) throw new Error(found.reason);
    const adapter = (await found.gpu.requestAdapter()) as GPUAdapter;
    const device = await adapter.requestDevice();
    device.addEventListener("uncapturederror", (event) => uncaught.push(event.error.message));
    return new WebGpuClass(device, undefined);
  }

  beforeEach(async () => {
    gpu = await openSmall();
  });
  afterEach(async () => {
    await gpu.device.queue.onSubmittedWorkDone();
    expect(uncaught.splice(0)).toEqual([]);
    gpu.device.destroy();
  });

  const tensors = (count: number, mib: number) =>
    Array.from({ length: count }, () => gpu.tensor([(mib * MIB) / 4]));
  const none = (what: string) => error("out-of-memory", "webgpu: no memory for", what);

  test("is told by what is done with the tensor, and other tensors are not disturbed", async () => {
    const large = tensors(2, 250);
    const [third] = tensors(1, 15) as [Tensor];
    const data = new Float32Array(third.size);
    third.write(data); // nobody knows yet
    await expect(third.read()).rejects.toThrow(none(`${15 * MIB} bytes of tensors`));
    await expect(third.read()).rejects.toThrow(none("tensors"));
    expect(() => third.write(data)).toThrow(none("tensors"));
    await gpu.finished();
    const step = compileStep(new SGD([gpu.tensor([5])]), { backend: gpu });
    step([f32(5)]);
    await step.finished();
    for (const one of [...large, third]) one.dispose();
  });

  test.each<[string, boolean, number, typeof SGD, CompileOptions]>([
    ["tensors", false, 4, SGD, {}],
    ["tensors", true, 4, SGD, {}],
    ["state", false, 1, AdamW as never, {}],
    ["state", true, 1, AdamW as never, {}],
    ["state", false, 2, SGD, { ema: 0.9 }],
  ])("fails a step that needs it: for %s, known before: %s", async (what, known, count, make, options) => {
    const [gradient, ...params] = tensors(1 + count, 130) as [Tensor, ...Tensor[]];
    const step = compileStep(new make(params), { backend: gpu, ...options });
    const given = params.map((_, i) => (i === count - 1 ? gradient : null));
    const small = compileStep(new SGD([gpu.tensor([5])]), { backend: gpu });
    if (known) await gpu.finished();
    if (known) expect(() => step(given)).toThrow(none(what));
    else step(given);
    await expect(step.finished()).rejects.toThrow(none(what));
    expect(() => step(given)).toThrow(error("poisoned", "no memory for", what));
    small([f32(5)]);
    await small.finished();
  });
});

describeOnGpu("what a device refuses to compile", () => {
  test("fails the steps that need it, and says what it is", async () => {
    gpu = await open();
    const compile = gpu.compile.bind(gpu);
    gpu.compile = (text) => compile(text.replace("fn main(", "fn brain("));
    const { step } = start(gpu);
    step(gradients(1));
    const told = error("device-error", "compiling stepjit AdamW f32", "main");
    await expect(step.finished()).rejects.toThrow(told);
    expect(() => step(gradients(1))).toThrow(error("poisoned", "compiling stepjit AdamW f32"));
    expect(await gpu.tensor([2]).read()).toEqual(new Float32Array(2));
  });
});

describeOnGpu("inputs", () => {
  beforeEach(async () => {
    gpu = await open();
  });

  test("float64 parameters are refused by name", () => {
    const optimizer = new AdamW({ a: new Float32Array(2), w: new Float64Array(3) });
    expect(() => compileStep(optimizer, { backend: gpu })).toThrow(
      error("unsupported", 'AdamW: webgpu works on float32; parameter "w" is float64'),
    );
  });

  test("tensors of another device are refused by name", async () => {
    const other = await open();
    const there = other.tensor([3]);
    expect(() => compileStep(new SGD({ w: there }), { backend: gpu })).toThrow(
      error("unsupported", 'SGD: parameter "w" is in a device\'s memory, which webgpu does not reach'),
    );
    const step = compileStep(new SGD({ w: gpu.tensor([3]) }), { backend: gpu });
    expect(() => step({ w: there })).toThrow(error("invalid-gradient", 'gradient of "w"', "does not reach"));
    step({ w: f32(3) });
    await step.finished();
    other.dispose();
  });

  test("nothing is used after dispose()", async () => {
    const { step, optimizer, tensors } = start(gpu);
    step(gradients(1));
    step.dispose();
    expect(() => step(gradients(2))).toThrow(error("disposed", "a step of AdamW"));
    const other = compileStep(optimizer, { backend: gpu });
    other(gradients(2));
    gpu.dispose();
    gpu.dispose();
    const disposed = error("disposed", "webgpu backend", "dispose()");
    for (const act of [
      () => other(gradients(3)),
      () => other(gradients(3)),
      () => gpu.tensor([2]),
      () => tensors[0]?.write(f32(210)),
      () => compileStep(new SGD([f32(2)]), { backend: gpu }),
    ])
      expect(act).toThrow(disposed);
    expect(await rejections([other.finished(), (tensors[0] as Tensor).read()])).toEqual(all(2, disposed));
    for (const one of [other, optimizer, ...tensors]) one.dispose();
  });

  test("a tensor has no data: it is read", () => {
    expect(() => gpu.tensor([2]).data).toThrow(error("device-memory", "await tensor.read()"));
  });

  test.each([
    [3, "webgpu: options are an object"],
    [null, "webgpu: options are an object"],
    [{ divice: 1 }, 'webgpu: no option "divice"; there are device, powerPreference'],
    [{ device: {} }, "webgpu: device is a GPUDevice, got"],
    [{ device: null }, "webgpu: device is a GPUDevice, got null"],
    [{ powerPreference: "fast" }, 'webgpu: powerPreference is "low-power" or "high-performance", got "fast"'],
  ])("options %j are refused", async (options, message) => {
    await expect(webgpu(options as never)).rejects.toThrow(error("invalid-option", message));
  });

  test("what is wrapped is checked", () => {
    const usage = STORAGE | COPY_SRC | COPY_DST;
    const buffer = gpu.device.createBuffer({ size: 16, usage });
    const readOnly = gpu.device.createBuffer({ size: 16, usage: STORAGE });
    for (const [act, message] of [
      [() => gpu.wrap({} as never, [4]), "buffer is a GPUBuffer, got"],
      [() => gpu.wrap(buffer, [5]), "shape [5] takes 20 bytes from 0 on; the buffer has 16"],
      [() => gpu.wrap(buffer, [2], 12), "shape [2] takes 8 bytes from 12 on; the buffer has 16"],
      [() => gpu.wrap(buffer, [1], 2), "offset is a multiple of 4, at least 0, got 2"],
      [() => gpu.wrap(readOnly, [4]), "the buffer lacks usage COPY_SRC, COPY_DST"],
    ] as const)
      expect(act).toThrow(error("invalid-parameters", message));
  });
});

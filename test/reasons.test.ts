/** For each thing that may change: what is done again, and the reason that is given. */
import {
  Adafactor,
  AdamW,
  type Backend,
  compileStep,
  type Optimizer,
  reference,
  SGD,
  scalar,
  type Tensor,
  tensor,
  wasm,
} from "stepjit";
import { afterAll, describe, expect, test } from "vitest";
import { WebGpu } from "../src/webgpu.ts";
import { describeOnGpu, limited, testDevice } from "./backends/webgpu/gpu.ts";
import { fresh } from "./fresh.ts";

type Make = new (parameters: Record<string, Tensor>, options?: object) => Optimizer;

/** A step of `make` over a matrix, after its first call. `again`: calls it, and gives what it did and why. */
function start(make: Make, backend: Backend, options: object = {}) {
  const optimizer = new make({ w: tensor([4, 3]) }, options);
  const step = compileStep(optimizer, { backend });
  const gradients: Record<string, Float32Array | Float64Array | null> = { w: new Float32Array(12).fill(1) };
  step(gradients);
  const again = () => {
    const { length } = step.events;
    step(gradients);
    return step.events.slice(length).map(({ kind, kernel, reason }) => `${kernel ?? kind}: ${reason}`);
  };
  return { optimizer, step, gradients, again, group: optimizer.paramGroups[0] as never as object };
}

const BACKENDS = { reference: reference(), wasm: wasm({ threads: 1 }) };
afterAll(() => {
  for (const backend of Object.values(BACKENDS)) backend.dispose();
});

describe.each(Object.entries(BACKENDS))("on %s", (_, backend) => {
  test("a number for lr, then another one, then a scalar: nothing", () => {
    const { group, again } = start(fresh(AdamW), backend);
    Object.assign(group, { lr: 0.5 });
    expect(again()).toEqual([]);
    Object.assign(group, { lr: scalar(0.25) });
    expect(again()).toEqual([]);
  });

  test("a missing gradient: nothing", () => {
    const { gradients, again } = start(fresh(AdamW), backend);
    gradients.w = null;
    expect(again()).toEqual([]);
  });

  test("a flag: its class", () => {
    const { group, again } = start(fresh(AdamW), backend);
    Object.assign(group, { amsgrad: true });
    expect(again()).toEqual([
      "trace: param group 0, amsgrad: false → true",
      "AdamW f32 amsgrad hasFirstMoment, phase 0: param group 0, amsgrad: false → true",
      "plan: param group 0, amsgrad: false → true",
    ]);
  });

  test("momentum raised from 0: state appears", () => {
    const { group, again } = start(fresh(SGD), backend, { lr: 0.1 });
    Object.assign(group, { momentum: 0.9 });
    const reason = "param group 0, hasMomentum: false → true (momentum 0 → 0.9)";
    expect(again()).toEqual([
      `trace: ${reason}`,
      `SGD f32 hasMomentum, phase 0: ${reason}`,
      `plan: ${reason}`,
    ]);
    Object.assign(group, { momentum: 0 });
    expect(again()).toEqual([]);
  });

  test("another dtype: its class", () => {
    const { optimizer, gradients, again } = start(fresh(SGD), backend);
    optimizer.addParamGroup({ params: { b: tensor([3], "float64") } });
    gradients.b = new Float64Array(3);
    expect(again()).toEqual([
      'trace: param group 1: new, "b" (float64)',
      expect.stringMatching(/^SGD .*f64.*, phase 0: param group 1: new, "b" \(float64\)$/),
      'plan: param group 1: new, "b" (float64)',
    ]);
  });

  test("a new rank: its class", () => {
    const { optimizer, gradients, again } = start(fresh(Adafactor), backend);
    optimizer.addParamGroup({ params: { b: tensor([3]) } });
    gradients.b = new Float32Array(3);
    const events = again();
    expect(events[0]).toBe('trace: param group 1: new, "b" (float32)');
    expect(events.at(-1)).toBe('plan: param group 1: new, "b" (float32)');
    for (const event of events.slice(1, -1))
      expect(event).toMatch(/^Adafactor f32.*, phase \d: param group 1: new, "b" \(float32\)$/);
    expect(events.length).toBeGreaterThan(2);
  });

  test("other shapes of a class that is known: another plan, no compile", () => {
    const make = fresh(AdamW);
    const { optimizer, gradients, again } = start(make, backend);
    optimizer.addParamGroup({ params: { b: tensor([7]), c: tensor([2, 2]) } });
    Object.assign(gradients, { b: new Float32Array(7), c: new Float32Array(4) });
    expect(again()).toEqual(["plan: param group 1: new, 2 parameters (float32)"]);
    const other = compileStep(new make({ w: tensor([100, 50]) }), { backend });
    expect(other.events.map(({ kind, reason }) => `${kind}: ${reason}`)).toEqual(["plan: first step"]);
  });

  test("a state dict: another plan", async () => {
    const { optimizer, again } = start(fresh(AdamW), backend);
    optimizer.loadStateDict(await optimizer.stateDict());
    expect(again()).toEqual(["plan: state dicts loaded: 0 → 1"]);
  });
});

test("another backend: kernels, and no trace", () => {
  const { optimizer } = start(fresh(AdamW), BACKENDS.wasm);
  const step = compileStep(optimizer, { backend: reference() });
  expect(step.events.map(({ kind, kernel, reason }) => `${kernel ?? kind}: ${reason}`)).toEqual([
    "AdamW f32 hasFirstMoment, phase 0: first step",
    "plan: first step",
  ]);
});

describeOnGpu("on webgpu", () => {
  test("a scalar on the device for lr: one kernel, of scalars", async () => {
    const gpu = new WebGpu(await testDevice(), undefined);
    const { group, step, again } = start(fresh(AdamW), gpu);
    Object.assign(group, { lr: gpu.tensor([0.5], []) });
    expect(again()).toEqual([
      "programs, phase 0: hyperparameters on the device: none → lr",
      "plan: hyperparameters on the device: none → lr",
    ]);
    await step.finished();
    gpu.dispose();
  });

  test("another device, which can do less: the same texts, on that device", async () => {
    const device = await testDevice();
    const [large, small] = [device, limited(device, { maxStorageBufferBindingSize: 1 << 19 })].map(
      (one) => new WebGpu(one, undefined),
    ) as [WebGpu, WebGpu];
    const make = fresh(AdamW);
    const [one, other] = [start(make, large).step, start(make, small).step];
    expect(other.dump("text")).toBe(one.dump("text"));
    expect(other.events.map(({ kind, kernel, reason }) => `${kernel ?? kind}: ${reason}`)).toEqual([
      "AdamW f32 hasFirstMoment, phase 0: first step",
      "plan: first step",
    ]);
    for (const step of [one, other]) await step.finished();
    for (const gpu of [large, small]) gpu.dispose();
  });
});

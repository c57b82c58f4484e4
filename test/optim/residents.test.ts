/** Hyperparameters in tensors of one element: read by the host where it sees them, by the device where only that knows the number. */
import {
  Adam,
  AdamW,
  compileStep,
  type Optimizer,
  Rprop,
  ScheduleFreeAdamW,
  SGD,
  type Tensor,
  tensor,
} from "stepjit";
import { StepLR } from "stepjit/schedulers";
import { beforeAll, describe, expect, test } from "vitest";
import { WebGpu } from "../../src/webgpu.ts";
import { describeOnGpu, testDevice } from "../backends/webgpu/gpu.ts";
import { BACKENDS, tensorOn } from "../backends.ts";
import { BlindBackend } from "../blind.ts";
import { expectClose, numbers } from "../models.ts";

const f32 = (length: number, seed: number) => Float32Array.from(numbers(length, seed));
const refusal = (code: string, message: string) =>
  expect.objectContaining({ code, message: expect.stringContaining(message) });
const groupOf = (optimizer: Optimizer) => optimizer.paramGroups[0] as Optimizer["paramGroups"][number];

describe.each(BACKENDS.filter(({ backend }) => backend.programs === "host"))(
  "on $name, a tensor that the host sees",
  ({ backend }) => {
    test("is read at every step, as a number would be, and written to", async () => {
      const lr = tensor([0.5], []);
      const [one, other] = [f32(5, 1), f32(5, 1)];
      const bound = new AdamW([one], { lr, betas: [tensor([0.75], [1]), 0.5] });
      const plain = new AdamW([other], { lr: 0.5, betas: [0.75, 0.5] });
      const steps = [bound, plain].map((optimizer) => compileStep(optimizer, { backend }));
      const both = (seed: number) => {
        for (const step of steps) step([f32(5, seed)]);
        expect(one).toEqual(other);
      };
      both(2);
      lr.data[0] = 0.125;
      groupOf(plain).assign({ lr: 0.125 });
      both(3);
      for (const optimizer of [bound, plain]) groupOf(optimizer).assign({ lr: 0.25, betas: [0, 0.25] });
      expect([...lr.data]).toEqual([0.25]);
      both(4);
      expect(groupOf(bound).settings).toMatchObject({ lr: 0.25, betas: [0, 0.25] });
      expect(await bound.stateDict()).toEqual(await plain.stateDict());
      expect(steps[0]?.events.filter(({ step }) => step > 0)).toEqual([]);
    });

    test("is checked at every step", () => {
      const lr = tensor([0.5], []);
      const values = f32(5, 1);
      const step = compileStep(new AdamW([values], { lr }), { backend });
      lr.data[0] = -1;
      expect(() => step([f32(5, 2)])).toThrow(
        refusal(
          "invalid-hyperparameter",
          "AdamW, param group 0: lr has to be a finite number, at least 0, got -1",
        ),
      );
      lr.dispose();
      expect(() => step([f32(5, 2)])).toThrow(refusal("disposed", "dispose()"));
      expect(values).toEqual(f32(5, 1));
    });
  },
);

test("a tensor of other than one element is no number", () => {
  for (const lr of [tensor([2]), tensor([0])])
    expect(() => new AdamW([f32(2, 1)], { lr })).toThrow(
      refusal("invalid-hyperparameter", "lr is a number (or scalars, or tensors of one element), got Tensor"),
    );
  expect(() => new AdamW([f32(2, 1)], { betas: tensor([1]) as never })).toThrow(
    refusal("invalid-hyperparameter", "betas is 2 numbers"),
  );
});

test("two groups that share a tensor are scheduled to one value", () => {
  const lr = tensor([0.5], []);
  const optimizer = new SGD([
    { params: [f32(1, 1)], lr },
    { params: [f32(1, 2)], lr },
  ]);
  const scheduler = new StepLR(optimizer, { stepSize: 1, gamma: 0.5 });
  scheduler.step();
  expect([...lr.data]).toEqual([0.25]);
});

describe("a tensor that only a device sees", () => {
  const blind = new BlindBackend();
  const there = (number: number) => tensorOn(blind, Float32Array.of(number), []);

  test("is what one reads, and takes what one assigns", async () => {
    const [lr, beta] = [there(0.5), there(0.75)];
    const optimizer = new AdamW([f32(2, 1)], { lr, betas: [beta, 0.5] });
    const group = groupOf(optimizer);
    expect(group.settings.lr).toBe(lr);
    expect(group.settings.betas).toEqual([beta, 0.5]);
    expect([...group.residents.keys()]).toEqual(["lr", "betas.0"]);
    expect([...group.numbers].slice(0, 3)).toEqual([Number.NaN, Number.NaN, 0.5]);
    group.assign({ lr: 0.125, betas: [0.25, 0.25] });
    expect([await lr.read(), await beta.read()]).toEqual([Float32Array.of(0.125), Float32Array.of(0.25)]);
    expect(() => group.assign({ lr: -1 })).toThrow(refusal("invalid-hyperparameter", "at least 0, got -1"));
    expect(group.settings.betas).toEqual([beta, 0.25]);

    const saved = await optimizer.stateDict();
    expect(saved.param_groups[0]).toMatchObject({ lr: 0.125, betas: [0.25, 0.25] });
    lr.write([7]);
    optimizer.loadStateDict(saved);
    expect(await lr.read()).toEqual(Float32Array.of(0.125));
    const plain = new AdamW([f32(2, 1)]);
    plain.loadStateDict(saved);
    expect(groupOf(plain).settings).toMatchObject({ lr: 0.125, betas: [0.25, 0.25] });
  });

  test("may be read as null where that is allowed", async () => {
    const { Adafactor } = await import("stepjit");
    const optimizer = new Adafactor([f32(2, 1)], { eps: [there(Number.NaN), 1e-3] });
    expect((await optimizer.stateDict()).param_groups[0]?.eps).toEqual([null, 1e-3]);
  });

  test("is refused by a step that does not reach it, whenever it is bound", () => {
    const optimizer = new AdamW([f32(2, 1)], { betas: [0.9, there(0.5)] });
    const message =
      "AdamW, param group 0: betas.1 is a tensor in a device's memory, which wasm does not reach";
    expect(() => compileStep(optimizer)).toThrow(refusal("unsupported", message));
    const values = f32(2, 1);
    const later = new AdamW([values]);
    const step = compileStep(later);
    groupOf(later).assign({ betas: [0.9, there(0.5)] });
    expect(() => step([f32(2, 2)])).toThrow(refusal("unsupported", message));
    expect(values).toEqual(f32(2, 1));
  });

  test("is not scaled by name", () => {
    const params = () => ({ bias: f32(2, 1), w: f32(2, 2) });
    const scales = [{ match: /bias/, lr: 0.5 }];
    const message = "AdamW, param group 0: lr is scaled by name for some parameters";
    expect(() => new AdamW(params(), { lr: there(1), scales })).toThrow(refusal("invalid-option", message));
    const optimizer = new AdamW(params(), { lr: 0.5, scales });
    expect(() => groupOf(optimizer).assign({ lr: there(1) })).toThrow(refusal("invalid-option", message));
    expect(groupOf(optimizer).settings.lr).toBe(0.5);
  });

  test("decides on nothing: flags are as for a number that is not 0, rules that look at it say nothing", () => {
    const momentum = there(0);
    const optimizer = new SGD([f32(2, 1)], { momentum, nesterov: true });
    expect(groupOf(optimizer).flags).toMatchObject({ hasMomentum: true });
    expect(() => new SGD([f32(2, 1)], { lr: there(1), nesterov: true })).toThrow(
      refusal("invalid-hyperparameter", "nesterov needs a momentum"),
    );
  });

  test("is no start for a scheduler", () => {
    const optimizer = new SGD([f32(2, 1)], { lr: there(1) });
    expect(() => new StepLR(optimizer, { stepSize: 1 })).toThrow(
      refusal("unsupported", "param group 0: lr is a tensor on a device"),
    );
  });
});

describeOnGpu("a number on a device", () => {
  let gpu: WebGpu;
  beforeAll(async () => {
    gpu = new WebGpu(await testDevice(), undefined);
  });
  const there = (number: number) => gpu.tensor([number], []);
  const GRADIENTS = [2, 3, 4, 5].map((seed) => f32(6, seed));

  /** Optimizers in two groups of a parameter each, the second with numbers of the host's. */
  function start<T>(make: new (params: never) => T, first: object, second: object) {
    const tensors = [gpu.tensor(f32(6, 1), [6]), gpu.tensor(f32(6, 9), [2, 3])] as const;
    const groups = [
      { params: { a: tensors[0] }, ...first },
      { params: { b: tensors[1] }, ...second },
    ];
    return { tensors, optimizer: new make(groups as never) as T & Optimizer };
  }

  async function expectSame(actual: readonly Tensor[], expected: readonly Tensor[]): Promise<void> {
    for (const [i, one] of actual.entries())
      expectClose(await one.read(), [...((await expected[i]?.read()) ?? [])], 5e-6);
  }

  test.each([
    ["AdamW", AdamW, { lr: 0.1 }, {}],
    ["AdamW", AdamW, { lr: 0.1, betas: [0.5, 0.75], weightDecay: 0.25 }, {}],
    ["SGD", SGD, { lr: 0.1, momentum: 0.5, dampening: 0.25 }, { nesterov: false }],
    ["Adam", Adam, { lr: 0.1, eps: 1e-2 }, { amsgrad: true }],
  ])("is what a number of the host's is: %s %o", async (_, make, settings, flags) => {
    const resident = Object.fromEntries(
      Object.entries(settings).map(([name, value]) => [
        name,
        Array.isArray(value) ? value.map(there) : there(value as number),
      ]),
    );
    const one = start<Optimizer>(make as never, { ...resident, ...flags }, { lr: 0.2 });
    const other = start<Optimizer>(make as never, { ...settings, ...flags }, { lr: 0.2 });
    const steps = [one, other].map(({ optimizer }) => compileStep(optimizer, { backend: gpu, clipNorm: 1 }));
    for (const gradient of GRADIENTS) for (const step of steps) step([gradient, gradient]);
    for (const step of steps) await step.finished();
    await expectSame(one.tensors, other.tensors);
    const dicts = [await one.optimizer.stateDict(), await other.optimizer.stateDict()];
    const lrs = dicts.map(({ param_groups }) => param_groups.map(({ lr }) => Math.fround(lr as number)));
    expect(lrs[0]).toEqual(lrs[1]);
  });

  test("may change on the device, and compiles nothing", async () => {
    const lr = there(0.5);
    const w = gpu.tensor([10], [1]);
    const step = compileStep(new SGD({ w }, { lr }), { backend: gpu });
    step([Float32Array.of(1)]);
    lr.write([2]);
    step([Float32Array.of(1)]);
    expect(await w.read()).toEqual(Float32Array.of(7.5));
    expect(step.events.filter(({ step }) => step > 0)).toEqual([]);
  });

  test("is part of the key: which are on the device, not where, nor in which group", async () => {
    const { optimizer, tensors } = start(SGD, { lr: 1 }, { lr: 1 });
    const step = compileStep(optimizer, { backend: gpu });
    const run = () => {
      const { length } = step.events;
      step([f32(6, 2), f32(6, 3)]);
      return step.events.slice(length).map(({ kind, reason }) => `${kind}: ${reason}`);
    };
    const [first, second] = optimizer.paramGroups as [
      (typeof optimizer.paramGroups)[0],
      (typeof optimizer.paramGroups)[0],
    ];
    expect(run()).toEqual([]);
    first?.assign({ lr: there(1) });
    expect(run().at(-1)).toBe("plan: hyperparameters on the device: none → lr");
    second?.assign({ lr: there(0) });
    first?.assign({ lr: 0.5 });
    expect(run()).toEqual([]);
    first?.assign({ lr: there(0.25) }); // another tensor in place of the first
    expect(run()).toEqual([]);
    await step.finished();
    const moved = f32(6, 1).map((x, i) => x - 1.75 * (f32(6, 2)[i] as number) - (f32(6, 2)[i] as number));
    expectClose(await tensors[0].read(), [...moved], 5e-6);
  });

  test("averages are computed from it", async () => {
    const averages = await Promise.all(
      [
        [there(0.75), 0.9],
        [0.75, 0.9],
      ].map((betas) => {
        const optimizer = new ScheduleFreeAdamW({ w: gpu.tensor(f32(4, 1), [4]) }, {
          lr: 0.1,
          betas,
        } as never);
        const step = compileStep(optimizer, { backend: gpu });
        for (const seed of [1, 2]) step([f32(4, seed)]);
        return optimizer.averagedParameters();
      }),
    );
    expectClose(averages[0]?.w?.data ?? [], [...(averages[1]?.w?.data ?? [])], 5e-6);
  });

  test("is none that state starts from", () => {
    const optimizer = new Rprop({ w: gpu.tensor([2]) }, { lr: there(0.5) });
    expect(() => compileStep(optimizer, { backend: gpu })).toThrow(
      refusal(
        "unsupported",
        "Rprop, param group 0: state step_size starts from a hyperparameter that is on a device",
      ),
    );
  });
});

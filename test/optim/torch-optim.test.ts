/** What the recorded cases of torch.optim do not show: defaults, bounds, what compiles, and when state is read and made. */
import "stepjit/vitest";
import {
  Adadelta,
  Adagrad,
  Adamax,
  ASGD,
  compileStep,
  NAdam,
  type Optimizer,
  RAdam,
  RMSprop,
  Rprop,
  type StateDict,
  scalar,
  tensor,
} from "stepjit";
import { describe, expect, test } from "vitest";
import { expectClose, numbers } from "../models.ts";
import { GOLDEN_CASES } from "./torch.ts";
import { gradientsOf, startCase } from "./torch-case.ts";

type Make = new (params: object, options?: object) => Optimizer;

const OPTIMIZERS: Readonly<Record<string, Make>> = {
  Adamax,
  NAdam,
  RAdam,
  Adadelta,
  Adagrad,
  RMSprop,
  Rprop,
  ASGD,
} as never;
/** What pairs are changed to. */
const PAIRS: Readonly<Record<string, readonly (readonly [number, number])[]>> = {
  betas: [
    [0.5, 0.75],
    [0, 0],
  ],
  etas: [[0.25, 2]],
  stepSizes: [
    [1e-3, 1],
    [0, 0],
  ],
};
const f64 = (...values: number[]) => Float64Array.from(values);

describe.each(Object.keys(OPTIMIZERS))("%s as torch has it", (name) => {
  const mine = GOLDEN_CASES.filter(({ optimizer, groups }) => optimizer === name && !groups);

  test("options and defaults", async () => {
    const golden = mine.find(({ kwargs }) => Object.keys(kwargs).length === 0);
    const [saved] = (await startCase(golden as never).optimizer.stateDict()).param_groups;
    const { foreach, fused, capturable, differentiable, ...expected } = golden?.param_groups[0] ?? {};
    expect(saved).toEqual(expected);
  });

  test.each(mine)("state and its order: $name ($dtype)", async (golden) => {
    const { optimizer } = startCase(golden);
    const step = compileStep(optimizer, { backend: "reference" });
    for (let i = 1; i <= golden.grads.length; i++) step(gradientsOf(golden, i));
    const { state } = await optimizer.stateDict();
    optimizer.parameters.forEach(({ name }, id) => {
      expect(Object.keys(state[id] ?? {})).toEqual(Object.keys(golden.state[name] ?? {}));
    });
  });

  test.each(["reference", "wasm"] as const)(
    "a state dict in the middle changes nothing, on %s",
    async (backend) => {
      const golden = mine.find(({ dtype }) => dtype === "float32") as (typeof mine)[number];
      const [through, first, second] = [startCase(golden), startCase(golden), startCase(golden)];
      const run = (optimizer: Optimizer, from: number, to: number) => {
        const step = compileStep(optimizer, { backend });
        for (let i = from; i <= to; i++) step(gradientsOf(golden, i));
      };
      run(through.optimizer, 1, 8);
      run(first.optimizer, 1, 4);
      for (const { name } of golden.params)
        second.params[name]?.data.set(first.params[name]?.data as Float32Array);
      second.optimizer.loadStateDict(structuredClone(await first.optimizer.stateDict()));
      run(second.optimizer, 5, 8);
      for (const { name } of golden.params)
        expect(second.params[name]?.data).toEqual(through.params[name]?.data);
      expect(await second.optimizer.stateDict()).toEqual(await through.optimizer.stateDict());
    },
  );
});

test.each([
  [Adamax, { lr: -1 }],
  [Adamax, { betas: [0.9, 1] }],
  [Adamax, { eps: -1e-8 }],
  [NAdam, { betas: [-0.1, 0.9] }],
  [NAdam, { momentumDecay: -1e-3 }],
  [RAdam, { betas: [1, 0.9] }],
  [RAdam, { weightDecay: -0.1 }],
  [Adadelta, { rho: 1.01 }],
  [Adadelta, { rho: -0.01 }],
  [Adagrad, { lrDecay: -1 }],
  [Adagrad, { initialAccumulatorValue: -1 }],
  [Adagrad, { eps: -1 }],
  [RMSprop, { alpha: -0.1 }],
  [RMSprop, { momentum: -0.1 }],
  [Rprop, { lr: -1 }],
  [Rprop, { etas: [0, 1.2] }],
  [Rprop, { etas: [0.5, 1] }],
  [Rprop, { etas: [1, 1.2] }],
  [Rprop, { stepSizes: [1e-6] }],
  [ASGD, { lr: -1 }],
  [ASGD, { weightDecay: -1 }],
])("%o refuses %o, when made and when assigned", (Class, options) => {
  const Made = Class as unknown as Make;
  const refused = expect.objectContaining({ code: "invalid-hyperparameter" });
  expect(() => new Made([tensor([1])], options)).toThrow(refused);
  const [group] = new Made([tensor([1])]).paramGroups;
  expect(() => group?.assign(options)).toThrow(refused);
});

test.each([
  [Adadelta, { rho: 1 }],
  [RMSprop, { alpha: 1.5 }],
  [Rprop, { stepSizes: [2, 1] }],
  [ASGD, { lambd: -1, alpha: -1, t0: -1 }],
])("%o takes %o, as torch does", (Class, options) => {
  const [group] = new (Class as unknown as Make)([tensor([1])], options).paramGroups;
  expect(group).toMatchObject(options);
});

describe.each(["reference", "wasm"] as const)("on %s", (backend) => {
  test.each(Object.entries(OPTIMIZERS))("%s: one launch, and no number compiles anything", (_, Class) => {
    const { hyper, flags = {} } = new Class([tensor([1])]).definition;
    for (const flag of [false, true]) {
      const options = Object.fromEntries(Object.keys(flags).map((name) => [name, flag]));
      const params = [tensor([4, 3]), tensor([5]), tensor([], "float64")];
      const optimizer = new Class(params, "momentum" in hyper ? { ...options, momentum: 0.5 } : options);
      const step = compileStep(optimizer, { backend });
      const run = () => step([Float32Array.from(numbers(12)), Float32Array.from(numbers(5)), f64(1)]);
      run();
      const before = step.events.length;
      for (const name of Object.keys(hyper))
        for (const value of PAIRS[name] ?? [0.25, 1, 0]) {
          optimizer.paramGroups[0]?.assign({ [name]: value });
          run();
        }
      expect(step.events.slice(before)).toEqual([]);
      expect(step).toHaveLaunched(1);
    }
  });

  test("RMSprop: momentum raised from 0 compiles once; back at 0 the buffer rests", async () => {
    const model = { values: numbers(5), squares: numbers(5).map(() => 0), buffer: numbers(5).map(() => 0) };
    const weight = tensor(model.values, [5], "float64");
    const optimizer = new RMSprop([weight], { lr: 0.1, alpha: 0.5, eps: 1e-4 });
    const step = compileStep(optimizer, { backend });
    const bufferOf = async () =>
      (await optimizer.stateDict()).state[0]?.momentum_buffer as { data: Float64Array };
    const advance = (seed: number, momentum: number) => {
      Object.assign(optimizer.paramGroups[0] as object, { momentum });
      step([f64(...numbers(5, seed))]);
      numbers(5, seed).forEach((g, i) => {
        const squares = 0.5 * (model.squares[i] as number) + 0.5 * g * g;
        const direction = g / (Math.sqrt(squares) + 1e-4);
        const buffer = momentum * (model.buffer[i] as number) + direction;
        model.squares[i] = squares;
        if (momentum > 0) model.buffer[i] = buffer;
        (model.values[i] as number) -= 0.1 * (momentum > 0 ? buffer : direction);
      });
      expectClose(weight.data, model.values);
    };
    advance(1, 0);
    expect(await bufferOf()).toBeUndefined();
    const from = step.events.length;
    advance(2, 0.9);
    advance(3, 0.9);
    advance(4, 0);
    advance(5, 0);
    expectClose((await bufferOf()).data, model.buffer);
    advance(6, 0.5);
    expectClose((await bufferOf()).data, model.buffer);
    expect(step.events.slice(from).filter(({ kind }) => kind === "plan")).toMatchObject([
      { reason: "param group 0, hasMomentum: false → true (momentum 0 → 0.9)" },
    ]);
  });

  test("Rprop reads lr when a parameter first steps, and never again", async () => {
    const [early, late] = [tensor([1, 1], [2], "float64"), tensor([1], [1], "float64")];
    const optimizer = new Rprop([early, late], { lr: 0.25 });
    const step = compileStep(optimizer, { backend });
    step([f64(3, -4), null]);
    expect([...early.data]).toEqual([0.75, 1.25]);
    Object.assign(optimizer.paramGroups[0] as object, { lr: 0.5, etas: [0.5, 2] });
    step([f64(1, 4), f64(-1)]); // the first element goes on, the second has turned: it waits, at half the size
    expect([...early.data]).toEqual([0.25, 1.25]);
    expect([...late.data]).toEqual([1.5]);
    step([f64(0, 4), null]); // a zero keeps the size
    expect([...early.data]).toEqual([0.25, 1.125]);
    const { state } = await optimizer.stateDict();
    expect(state[0]).toMatchObject({
      step: 3,
      prev: { data: f64(0, 4) },
      step_size: { data: f64(0.5, 0.125) },
    });
  });

  test("Adagrad reads initialAccumulatorValue when a parameter first steps", () => {
    const [early, late] = [tensor([1], [1], "float64"), tensor([1], [1], "float64")];
    const optimizer = new Adagrad([early, late], { lr: 1, eps: 0, initialAccumulatorValue: 3 });
    const step = compileStep(optimizer, { backend });
    step([f64(1), null]); // √(3 + 1)
    Object.assign(optimizer.paramGroups[0] as object, { initialAccumulatorValue: 15 });
    step([f64(0), f64(1)]); // √(15 + 1)
    expect([early.data[0], late.data[0]]).toEqual([0.5, 0.75]);
  });

  test("ASGD moves on a zero gradient, by the eta of the step before, kept in f32", async () => {
    const weight = tensor([1], [1], "float64");
    const lr = scalar(0.1);
    const optimizer = new ASGD([weight], { lr, lambd: 0.5, alpha: 1 });
    const step = compileStep(optimizer, { backend });
    const etas = [
      Math.fround(0.1),
      Math.fround(0.1 / (1 + 0.5 * 0.1)),
      Math.fround(0.4 / (1 + 0.5 * 0.4 * 2)),
    ];
    let expected = 1;
    for (let i = 0; i < 3; i++) {
      if (i === 1) lr.value = 0.4; // too late for this step, whose eta is known
      step([f64(0)]);
      expected *= 1 - 0.5 * (etas[i] as number);
      expect(weight.data[0]).toBeCloseTo(expected, 14);
    }
    expect((await optimizer.stateDict()).state[0]).toMatchObject({
      eta: Math.fround(0.4 / (1 + 0.5 * 0.4 * 3)),
      mu: 1,
    });
  });

  test("RAdam: a side that is not chosen leaks nothing, and beta2 is data", () => {
    const weight = tensor([1], [1], "float64");
    const optimizer = new RAdam([weight], { lr: 0.5, betas: [0.5, 0.6] }); // rho∞ is 4: r divides by zero
    const step = compileStep(optimizer, { backend });
    for (let i = 0; i < 4; i++) step([f64(0.25)]);
    expect(weight.data[0]).toBeCloseTo(1 - 4 * 0.5 * 0.25, 12); // plain momentum, bias-corrected
    const from = step.events.length;
    Object.assign(optimizer.paramGroups[0] as object, { betas: [0.5, 0.999] });
    for (let i = 0; i < 2; i++) step([f64(0.25)]);
    expect(weight.data[0]).not.toBeCloseTo(1 - 6 * 0.5 * 0.25, 3); // t = 6 adapts
    expect(step.events.slice(from)).toEqual([]);
  });
});

test("NAdam's mu_product and ASGD's eta and mu come from a dict of torch's, as tensors", async () => {
  const one = (value: number) => ({ dtype: "float32" as const, shape: [], data: Float32Array.of(value) });
  const slot = { dtype: "float64" as const, shape: [1], data: f64(2) };
  const load = async (Class: Make, state: StateDict["state"][number]) => {
    const optimizer = new Class([tensor([1], "float64")]);
    optimizer.loadStateDict({ ...(await optimizer.stateDict()), state: { 0: state } });
    return (await optimizer.stateDict()).state[0];
  };
  expect(
    await load(NAdam as never, { step: one(3), mu_product: one(0.5), exp_avg: slot, exp_avg_sq: slot }),
  ).toEqual({ step: 3, mu_product: 0.5, exp_avg: slot, exp_avg_sq: slot });
  expect(await load(ASGD as never, { step: one(3), eta: one(0.25), mu: one(1), ax: slot })).toEqual({
    step: 3,
    eta: 0.25,
    mu: 1,
    ax: slot,
  });
});

/** Param groups in full: scales by name, torch's options, values that may be null, groups added in the middle of a run. */
import "stepjit/vitest";
import {
  Adam,
  AdamW,
  compileStep,
  count,
  defineOptimizer,
  reference,
  type Scale,
  SGD,
  type Step,
  scalar,
  type Tensor,
  tensor,
  wasm,
} from "stepjit";
import { add, mul, notEqual, select, sub } from "stepjit/ops";
import { describe, expect, test, vi } from "vitest";
import { fresh } from "./fresh.ts";
import { numbers } from "./models.ts";
import { watched } from "./plan/watched.ts";

const BACKENDS = { reference, wasm: () => wasm({ threads: 1 }) };

type Settings = Record<string, number>;

/** Factors by parameter, in the order of `NAMES`. */
const NAMES = ["embed", "fc.weight", "fc.bias", "norm.weight", "norm.bias", "head"] as const;
const DECAY_FREE = { match: /bias|norm/, weightDecay: 0 };
const SLOW = { match: "embed", lr: 0.1 };
const NORMS = { match: (name: string) => name.startsWith("norm"), lr: 3, weightDecay: 7 };
const HEAVY = { match: "head", momentum: 0.5 };
const FACTORS: readonly Settings[] = [
  { lr: 0.1 },
  {},
  { weightDecay: 0 },
  { lr: 3, weightDecay: 0 },
  { lr: 3, weightDecay: 0 },
  { momentum: 0.5 },
];

type Dtype = "float32" | "float64";

const sizeOf = (index: number) => 3 + 5 * index;
const makeParams = (dtype: Dtype) =>
  NAMES.map((name, index) => [name, tensor(numbers(sizeOf(index), index), [sizeOf(index)], dtype)] as const);
const gradientsOf = (dtype: Dtype, seed: number, missing: readonly number[] = []) =>
  NAMES.map((_, index) => {
    if (missing.includes(index)) return null;
    const values = numbers(sizeOf(index), 100 * seed + index);
    return dtype === "float32" ? Float32Array.from(values) : Float64Array.from(values);
  });

interface AnyGroup {
  assign(options: object): void;
}
interface AnyOptimizer {
  readonly paramGroups: readonly AnyGroup[];
  stateDict(): Promise<{ state: unknown }>;
}

/** An optimizer with scales, and one with a group for each parameter in which the products stand. */
function makePair(Class: unknown, settings: Settings, flags: object, dtype: Dtype) {
  const make = Class as new (params: unknown, options: object) => AnyOptimizer;
  const [scaledParams, plainParams] = [makeParams(dtype), makeParams(dtype)];
  const scales = [DECAY_FREE, SLOW, NORMS, ...("momentum" in settings ? [HEAVY] : [])];
  const scaled = new make(scaledParams, { ...settings, ...flags, scales });
  const plain = new make(
    plainParams.map((pair, index) => ({ params: [pair], ...products(settings, index) })),
    { ...settings, ...flags },
  );
  const set = (changed: Settings) => {
    scaled.paramGroups[0]?.assign(changed);
    plain.paramGroups.forEach((group, index) => {
      group.assign(products(changed, index));
    });
  };
  const compare = async () => {
    scaledParams.forEach(([, { data }], index) => {
      expect(data).toEqual(plainParams[index]?.[1].data);
    });
    expect((await scaled.stateDict()).state).toEqual((await plain.stateDict()).state);
  };
  return { scaled: scaled as never, plain: plain as never, set, compare, scaledParams };
}

const products = (settings: Settings, index: number) =>
  Object.fromEntries(
    Object.entries(settings).map(([name, value]) => [name, value * (FACTORS[index]?.[name] ?? 1)]),
  );

describe.each(Object.entries(BACKENDS))("scales on %s", (_, makeBackend) => {
  test.each([
    ["AdamW", AdamW, { lr: 1e-2, weightDecay: 0.3, eps: 1e-6 }, {}, "float32"],
    ["AdamW, amsgrad, f64", AdamW, { lr: 1e-2, weightDecay: 0.3 }, { amsgrad: true }, "float64"],
    ["Adam", Adam, { lr: 1e-2, weightDecay: 0.1 }, {}, "float32"],
    ["SGD", SGD, { lr: 0.1, weightDecay: 0.2 }, {}, "float32"],
    ["SGD, nesterov", SGD, { lr: 0.1, momentum: 0.9, weightDecay: 0.2 }, { nesterov: true }, "float32"],
  ] as const)("%s: the bits of separate groups, whatever is assigned and missing", async (...row) => {
    const [, Class, settings, flags, dtype] = row;
    for (const options of [{}, { clipNorm: 0.5 }]) {
      const { scaled, plain, set, compare, scaledParams } = makePair(Class, settings, flags, dtype);
      const before = scaledParams.map(([, { data }]) => data.slice());
      const backend = makeBackend();
      const steps = [scaled, plain].map((optimizer) => compileStep(optimizer, { backend, ...options }));
      const missing = [[], [2], [0, 3], [], [0, 1, 2, 3, 4, 5], [4], []];
      for (const [at, absent] of missing.entries()) {
        if (at > 1) set({ lr: 0.05 / at, weightDecay: at % 2 ? 0 : 0.4 });
        for (const step of steps) step(gradientsOf(dtype, at, absent));
        await compare();
      }
      expect(scaledParams.map(([, { data }]) => data)).not.toEqual(before);
    }
  });

  test("compile, launch, read and write what is compiled, launched, read and written without them", () => {
    const scales = [DECAY_FREE, SLOW, NORMS];
    const steps = [{}, { scales }].map((options) => {
      const step = compileStep(new (fresh(AdamW))(makeParams("float32"), options), {
        backend: makeBackend(),
      });
      for (let i = 0; i < 3; i++) step(gradientsOf("float32", i));
      return step;
    });
    const [without, scaled] = steps as [Step, Step];
    const figures = ({ stats, events }: Step) => {
      const { milliseconds, ...counts } = stats;
      return { ...counts, events: events.map(({ kind, kernel, reason }) => [kind, kernel, reason]) };
    };
    expect(figures(scaled)).toEqual(figures(without));
    expect(figures(scaled)).toMatchObject({ traces: 1, kernels: 1, launches: 1 });
    for (const stage of ["module", "kernels", "text", "plan"] as const)
      expect(scaled.dump(stage)).toBe(without.dump(stage));
  });

  test("follow a scalar, and a flag that makes a new plan", () => {
    const lr = scalar(1);
    const params = { a: tensor([1]), b: tensor([1]) };
    const optimizer = new SGD(params, { lr, scales: [{ match: "b", lr: 0.5 }] });
    const step = compileStep(optimizer, { backend: makeBackend() });
    const one = Float32Array.of(1);
    step([one, one]);
    lr.value = 4;
    step([one, one]);
    Object.assign(optimizer.paramGroups[0] as object, { maximize: true, lr: 2 });
    step([one, one]);
    expect([params.a.data[0], params.b.data[0]]).toEqual([-1 - 4 + 2, -0.5 - 2 + 1]);
    expect(optimizer.paramGroups[0]?.lr).toBe(2);
  });

  test("hold where state starts from a hyperparameter and where a row is a tensor's own", async () => {
    const Started = defineOptimizer({
      name: "Started",
      hyper: { lr: { default: 2 }, pair: { default: [3, 5] } },
      state: { size: { init: ({ lr }) => lr }, seen: { extent: "param", init: ({ lr }) => -lr } },
      update({ param, state, hyper, numel }) {
        state.seen = add(state.seen, mul(hyper.lr, numel));
        return sub(param, add(state.size, mul(hyper.pair[1], hyper.lr)));
      },
    });
    const params = { a: tensor([2]), b: tensor([3]), c: tensor([4]) };
    const optimizer = new Started(params, { scales: [{ match: /[bc]/, lr: 10 }] });
    const step = compileStep(optimizer, { backend: makeBackend() });
    step({ a: new Float32Array(2), b: new Float32Array(3), c: new Float32Array(4) });
    expect([params.a, params.b, params.c].map(({ data }) => data[0])).toEqual([-12, -120, -120]);
    const { state } = await optimizer.stateDict();
    expect([0, 1, 2].map((id) => state[id]?.seen)).toEqual([-2 + 4, -20 + 60, -20 + 80]);
  });

  test("many parameters: a hundred layers with a rate of their own, and norms without decay", () => {
    const layers = Array.from({ length: 100 }, (_, layer) => layer);
    const names = layers.flatMap((layer) => [`layers.${layer}.fc`, `layers.${layer}.norm`]);
    const make = () => names.map((name, index) => [name, tensor(numbers(4, index), [4])] as const);
    const [params, plainParams] = [make(), make()];
    const rate = (layer: number) => 0.9 ** (99 - layer);
    const scales = [
      { match: /norm$/, weightDecay: 0 },
      ...layers.map((layer) => ({
        match: (name: string) => name.startsWith(`layers.${layer}.`),
        lr: rate(layer),
      })),
    ];
    const groups = plainParams.map((pair, index) => ({
      params: [pair],
      lr: 0.1 * rate(index >> 1),
      weightDecay: index % 2 ? 0 : 0.5,
    }));
    const options = { lr: 0.1, weightDecay: 0.5 };
    const backend = makeBackend();
    for (const optimizer of [new AdamW(params, { ...options, scales }), new AdamW(groups)]) {
      const step = compileStep(optimizer, { backend });
      for (let i = 0; i < 2; i++) step(names.map((_, index) => Float32Array.from(numbers(4, i + index))));
      expect(step).toHaveLaunched(1);
    }
    expect(params.map(([, { data }]) => data)).toEqual(plainParams.map(([, { data }]) => data));
  });

  test("reach groups that are added later, whether they match there or not", () => {
    const [a, b, c] = [tensor([1]), tensor([1]), tensor([1])];
    const optimizer = new SGD({ "a.bias": a }, { lr: 1, scales: [{ match: /bias/, lr: 0.5 }] });
    const step = compileStep(optimizer, { backend: makeBackend(), onRecompile: "error" });
    const one = Float32Array.of(1);
    step([one]);
    optimizer.addParamGroup({ params: { "b.bias": b, "c.weight": c }, lr: 8 });
    step([one, one, one]);
    expect([a, b, c].map(({ data }) => data[0])).toEqual([-1, -4, -8]);
  });

  test("are no part of the state dict, and go on after one is loaded", async () => {
    const w = tensor([1]);
    const optimizer = new SGD({ w }, { lr: 1, scales: [{ match: "w", lr: 0.5 }] });
    const saved = await optimizer.stateDict();
    expect(Object.keys(saved.param_groups[0] ?? {})).not.toContain("scales");
    expect(saved.param_groups[0]?.lr).toBe(1);
    optimizer.loadStateDict({ ...saved, param_groups: [{ ...saved.param_groups[0], lr: 4 } as never] });
    compileStep(optimizer, { backend: makeBackend() })([Float32Array.of(1)]);
    expect(w.data[0]).toBe(-2);
  });
});

describe("scalar rows of scaled parameters", () => {
  function rowsOf(scales: readonly Scale<{ lr: number }>[], present = NAMES.map(() => true)) {
    const { backend, rowOf } = watched();
    const step = compileStep(new SGD(makeParams("float32"), { scales }), { backend });
    step(gradientsOf("float32", 1).map((gradient, index) => (present[index] ? gradient : null)));
    return NAMES.map((_, index) => rowOf.get(index));
  }

  test("are one for those that share their factors, in whatever way they came to them", () => {
    expect(rowsOf([])).toEqual([0, 0, 0, 0, 0, 0]);
    expect(rowsOf([{ match: /bias/, lr: 2 }])).toEqual([0, 0, 1, 0, 1, 0]);
    const scales = [
      { match: /norm/, lr: 2 },
      { match: "norm.bias", lr: 2 },
      { match: "fc.bias", lr: 4 },
      { match: "head", lr: 2 },
    ];
    expect(rowsOf(scales)).toEqual([0, 0, 1, 2, 1, 2]);
    expect(rowsOf(scales, [false, true, false, true, true, true])).toEqual([
      undefined,
      0,
      undefined,
      1,
      2,
      1,
    ]);
  });

  test("are not apart for factors of 1, or whose product is 1", () => {
    const scales = [
      { match: /bias/, lr: 1 },
      { match: "head", lr: 4 },
      { match: "head", lr: 0.25 },
    ];
    expect(rowsOf(scales)).toEqual([0, 0, 0, 0, 0, 0]);
  });

  test("are apart in two groups with the same factors", () => {
    const { backend, rowOf } = watched();
    const groups = [{ params: { a: tensor([1]) } }, { params: { b: tensor([1]) }, lr: 3 }];
    compileStep(new SGD(groups, { lr: 1, scales: [{ match: /./, lr: 2 }] }), { backend })([
      Float32Array.of(1),
      Float32Array.of(1),
    ]);
    expect([rowOf.get(0), rowOf.get(1)]).toEqual([0, 1]);
  });
});

describe("what a scale matches", () => {
  const scaledBy = (match: Scale<{ lr: number }>["match"]) => {
    const step = compileStep(new SGD(makeParams("float32"), { scales: [{ match, lr: 2 }] }));
    return step.explain().scales[0]?.parameters;
  };

  test.each([
    ["a RegExp, anywhere in the name", /bias/, ["fc.bias", "norm.bias"]],
    ["a RegExp, anchored", /^norm/, ["norm.weight", "norm.bias"]],
    ["a RegExp with g", /bias/g, ["fc.bias", "norm.bias"]],
    ["a RegExp with y, from the start", /norm/y, ["norm.weight", "norm.bias"]],
    ["a string, the whole name", "fc.bias", ["fc.bias"]],
    ["a function", (name: string) => name.length < 6, ["embed", "head"]],
  ] as const)("%s", (_, match, expected) => {
    expect(scaledBy(match)).toEqual(expected);
  });

  test.each(["g", "y", "gy"])("a RegExp with %s is read from its start, and left where it was", (flags) => {
    const match = new RegExp("norm", flags);
    match.lastIndex = 3;
    expect(scaledBy(match)).toEqual(["norm.weight", "norm.bias"]);
    expect(match.lastIndex).toBe(3);
  });

  test("shows in explain()", () => {
    const scales = [DECAY_FREE, SLOW, NORMS];
    const explanation = compileStep(new AdamW(makeParams("float32"), { scales })).explain();
    expect(explanation.scales).toEqual([
      { factors: { lr: 0.1 }, parameters: ["embed"] },
      { factors: { weightDecay: 0 }, parameters: ["fc.bias"] },
      { factors: { lr: 3, weightDecay: 0 }, parameters: ["norm.weight", "norm.bias"] },
    ]);
    expect(String(explanation).split("\n")).toEqual(
      expect.arrayContaining([
        "  scaled lr × 0.1: 1 parameter",
        "  scaled weightDecay × 0: 1 parameter",
        "  scaled lr × 3, weightDecay × 0: 2 parameters",
      ]),
    );
  });
});

describe("torch's foreach, fused and capturable", () => {
  test("are ignored, with one notice a process", async () => {
    vi.resetModules();
    const fresh = await import("stepjit");
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const w = () => fresh.tensor([1]);
    new fresh.SGD([w()], { fused: null, foreach: undefined, differentiable: false });
    expect(warn).not.toHaveBeenCalled();
    const optimizer = new fresh.AdamW([{ params: [w()], foreach: true, lr: 2 }], {
      fused: false,
      capturable: true,
    });
    optimizer.addParamGroup({ params: [w()], fused: true });
    expect(warn.mock.calls).toEqual([
      ["stepjit: foreach, fused and capturable are ignored: every step is compiled, there is no other way"],
    ]);
    warn.mockRestore();
    const plain = new fresh.AdamW([{ params: [w()], lr: 2 }]);
    expect(optimizer.paramGroups[0]?.settings).toEqual(plain.paramGroups[0]?.settings);
    expect((await optimizer.stateDict()).param_groups[0]).toEqual((await plain.stateDict()).param_groups[0]);
  });

  test("stay a definition's own where it has them", () => {
    const Own = defineOptimizer({
      name: "Own",
      hyper: { lr: { default: 1 } },
      flags: { fused: false },
      update: ({ param }) => param,
    });
    expect(new Own([tensor([1])], { fused: true }).paramGroups[0]?.fused).toBe(true);
  });
});

describe.each(Object.entries(BACKENDS))("a hyperparameter that may be null, on %s", (_, makeBackend) => {
  /** Steps by rate, or by 100 where it is null; `floor` is a pair. */
  const Relative = defineOptimizer({
    name: "Relative",
    hyper: {
      rate: { default: null as number | null, nullable: true, min: 0 },
      floor: { default: [null, 0.5], nullable: true, below: 1 },
      lr: { default: 1 },
    },
    state: { step: count, start: { init: ({ floor: [first] }) => (Number.isNaN(first) ? 7 : first) } },
    update({ param, state, hyper }) {
      const [first, second] = hyper.floor;
      const orElse = (value: number, other: number) =>
        select(
          notEqual(value, value),
          () => other,
          () => value,
        );
      return sub(
        param,
        add(add(orElse(hyper.rate, 100), mul(state.start, 0)), add(orElse(first, 10), orElse(second, 10))),
      );
    },
  });
  type Group = { rate: number | null; floor: readonly [number | null, number | null] };

  function start(options: ConstructorParameters<typeof Relative>[1] = {}) {
    const weight = tensor([2]);
    const optimizer = new Relative({ weight }, options);
    const step = compileStep(optimizer, { backend: makeBackend(), onRecompile: "error" });
    let last = 0;
    const moved = () => {
      step([new Float32Array(2)]);
      const by = last - (weight.data[1] as number);
      last = weight.data[1] as number;
      return by;
    };
    return { optimizer, group: optimizer.paramGroups[0] as Group, step, moved };
  }

  test("reads back as null, is NaN in the maths, and changes nothing but numbers", async () => {
    const { optimizer, group, step, moved } = start();
    const before = step.events.length;
    expect([group.rate, group.floor]).toEqual([null, [null, 0.5]]);
    expect(moved()).toBe(110.5);
    expect((await optimizer.stateDict()).state[0]?.start).toMatchObject({ data: Float32Array.of(7, 7) });
    group.floor = [0.25, null];
    expect([group.floor, moved()]).toEqual([[0.25, null], 110.25]);
    group.floor = [null, null];
    expect(moved()).toBe(120);
    expect(step.events).toHaveLength(before);
  });

  test("is NaN for derive, check and init too", async () => {
    const seen: number[] = [];
    const see = ({ eps }: { eps: number }) => void seen.push(eps);
    const Seen = defineOptimizer({
      name: "Seen",
      hyper: { eps: { default: null as number | null, nullable: true } },
      derive: (hyper) => Object(see(hyper)),
      check: see,
      state: { m: { init: (hyper) => see(hyper) ?? 0 } },
      update: ({ param, state }) => sub(param, state.m),
    });
    const optimizer = new Seen([tensor([1])], { eps: null });
    compileStep(optimizer, { backend: makeBackend() })([new Float32Array(1)]);
    optimizer.loadStateDict(await optimizer.stateDict());
    expect(seen.length).toBeGreaterThan(3);
    expect(seen.every(Number.isNaN)).toBe(true);
  });

  test("a null stays null under a factor", () => {
    const { moved, group } = start({ scales: [{ match: "weight", rate: 0.5 }] });
    expect(moved()).toBe(110.5);
    expect(group.rate).toBeNull();
  });

  test("a null fills a scalar with NaN, and a scalar's NaN reads as null", () => {
    const first = scalar(0.25);
    const { group, moved } = start({ floor: [first, 0] });
    expect(moved()).toBe(100.25);
    group.floor = [null, 0];
    expect([first.value, group.floor, moved()]).toEqual([Number.NaN, [null, 0], 110]);
    first.value = 0.5;
    expect([group.floor, moved()]).toEqual([[0.5, 0], 100.5]);
  });

  test("is saved and loaded as null, through JSON", async () => {
    const { optimizer, group } = start({ floor: [0.25, null] });
    const { param_groups } = JSON.parse(JSON.stringify(await optimizer.stateDict()));
    expect(param_groups[0]).toMatchObject({ rate: null, floor: [0.25, null] });
    group.floor = [0, 0];
    optimizer.loadStateDict({ state: {}, param_groups });
    expect([group.rate, group.floor]).toEqual([null, [0.25, null]]);
  });

  test.each([
    [
      "out of bounds beside a null",
      { floor: [null, 1] },
      "floor has to be null or a finite number, less than 1, got 1",
    ],
    ["NaN", { rate: Number.NaN }, "rate has to be null or a finite number, at least 0, got NaN"],
    [
      "undefined",
      { floor: [null, undefined] },
      "floor is 2 numbers (or scalars, or tensors of one element, or null), got [null, undefined]",
    ],
    ["null for a pair", { floor: null }, "floor is 2 numbers, got null"],
    [
      "null for what is not nullable",
      { lr: null },
      "lr is a number (or scalars, or tensors of one element), got null",
    ],
  ])("%s is refused", (_, options, message) => {
    const { optimizer } = start();
    const group = optimizer.paramGroups[0];
    const before = group?.settings;
    expect(() => group?.assign(options)).toThrow(
      expect.objectContaining({
        code: "invalid-hyperparameter",
        message: `Relative, param group 0: ${message}`,
      }),
    );
    expect(group?.settings).toEqual(before);
  });
});

test("a default may be null only where the definition says so", () => {
  const hyper = { eps: { default: [null, 1] as [null, number] } };
  expect(() => defineOptimizer({ name: "X", hyper, update: ({ param }) => param })).toThrow(
    "X: the default of eps is null, which is for hyperparameters that are nullable",
  );
});

test.each(["params", "scales", "match", "index", "numbers"])("no hyperparameter is named %s", (name) => {
  const hyper = { [name]: { default: 1 } };
  expect(() => defineOptimizer({ name: "X", hyper, update: ({ param }) => param })).toThrow(
    `X: "${name}" is no name for a hyperparameter or flag`,
  );
});

describe.each(Object.entries(BACKENDS))("a group added in the middle of a run, on %s", (_, makeBackend) => {
  test.each([{}, { clipNorm: 0.5 }])(
    "goes on as if it had been there without gradients: %o",
    async (options) => {
      const make = () => [tensor(numbers(5), [5]), tensor(numbers(3, 2), [3]), tensor(numbers(4, 3), [4])];
      const [some, all] = [make(), make()] as [Tensor[], Tensor[]];
      const added = { lr: 0.3, betas: [0.5, 0.9] as const, amsgrad: true };
      const early = new AdamW([{ params: all.slice(0, 2) }, { params: all.slice(2), ...added }]);
      const late = new AdamW(some.slice(0, 2));
      const backend = makeBackend();
      const [earlyStep, lateStep] = [early, late].map((one) => compileStep(one, { backend, ...options }));
      const gradient = (index: number, seed: number) =>
        Float32Array.from(numbers([5, 3, 4][index] ?? 0, seed));
      for (let i = 0; i < 3; i++) {
        earlyStep?.([gradient(0, i), gradient(1, i), null]);
        lateStep?.([gradient(0, i), gradient(1, i)]);
      }
      late.addParamGroup({ params: some.slice(2), ...added });
      for (let i = 3; i < 6; i++)
        for (const step of [earlyStep, lateStep]) step?.([0, 1, 2].map((index) => gradient(index, i)));
      expect(some.map(({ data }) => data)).toEqual(all.map(({ data }) => data));
      expect(await late.stateDict()).toEqual(await early.stateDict());
    },
  );
});

test("groups share the scalars of the options, members of pairs included, and override them one by one", () => {
  const [lr, beta1] = [scalar(1), scalar(0.5)];
  const optimizer = new AdamW([{ params: [tensor([1])] }], { lr, betas: [beta1, 0.9] });
  optimizer.addParamGroup({ params: [tensor([1])] });
  optimizer.addParamGroup({ params: [tensor([1])], betas: [beta1, scalar(0.1)], lr: 3 });
  const read = () => optimizer.paramGroups.map((group) => [group.lr, group.betas]);
  const [, second, third] = optimizer.paramGroups;
  Object.assign(second as object, { lr: 2, betas: [0.25, 0.75] });
  expect([lr.value, beta1.value]).toEqual([2, 0.25]);
  expect(read()).toEqual([
    [2, [0.25, 0.9]],
    [2, [0.25, 0.75]],
    [3, [0.25, 0.1]],
  ]);
  Object.assign(third as object, { lr, betas: [0.125, scalar(0.5)] });
  lr.value = 5;
  expect(read()).toEqual([
    [5, [0.125, 0.9]],
    [5, [0.125, 0.75]],
    [5, [0.125, 0.5]],
  ]);
});

test("named parameters come as a record, as pairs, as a Map, or from a generator", () => {
  const pairs = () => [["w", tensor([2])] as const, ["b", tensor([1])] as const];
  function* named() {
    yield* pairs();
  }
  for (const params of [Object.fromEntries(pairs()), pairs(), new Map(pairs()), named()]) {
    const step = compileStep(new SGD([{ params }]), { backend: "reference" });
    expect(step.dump("plan")).toContain("tensor 0 w [2]");
    step({ w: new Float32Array(2), b: null });
  }
  expect(() => compileStep(new SGD(new Set([tensor([2])])))({ w: null })).toThrow("have no names");
});

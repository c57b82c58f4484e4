/** State dicts: torch's layout, copies, and going on to the bit. */
import {
  Adam,
  AdamW,
  compileStep,
  type Optimizer,
  SGD,
  type StateDict,
  type Step,
  scalar,
  tensor,
} from "stepjit";
import { describe, expect, test } from "vitest";
import { numbers } from "./models.ts";

type Kind = "reference" | "wasm";

const SHAPES = { "fc.weight": [3, 4], "fc.bias": [4], scale: [] } as const;
const NAMES = Object.keys(SHAPES) as (keyof typeof SHAPES)[];
const sizeOf = (name: keyof typeof SHAPES) => SHAPES[name].reduce((size, n) => size * n, 1);

const makeParams = (names = NAMES) =>
  Object.fromEntries(
    names.map((name) => [name, tensor(numbers(sizeOf(name), NAMES.indexOf(name)), SHAPES[name])]),
  );

const gradientsAt = (step: number) =>
  Object.fromEntries(NAMES.map((name, i) => [name, Float32Array.from(numbers(sizeOf(name), 10 * step + i))]));

/** A dict as text: keys, dtypes and shapes of tensors, numbers as they are. */
function outline({ state, param_groups }: StateDict) {
  const entries = Object.entries(state).map(([id, slots]) => [
    id,
    Object.entries(slots)
      .map(([name, value]) =>
        value !== null && typeof value === "object"
          ? `${name}: ${value.dtype}[${value.shape}]`
          : `${name}: ${value}`,
      )
      .join(", "),
  ]);
  return {
    state: Object.fromEntries(entries),
    param_groups: param_groups.map((group) => JSON.stringify(group)),
  };
}

describe("the layout is torch's", () => {
  test("AdamW with names", async () => {
    const optimizer = new AdamW(makeParams(), { lr: 0.5, amsgrad: true });
    expect(outline(await optimizer.stateDict()).state).toEqual({});
    compileStep(optimizer)({ ...gradientsAt(1), scale: null });
    expect(outline(await optimizer.stateDict())).toMatchInlineSnapshot(`
      {
        "param_groups": [
          "{"lr":0.5,"betas":[0.9,0.999],"eps":1e-8,"weight_decay":0.01,"amsgrad":true,"maximize":false,"params":[0,1,2],"param_names":["fc.weight","fc.bias","scale"]}",
        ],
        "state": {
          "0": "step: 1, exp_avg: float32[3,4], exp_avg_sq: float32[3,4], max_exp_avg_sq: float32[3,4]",
          "1": "step: 1, exp_avg: float32[4], exp_avg_sq: float32[4], max_exp_avg_sq: float32[4]",
        },
      }
    `);
  });

  test("Adam without names, in groups", async () => {
    const optimizer = new Adam([
      { params: [tensor([2], "float64")] },
      { params: [tensor([3])], betas: [0, 0.5], decoupledWeightDecay: true },
    ]);
    compileStep(optimizer)([new Float64Array(2), new Float32Array(3)]);
    expect(outline(await optimizer.stateDict())).toMatchInlineSnapshot(`
      {
        "param_groups": [
          "{"lr":0.001,"betas":[0.9,0.999],"eps":1e-8,"weight_decay":0,"amsgrad":false,"maximize":false,"decoupled_weight_decay":false,"params":[0]}",
          "{"lr":0.001,"betas":[0,0.5],"eps":1e-8,"weight_decay":0,"amsgrad":false,"maximize":false,"decoupled_weight_decay":true,"params":[1]}",
        ],
        "state": {
          "0": "step: 1, exp_avg: float64[2], exp_avg_sq: float64[2]",
          "1": "step: 1, exp_avg_sq: float32[3]",
        },
      }
    `);
  });

  test("SGD with and without momentum", async () => {
    const optimizer = new SGD([{ params: [tensor([2])] }, { params: [tensor([3])], momentum: 0.9 }]);
    compileStep(optimizer)([new Float32Array(2), new Float32Array(3)]);
    expect(outline(await optimizer.stateDict())).toMatchInlineSnapshot(`
      {
        "param_groups": [
          "{"lr":0.001,"momentum":0,"dampening":0,"weight_decay":0,"nesterov":false,"maximize":false,"params":[0]}",
          "{"lr":0.001,"momentum":0.9,"dampening":0,"weight_decay":0,"nesterov":false,"maximize":false,"params":[1]}",
        ],
        "state": {
          "1": "momentum_buffer: float32[3]",
        },
      }
    `);
  });
});

test("a dict is a copy, and a loaded one is copied", async () => {
  const params = makeParams();
  const optimizer = new AdamW(params);
  const step = compileStep(optimizer);
  step(gradientsAt(1));
  const dict = await optimizer.stateDict();
  const kept = structuredClone(dict);

  step(gradientsAt(2));
  expect(dict).toEqual(kept);

  const slot = (from: StateDict) =>
    ((from.state[0] as StateDict["state"][number]).exp_avg as { data: Float32Array }).data;
  slot(dict).fill(7);
  Object.assign(dict.param_groups[0] as object, { lr: 7 });
  const now = await optimizer.stateDict();
  expect(slot(now)).not.toContain(7);
  expect(optimizer.paramGroups[0]?.lr).toBe(1e-3);

  const mine = structuredClone(kept);
  optimizer.loadStateDict(mine);
  slot(mine).fill(7);
  expect(await optimizer.stateDict()).toEqual(kept);
  step(gradientsAt(2));
  expect(await optimizer.stateDict()).toEqual(now);
  expect(slot(mine)).toEqual(new Float32Array(12).fill(7));
});

/** Every way in which state differs. */
const VARIANTS: readonly [string, (params: object) => Optimizer][] = [
  ...[
    {},
    { momentum: 0.9 },
    { momentum: 0.9, dampening: 0.3, weightDecay: 0.1 },
    { momentum: 0.9, nesterov: true },
    { momentum: 0.5, maximize: true },
  ].map((options): [string, (params: object) => Optimizer] => [
    `SGD ${JSON.stringify(options)}`,
    (params) => new SGD(params as never, { lr: 0.1, ...options }),
  ]),
  ...[
    {},
    { amsgrad: true },
    { betas: [0, 0.9] as const },
    { weightDecay: 0.1, maximize: true },
    { weightDecay: 0.1, decoupledWeightDecay: true },
  ].map((options): [string, (params: object) => Optimizer] => [
    `Adam ${JSON.stringify(options)}`,
    (params) => new Adam(params as never, { lr: 0.1, ...options }),
  ]),
  ...[{}, { amsgrad: true, maximize: true }].map((options): [string, (params: object) => Optimizer] => [
    `AdamW ${JSON.stringify(options)}`,
    (params) => new AdamW(params as never, { lr: 0.1, ...options }),
  ]),
];

describe.each(VARIANTS)("%s goes on to the bit", (_title, make) => {
  const train = (step: Step, from: number, to: number) => {
    for (let i = from; i <= to; i++)
      step(i % 3 === 2 ? { ...gradientsAt(i), "fc.bias": null } : gradientsAt(i));
  };

  /** Six steps at a stretch, and what is saved after three. */
  async function reference(backend: Kind) {
    const params = makeParams();
    const optimizer = make(params);
    const step = compileStep(optimizer, { backend });
    train(step, 1, 3);
    const saved = structuredClone(await optimizer.stateDict());
    const halfway = Object.fromEntries(
      NAMES.map((name) => [name, params[name]?.data.slice() as Float32Array]),
    );
    train(step, 4, 6);
    return { params, optimizer, saved, halfway };
  }

  const ROUTES: readonly [string, Kind, Kind, "before" | "after"][] = [
    ["loaded before compileStep", "wasm", "wasm", "before"],
    ["loaded after compileStep", "wasm", "wasm", "after"],
    ["on the reference backend", "reference", "reference", "before"],
    ["from wasm to reference", "wasm", "reference", "before"],
    ["from reference to wasm", "reference", "wasm", "after"],
  ];

  test.each(ROUTES)("%s", async (_route, first, second, when) => {
    const { params, optimizer, saved, halfway } = await reference(first);
    const again = Object.fromEntries(NAMES.map((name) => [name, tensor(halfway[name] ?? [], SHAPES[name])]));
    const resumed = make(again);
    const kept = structuredClone(saved);
    if (when === "before") resumed.loadStateDict(saved);
    const step = compileStep(resumed, { backend: second });
    if (when === "after") {
      // A step of its own first, so that there is state to be replaced.
      train(step, 1, 1);
      for (const name of NAMES) again[name]?.data.set(halfway[name] ?? []);
      resumed.loadStateDict(saved);
    }
    train(step, 4, 6);
    for (const name of NAMES) expect(again[name]?.data, name).toEqual(params[name]?.data);
    expect(await resumed.stateDict()).toEqual(await optimizer.stateDict());
    expect(saved).toEqual(kept);
  });

  test("when its step moves between backends, without a state dict", async () => {
    const { params } = await reference("wasm");
    const again = makeParams();
    const optimizer = make(again);
    const steps = (["wasm", "reference"] as const).map((backend) => compileStep(optimizer, { backend }));
    for (let i = 1; i <= 6; i++) train(steps[i % 2] as Step, i, i);
    for (const name of NAMES) expect(again[name]?.data, name).toEqual(params[name]?.data);
  });
});

describe("loading", () => {
  async function savedAdamW() {
    const optimizer = new AdamW(makeParams(), { lr: 0.25, betas: [0.5, 0.75], weightDecay: 0 });
    compileStep(optimizer)(gradientsAt(1));
    return optimizer.stateDict();
  }

  test("finds parameters by name, in whatever order they are", async () => {
    const saved = await savedAdamW();
    const optimizer = new AdamW(makeParams([...NAMES].reverse()));
    optimizer.loadStateDict(saved);
    const loaded = await optimizer.stateDict();
    expect(loaded.param_groups[0]?.param_names).toEqual([...NAMES].reverse());
    NAMES.forEach((_, id) => {
      expect(loaded.state[NAMES.length - 1 - id]).toEqual(saved.state[id]);
    });
  });

  test("goes by position where either side has no names", async () => {
    const saved = await savedAdamW();
    const unnamed = new AdamW(Object.values(makeParams()));
    unnamed.loadStateDict(saved);
    const loaded = await unnamed.stateDict();
    expect(loaded.state).toEqual(saved.state);
    expect(loaded.param_groups[0]).not.toHaveProperty("param_names");

    const named = new AdamW(makeParams());
    named.loadStateDict(loaded);
    expect(await named.stateDict()).toEqual(saved);
  });

  test("follows the ids, which need not be in order", async () => {
    const saved = await savedAdamW();
    const [group] = saved.param_groups;
    const renumbered = {
      state: { 40: saved.state[0], 30: saved.state[1], 9007199254740991: saved.state[2] },
      param_groups: [{ ...group, params: [40, 30, 9007199254740991] }],
    };
    const optimizer = new AdamW(makeParams());
    optimizer.loadStateDict(renumbered as never);
    expect(await optimizer.stateDict()).toEqual(saved);
  });

  test("restores hyperparameters, filling scalars that are bound", async () => {
    const lr = scalar(1);
    const optimizer = new AdamW(makeParams(), { lr });
    optimizer.loadStateDict(await savedAdamW());
    expect(optimizer.paramGroups[0]).toMatchObject({
      lr: 0.25,
      betas: [0.5, 0.75],
      weightDecay: 0,
      amsgrad: false,
    });
    expect(lr.value).toBe(0.25);
    lr.value = 2;
    expect(optimizer.paramGroups[0]?.lr).toBe(2);
  });

  test("restores flags, which compiles", async () => {
    const source = new AdamW(makeParams(), { amsgrad: true });
    compileStep(source)(gradientsAt(1));
    const optimizer = new AdamW(makeParams());
    const step = compileStep(optimizer);
    step(gradientsAt(1));
    optimizer.loadStateDict(await source.stateDict());
    step(gradientsAt(2));
    expect(step.events.at(-1)?.reason).toBe(
      "state dicts loaded: 0 → 1; param group 0, amsgrad: false → true",
    );
    expect(Object.keys((await optimizer.stateDict()).state[0] ?? {})).toEqual([
      "step",
      "exp_avg",
      "exp_avg_sq",
      "max_exp_avg_sq",
    ]);
  });

  test("an empty state starts afresh", async () => {
    const fresh = await new AdamW(makeParams()).stateDict();
    const params = makeParams();
    const optimizer = new AdamW(params);
    const step = compileStep(optimizer);
    step(gradientsAt(1));
    const first = Object.values(params).map(({ data }) => data.slice());
    optimizer.loadStateDict(fresh);
    for (const [name, { data }] of Object.entries(params))
      data.set(numbers(data.length, NAMES.indexOf(name as "scale")));
    step(gradientsAt(1));
    expect(Object.values(params).map(({ data }) => data.slice())).toEqual(first);
  });

  test("takes a dict as torch writes it: more options, step as a tensor", async () => {
    const data = Float32Array.of(1, 2);
    const optimizer = new Adam([tensor([2])]);
    optimizer.loadStateDict({
      state: {
        0: {
          step: { dtype: "float32", shape: [], data: Float32Array.of(12) },
          exp_avg: { dtype: "float32", shape: [2], data },
          exp_avg_sq: { dtype: "float32", shape: [2], data },
        },
      },
      param_groups: [
        {
          lr: 0.5,
          betas: [0.9, 0.99],
          eps: 1e-8,
          weight_decay: 0.25,
          amsgrad: false,
          maximize: false,
          decoupled_weight_decay: false,
          foreach: null,
          capturable: false,
          differentiable: false,
          fused: null,
          initial_lr: 1,
          params: [0],
        },
      ],
    });
    expect((await optimizer.stateDict()).state[0]).toMatchObject({
      step: 12,
      exp_avg: { data },
      exp_avg_sq: { data },
    });
    expect(optimizer.paramGroups[0]).toMatchObject({ lr: 0.5, weightDecay: 0.25 });
  });

  test("takes momentum_buffer: null for a slot that is not filled yet", async () => {
    const group = { lr: 1, momentum: 0.5, dampening: 0.5, weight_decay: 0, nesterov: false, maximize: false };
    const weight = tensor([1]);
    const optimizer = new SGD([weight]);
    const step = compileStep(optimizer);
    optimizer.loadStateDict({
      state: { 0: { momentum_buffer: null } },
      param_groups: [{ ...group, params: [0] }],
    });
    expect((await optimizer.stateDict()).state).toEqual({});
    step([Float32Array.of(1)]); // a first step: no dampening
    step([Float32Array.of(1)]); // 0.5 · 1 + 0.5 · 1
    expect(weight.data[0]).toBe(-2);
  });

  test("keeps exp_avg where beta1 is 0: torch saves it, and raising beta1 finds it", async () => {
    const slot = (value: number) => ({ dtype: "float32" as const, shape: [1], data: Float32Array.of(value) });
    const options = { lr: 1, betas: [0, 0.5] as const, eps: 0, weightDecay: 0 };
    const optimizer = new Adam([tensor([1])], options);
    const step = compileStep(optimizer);
    const saved = await optimizer.stateDict();
    optimizer.loadStateDict({ ...saved, state: { 0: { step: 1, exp_avg: slot(8), exp_avg_sq: slot(4) } } });
    expect((await optimizer.stateDict()).state[0]?.exp_avg).toEqual(slot(8));
    Object.assign(optimizer.paramGroups[0] as object, { betas: [0.5, 0.5] });
    step([Float32Array.of(4)]);
    expect((await optimizer.stateDict()).state[0]?.exp_avg).toEqual(slot(6));
  });
});

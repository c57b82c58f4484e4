/** What compiles, what plans anew, what does neither, and what a step says about it. */
import "stepjit/vitest";
import { AdamW, compileStep, reference, SGD, type Step, type StepEvent, scalar, tensor, wasm } from "stepjit";
import { describe, expect, test, vi } from "vitest";
import { fresh } from "./fresh.ts";
import { expectClose, numbers, PlainAdamW, PlainSgd, type SgdOptions } from "./models.ts";

/** A backend of the test's own has compiled nothing yet. */
const BACKENDS = { reference, wasm: () => wasm({ threads: 1 }) };

const freshAdamW = () => fresh(AdamW);
const freshSgd = () => fresh(SGD);

const f32 = (size: number, seed = 1) => Float32Array.from(numbers(size, seed));
const f64 = (values: readonly number[]) => Float64Array.from(values);
const since = (step: Step, from: number) => step.events.slice(from).map(({ kind, reason }) => [kind, reason]);

function groupOf<G>({ paramGroups }: { readonly paramGroups: readonly G[] }, index = 0): G {
  return paramGroups[index] as G;
}

describe.each(Object.entries(BACKENDS))("on %s", (_, makeBackend) => {
  /** Four parameters in two groups beside plain models of them; each step is compared. */
  function startAdamW() {
    const initial = [4, 3, 2, 5].map((size, seed) => numbers(size, seed + 1));
    const tensors = initial.map((values) => tensor(values, [values.length], "float64"));
    const [lr, beta2, clipNorm] = [scalar(1e-2), scalar(0.99), scalar(100)];
    const groups = [{ params: tensors.slice(0, 2) }, { params: tensors.slice(2), lr: 3e-2 }];
    const optimizer = new (freshAdamW())(groups, { lr, betas: [0.9, beta2] });
    const step = compileStep(optimizer, { backend: makeBackend(), clipNorm });
    const models = initial.map((values) => new PlainAdamW(values));
    let seed = 100;
    const advance = (missing: readonly number[] = []) => {
      const gradients = initial.map(({ length }, i) =>
        missing.includes(i) ? null : numbers(length, seed++),
      );
      step(gradients.map((values) => values && f64(values)));
      const norm = Math.hypot(...gradients.flatMap((values) => values ?? []));
      const scale = Math.min(1, (step.clipNorm as number) / (norm + 1e-6));
      models.forEach((model, i) => {
        model.step(gradients[i]?.map((g) => g * scale) ?? null, groupOf(optimizer, i < 2 ? 0 : 1));
        expectClose(tensors[i]?.data ?? [], model.values);
      });
    };
    return { optimizer, step, advance, lr, beta2, clipNorm };
  }

  test("numbers, scalars and gradients compile nothing and plan nothing", async () => {
    const { optimizer, step, advance, lr, beta2, clipNorm } = startAdamW();
    advance();
    const before = step.events.length;
    const [first, second] = [groupOf(optimizer, 0), groupOf(optimizer, 1)];
    const changes = [
      [first, { lr: 0 }],
      [first, { lr: 5e-3 }],
      [second, { betas: [0.8, 0.95] }],
      [second, { betas: [0.8, 0] }],
      [second, { betas: [0, 0.9] }],
      [second, { betas: [0.7, 0.9] }],
      [first, { eps: 1e-4 }],
      [second, { eps: 0 }],
      [first, { weightDecay: 0.3 }],
      [first, { weightDecay: 0 }],
      [second, { lr: 1e-3, eps: 1e-6, weightDecay: 0.1 }],
      [first, { eps: scalar(1e-3) }],
      [lr, { value: 2e-3 }],
      [lr, { value: 0 }],
      [beta2, { value: 0.5 }],
      [step, { clipNorm: 0.1 }],
      [clipNorm, { value: 0 }],
      [step, { clipNorm: scalar(0.2) }],
    ].map(
      ([target, values]) =>
        () =>
          Object.assign(target as object, values),
    );
    for (const change of changes) {
      change();
      advance();
    }
    for (const missing of [[0], [1, 2], [0, 1, 2, 3], [3], []]) advance(missing);
    expect(since(step, before)).toEqual([]);
    expect(step.stats.steps).toBe(1 + changes.length + 5);
  });

  test("a parameter counts the steps in which it has a gradient", async () => {
    const { optimizer, advance } = startAdamW();
    for (const missing of [[1, 2, 3], [1, 3], [], [], [0, 1, 2], [0, 1, 2, 3]]) advance(missing);
    const { state } = await optimizer.stateDict();
    expect([0, 1, 2, 3].map((id) => state[id]?.step)).toEqual([4, 2, 3, 3]);
  });

  test("the first compile says so, with a kernel for each phase", () => {
    const optimizer = new (freshAdamW())([tensor([3]), tensor([2])]);
    const step = compileStep(optimizer, { backend: makeBackend(), clipNorm: 1 });
    expect(step.events.map(({ kind, kernel, reason, step }) => [kind, kernel, reason, step])).toEqual([
      ["trace", undefined, "first step", 0],
      ["kernel", "AdamW f32 hasFirstMoment, phase 0", "first step", 0],
      ["kernel", "AdamW f32 hasFirstMoment, phase 1", "first step", 0],
      ["plan", undefined, "first step", 0],
    ]);
    for (const { milliseconds } of step.events) expect(milliseconds).toBeGreaterThanOrEqual(0);
    expect(step).toHaveCompiled({ traces: 1, kernels: 2, plans: 1 });
  });

  test("another instance with other shapes and numbers, a layer left out, plans only", () => {
    const Class = freshAdamW();
    const backend = makeBackend();
    const first = compileStep(new Class([tensor([3]), tensor([4])]), { backend });
    expect(first).toHaveCompiled({ traces: 1, kernels: 1, plans: 1 });
    const named = { w: tensor([70, 30]), b: tensor([30]), scale: tensor([]) };
    const second = compileStep(new Class(named, { lr: 1, weightDecay: 0 }), {
      backend,
      onRecompile: "error",
    });
    second({ w: f32(2100), b: f32(30), scale: f32(1) });
    second({ w: null, b: f32(30) });
    expect(second).toHaveCompiled({ traces: 0, kernels: 0, plans: 1 });
  });

  test("a group of a known class, loaded state and a second step of the optimizer plan only", async () => {
    const backend = makeBackend();
    const optimizer = new (freshAdamW())([tensor([3])]);
    const step = compileStep(optimizer, { backend, onRecompile: "error" });
    step([f32(3)]);
    const from = step.events.length;

    optimizer.addParamGroup({ params: [tensor([2])], lr: 0.5, weightDecay: 0 });
    step([f32(3), f32(2)]);
    optimizer.loadStateDict(await optimizer.stateDict());
    step([f32(3), null]);
    const second = compileStep(optimizer, { backend });
    expect(second).toHaveCompiled({ traces: 0, kernels: 0, plans: 1 });
    step([null, f32(2)]);

    expect(since(step, from)).toEqual([
      ["plan", 'param group 1: new, "1" (float32)'],
      ["plan", "state dicts loaded: 0 → 1"],
      ["plan", "another step of this optimizer was planned in between"],
    ]);
    const { state } = await optimizer.stateDict();
    expect([state[0]?.step, state[1]?.step]).toEqual([3, 2]);
  });

  test("a flag compiles its class and no other; the launch stays one", () => {
    const optimizer = new (freshAdamW())([{ params: [tensor([3])] }, { params: [tensor([2])] }]);
    const step = compileStep(optimizer, { backend: makeBackend() });
    step([f32(3), f32(2)]);
    const from = step.events.length;
    groupOf(optimizer, 1).amsgrad = true;
    step([f32(3), f32(2)]);
    const reason = "param group 1, amsgrad: false → true";
    expect(since(step, from)).toEqual([
      ["trace", reason],
      ["kernel", reason],
      ["plan", reason],
    ]);
    expect(step.events.at(-2)?.kernel).toBe("AdamW f32 amsgrad hasFirstMoment, phase 0");
    expect(step.events.at(-1)?.changes).toEqual([
      { part: "param group 1, amsgrad", before: "false", after: "true" },
    ]);
    expect(step).toHaveLaunched(1);
  });

  test("a float64 group compiles its class; the launch stays one", () => {
    const optimizer = new (freshAdamW())([tensor([3])]);
    const step = compileStep(optimizer, { backend: makeBackend() });
    step([f32(3)]);
    const from = step.events.length;
    optimizer.addParamGroup({ params: [tensor([2], "float64")] });
    step([f32(3), new Float64Array(2)]);
    expect(step.events.slice(from).map(({ kind }) => kind)).toEqual(["trace", "kernel", "plan"]);
    expect(step.events.at(-1)?.reason).toBe('param group 1: new, "1" (float64)');
    expect(step).toHaveLaunched(1);
  });

  /** One SGD parameter beside its plain model. */
  function startSgd(options: Partial<SgdOptions>) {
    const values = numbers(5);
    const weight = tensor(values, [5], "float64");
    const optimizer = new (freshSgd())([weight], options);
    const step = compileStep(optimizer, { backend: makeBackend() });
    const model = new PlainSgd(values);
    let seed = 7;
    const advance = () => {
      const gradient = numbers(5, seed++);
      step([f64(gradient)]);
      model.step(gradient, groupOf(optimizer));
      expectClose(weight.data, model.values);
    };
    return { optimizer, step, model, advance };
  }

  const bufferOf = async (optimizer: { stateDict(): Promise<{ state: Record<number, object> }> }) =>
    ((await optimizer.stateDict()).state[0] as { momentum_buffer?: { data: Float64Array } } | undefined)
      ?.momentum_buffer?.data;

  test("momentum raised from 0 compiles, and the buffer is made as in a first step", async () => {
    const { optimizer, step, advance, model } = startSgd({ lr: 0.1, dampening: 0.5, weightDecay: 0.1 });
    advance();
    advance();
    expect(await bufferOf(optimizer)).toBeUndefined();
    const from = step.events.length;
    groupOf(optimizer).momentum = 0.9;
    advance();
    const reason = "param group 0, hasMomentum: false → true (momentum 0 → 0.9)";
    expect(since(step, from)).toEqual([
      ["trace", reason],
      ["kernel", reason],
      ["plan", reason],
    ]);
    expect(step.events.at(-1)?.changes).toEqual([
      { part: "param group 0, hasMomentum", before: "false", after: "true", because: "momentum 0 → 0.9" },
    ]);
    expect(step.events.at(-1)?.step).toBe(2);
    for (let i = 0; i < 3; i++) advance(); // dampening from here on
    expectClose((await bufferOf(optimizer)) ?? [], model.buffer ?? []);
  });

  test("momentum lowered to 0 is data: the buffer rests until it is raised again", async () => {
    const { optimizer, step, advance, model } = startSgd({ lr: 0.1, momentum: 0.9, dampening: 0.5 });
    advance();
    advance();
    const from = step.events.length;
    groupOf(optimizer).momentum = 0;
    const resting = await bufferOf(optimizer);
    advance();
    advance();
    expect(await bufferOf(optimizer)).toEqual(resting);
    groupOf(optimizer).momentum = 0.5;
    advance();
    expectClose((await bufferOf(optimizer)) ?? [], model.buffer ?? []);
    expect(since(step, from)).toEqual([]);
  });

  test("momentum raised and taken back between two steps leaves no trace", async () => {
    const { optimizer, step, advance } = startSgd({ lr: 0.1 });
    advance();
    const from = step.events.length;
    groupOf(optimizer).momentum = 0.9;
    groupOf(optimizer).momentum = 0;
    advance();
    expect(since(step, from)).toEqual([]);
    expect(await bufferOf(optimizer)).toBeUndefined();
  });

  test("a scalar raised from 0 compiles as a number does", () => {
    const momentum = scalar(0);
    const optimizer = new (freshSgd())([tensor([2])], { momentum });
    momentum.value = 0.5; // before the first plan, it is not news
    const step = compileStep(optimizer, { backend: makeBackend() });
    step([f32(2)]);
    expect(since(step, 0).at(-1)).toEqual(["plan", "first step"]);

    const beta1 = scalar(0);
    const adamw = new (freshAdamW())([tensor([2])], { betas: [beta1, 0.999] });
    const adamStep = compileStep(adamw, { backend: makeBackend() });
    adamStep([f32(2)]);
    beta1.value = 0.25;
    adamStep([f32(2)]);
    expect(since(adamStep, 0).at(-1)).toEqual([
      "plan",
      "param group 0, hasFirstMoment: false → true (betas.0 0 → 0.25)",
    ]);
  });

  test("beta1 raised from 0 compiles, and its moment starts from 0", async () => {
    const values = numbers(6);
    const weight = tensor(values, [6], "float64");
    const optimizer = new (freshAdamW())([weight], { lr: 0.1, betas: [0, 0.9] });
    const step = compileStep(optimizer, { backend: makeBackend() });
    const model = new PlainAdamW(values);
    for (let i = 1; i <= 5; i++) {
      if (i === 3) {
        expect(Object.keys((await optimizer.stateDict()).state[0] ?? {})).toEqual(["step", "exp_avg_sq"]);
        groupOf(optimizer).betas = [0.9, 0.9];
        model.first.fill(0);
      }
      step([f64(numbers(6, 10 + i))]);
      model.step(numbers(6, 10 + i), groupOf(optimizer));
      expectClose(weight.data, model.values);
    }
    const reason = "param group 0, hasFirstMoment: false → true (betas.0 0 → 0.9)";
    expect(since(step, 3)).toEqual([
      ["trace", reason],
      ["kernel", reason],
      ["plan", reason],
    ]);
  });

  describe("onRecompile", () => {
    function raiseMomentum(onRecompile: "warn" | "error" | ((event: StepEvent) => void)) {
      const weight = tensor(numbers(4), [4]);
      const optimizer = new (freshSgd())([weight], { lr: 0.1 });
      const backend = makeBackend();
      const step = compileStep(optimizer, { backend, onRecompile });
      step([f32(4)]);
      groupOf(optimizer).momentum = 0.9;
      return { weight, optimizer, backend, step };
    }
    const reason = "param group 0, hasMomentum: false → true (momentum 0 → 0.9)";

    test('"error" throws before anything changes, and taking the change back makes it good', async () => {
      const { weight, optimizer, backend, step } = raiseMomentum("error");
      const before = weight.data.slice();
      for (let i = 0; i < 2; i++)
        expect(() => step([f32(4)])).toThrow(
          expect.objectContaining({
            code: "recompile",
            message: `SGD: step 2 would compile 1 kernel(s) again: ${reason}`,
          }),
        );
      expect(weight.data).toEqual(before);
      expect(await bufferOf(optimizer)).toBeUndefined();
      expect(step.stats).toMatchObject({ steps: 1, kernels: 1, plans: 1 });

      groupOf(optimizer).momentum = 0;
      step([f32(4)]);
      expect(step.stats).toMatchObject({ steps: 2, kernels: 1, plans: 1 });

      // What another step has compiled is no recompile.
      compileStep(new SGD([tensor([1])], { momentum: 0.1 }), { backend });
      groupOf(optimizer).momentum = 0.9;
      step([f32(4)]);
      expect(step.stats).toMatchObject({ steps: 3, kernels: 1, plans: 2 });
    });

    test('"warn" says it on the console', () => {
      const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
      const { step } = raiseMomentum("warn");
      expect(warn).not.toHaveBeenCalled();
      step([f32(4)]);
      expect(warn.mock.calls).toEqual([[`stepjit: compiled "SGD f32 hasMomentum" again: ${reason}`]]);
      warn.mockRestore();
    });

    test("a function is given the event", () => {
      const onRecompile = vi.fn();
      const { step } = raiseMomentum(onRecompile);
      expect(onRecompile).not.toHaveBeenCalled();
      step([f32(4)]);
      expect(onRecompile.mock.calls).toEqual([
        [step.events.find(({ kind, step }) => kind === "kernel" && step > 0)],
      ]);
      expect(onRecompile.mock.calls[0]?.[0]).toMatchObject({ kind: "kernel", reason });
    });
  });

  describe("scalars", () => {
    test("give the same bits as numbers", () => {
      const [lr, beta1, decay] = [scalar(0.1), scalar(0.9), scalar(0.01)];
      const weights = [tensor(numbers(50), [50]), tensor(numbers(50), [50])] as const;
      const backend = makeBackend();
      const withScalars = new AdamW([weights[0]], { lr, betas: [beta1, 0.99], weightDecay: decay });
      const withNumbers = new AdamW([weights[1]], { lr: 0.1, betas: [0.9, 0.99], weightDecay: 0.01 });
      const steps = [withScalars, withNumbers].map((optimizer) => compileStep(optimizer, { backend }));
      for (let i = 1; i <= 6; i++) {
        [lr.value, beta1.value, decay.value] = [0.1 / i, 0.9 - i / 100, i === 3 ? 0 : 0.01];
        Object.assign(groupOf(withNumbers), {
          lr: lr.value,
          betas: [beta1.value, 0.99],
          weightDecay: decay.value,
        });
        for (const step of steps) step([f32(50, i)]);
      }
      expect(weights[0].data).toEqual(weights[1].data);
      expect(weights[0].data).not.toEqual(f32(50));
    });

    test("are read as numbers, are filled by writing, and may be shared", () => {
      const lr = scalar(0.5);
      const [a, b, c] = [tensor([1]), tensor([1]), tensor([1])];
      const optimizer = new SGD([{ params: [a] }, { params: [b] }, { params: [c], lr: 0.125 }], { lr });
      const step = compileStep(optimizer, { backend: makeBackend() });
      const one = Float32Array.of(1);
      expect(optimizer.paramGroups.map((group) => group.lr)).toEqual([0.5, 0.5, 0.125]);
      groupOf(optimizer, 1).lr = 0.25;
      expect(lr.value).toBe(0.25);
      expect(optimizer.paramGroups.map((group) => group.lr)).toEqual([0.25, 0.25, 0.125]);
      step([one, one, one]);
      groupOf(optimizer, 2).lr = 2;
      expect(lr.value).toBe(0.25);
      lr.value = 1;
      step([one, one, one]);
      expect([a, b, c].map(({ data }) => data[0])).toEqual([-1.25, -1.25, -2.125]);
    });

    test("within a pair: the pair is replaced whole, its numbers are frozen", () => {
      const beta2 = scalar(0.5);
      const group = groupOf(new AdamW([tensor([1])], { betas: [0.9, beta2] }));
      expect(group.betas).toEqual([0.9, 0.5]);
      expect(() => Object.assign(group.betas, [0.1])).toThrow(TypeError);
      group.betas = [0.8, 0.75];
      expect([group.betas, beta2.value]).toEqual([[0.8, 0.75], 0.75]);
    });

    test("that are no longer allowed do not stop other numbers from being set", () => {
      const lr = scalar(0.5);
      const group = groupOf(new AdamW([tensor([1])], { lr }));
      lr.value = Number.NaN;
      group.eps = 0.25;
      expect(group.eps).toBe(0.25);
    });
  });

  describe("launches and bytes", () => {
    const PER_ELEMENT = [
      ["AdamW", AdamW, {}, 28],
      ["AdamW, amsgrad", AdamW, { amsgrad: true }, 36],
      ["AdamW, beta1 = 0", AdamW, { betas: [0, 0.999] }, 20],
      ["SGD", SGD, {}, 12],
      ["SGD, momentum", SGD, { momentum: 0.9 }, 20],
      ["SGD, nesterov and decay", SGD, { momentum: 0.9, nesterov: true, weightDecay: 0.1 }, 20],
    ] as const;

    test.each(PER_ELEMENT)("%s", (_title, Class, options, bytes) => {
      const sizes = [3, 17, 1, 0, 300];
      const optimizer = new (Class as typeof AdamW)(
        sizes.map((size) => tensor([size])),
        options as never,
      );
      const step = compileStep(optimizer, { backend: makeBackend() });
      step(sizes.map((size) => f32(size)));
      expect(step.stats).toMatchObject({ launches: 1, bytesMoved: 321 * bytes, bytesIdeal: 321 * bytes });
      step(sizes.map((size) => (size === 17 ? null : f32(size))));
      expect(step.stats).toMatchObject({ launches: 1, bytesMoved: 304 * bytes, bytesIdeal: 304 * bytes });
    });

    test("clipping is a second launch that reads the gradients again", () => {
      const optimizer = new AdamW([tensor([100]), tensor([20])]);
      const step = compileStep(optimizer, { backend: makeBackend(), clipNorm: 1 });
      step([f32(100), f32(20)]);
      expect(step.stats).toMatchObject({ launches: 2, bytesMoved: 120 * 32, bytesIdeal: 120 * 28 });
    });

    test("four classes, of two dtypes and two flags, are one launch, and two with clipping", () => {
      const groups = () => [
        { params: [tensor([5]), tensor([6], "float64")] },
        { params: [tensor([7]), tensor([8], "float64")], amsgrad: true },
      ];
      const gradients = [f32(5), f64(numbers(6)), f32(7), f64(numbers(8))];
      for (const [options, launches] of [
        [{}, 1],
        [{ clipNorm: 1 }, 2],
      ] as const) {
        const step = compileStep(new AdamW(groups()), { backend: makeBackend(), ...options });
        step(gradients);
        expect(step).toHaveLaunched(launches);
        expect(step.explain().classes).toHaveLength(4);
        expect(step.stats.bytesIdeal).toBe(5 * 28 + 6 * 56 + 7 * 36 + 8 * 72);
      }
    });
  });
});

describe("copies on wasm", () => {
  const bytesOf = (step: Step) =>
    step.explain().copies.map(({ parameter, what, bytes }) => [parameter, what, bytes]);

  test("own tensors are never copied", () => {
    const weight = tensor([8]);
    const step = compileStep(new AdamW({ weight }));
    step({ weight: tensor(numbers(8), [8]) });
    expect(step.stats.bytesCopied).toBe(0);
    expect(step.explain().copies).toEqual([]);
  });

  test("a view of wasm memory is used where it is, as gradient and as parameter", () => {
    const [weight, gradient] = [tensor(numbers(8), [8]), tensor(numbers(8, 2), [8])];
    const part = new Float32Array(weight.data.buffer, weight.data.byteOffset + 4, 3);
    const expected = [...weight.data].map((w, i) =>
      i >= 1 && i < 4 ? w - (gradient.data[i - 1] as number) : w,
    );
    const step = compileStep(new SGD([part], { lr: 1 }));
    step([gradient.data.subarray(0, 3)]);
    expect(step.stats.bytesCopied).toBe(0);
    expect(step.explain().copies).toEqual([]);
    expect(weight.data).toEqual(Float32Array.from(expected));
  });

  test("foreign arrays are copied: parameters in and out, gradients in", () => {
    const [theirs, ours] = [f32(8), tensor([4], "float64")];
    const step = compileStep(new SGD({ theirs, ours }, { lr: 0.5 }));
    expect(bytesOf(step)).toEqual([["theirs", "parameter", 64]]);
    const expected = f32(8).map((w, i) => w - 0.5 * (f32(8, 2)[i] as number));
    step({ theirs: f32(8, 2), ours: new Float64Array(4) });
    expect(theirs).toEqual(expected);
    expect(bytesOf(step)).toEqual([
      ["theirs", "parameter", 64],
      ["theirs", "gradient", 32],
      ["ours", "gradient", 32],
    ]);
    expect(step.stats.bytesCopied).toBe(128);
    step({ theirs: null, ours: tensor([4], "float64") });
    expect(bytesOf(step)).toEqual([["theirs", "parameter", 64]]);
    expect(step.stats.bytesCopied).toBe(64);
  });

  test("a gradient array that is filled again is read again", () => {
    const weight = tensor([2]);
    const gradient = Float32Array.of(1, 2);
    const step = compileStep(new SGD([weight], { lr: 1 }));
    step([gradient]);
    gradient.set([10, 20]);
    step([gradient]);
    expect([...weight.data]).toEqual([-11, -22]);
  });

  test("what the user writes into an own array between steps counts", () => {
    const weight = Float32Array.of(1, 2);
    const step = compileStep(new SGD([weight], { lr: 1 }));
    step([Float32Array.of(1, 1)]);
    weight.fill(5);
    step([Float32Array.of(1, 1)]);
    expect([...weight]).toEqual([4, 4]);
  });

  test("tensor.grad is read where step() is called without gradients", () => {
    const [a, b] = [tensor([2]), tensor([2])];
    const step = compileStep(new SGD([a, b], { lr: 1 }));
    a.grad = tensor([1, 2], [2]);
    step();
    b.grad = Float32Array.of(3, 4);
    step();
    expect([[...a.data], [...b.data]]).toEqual([
      [-2, -4],
      [-3, -4],
    ]);
  });
});

/** `scaler`: unscaled gradients, steps that are skipped whole, and a scale that adapts as torch's does. */
import "stepjit/vitest";
import { setTimeout } from "node:timers/promises";
import { AdamW, compileStep, defineOptimizer, GradScaler, tensor, wasm } from "stepjit";
import { add, mul, norm, sub } from "stepjit/ops";
import { describe, expect, test } from "vitest";
import { THREADED, tensorOn } from "../backends.ts";
import { numbers } from "../models.ts";
import {
  compiledSince,
  expectTwins,
  type FloatArray,
  type Gradients,
  mapEach,
  OPTIMIZER_NAMES,
  photograph,
  Stage,
} from "./support.ts";

const SCALE = 1024;
const scaled = (gradients: Gradients, scale = SCALE) => mapEach(gradients, (x) => x * scale);

describe.each(THREADED)("scaler on $name", (on) => {
  const stage = new Stage(on);
  const scaler = () => new GradScaler({ initScale: SCALE });

  /** Scaled gradients, of which one element is spoilt. */
  function spoilt(seed: number, tensor: number, index: number, value: number): Gradients {
    const gradients = scaled(stage.gradientsOf(seed));
    (gradients[tensor] as FloatArray)[index] = value;
    return gradients;
  }

  test.each(OPTIMIZER_NAMES)("%s: gradients are unscaled, in two launches", async (name) => {
    const one = stage.start(name, { scaler: scaler() });
    const plain = stage.start(name);
    for (const missing of ["", "c", "ab", ""]) {
      await one.take(scaled(stage.gradientsOf(2, missing)));
      await plain.take(stage.gradientsOf(2, missing));
    }
    await expectTwins(one, plain);
    const launches = stage.launches(2, name === "plain" ? 3 : 4); // plain SGD reads no number of its own
    expect(one.step.stats).toMatchObject({ launches, steps: 4, skipped: 0 });
  });

  test("clips by value and by norm after unscaling, in the same two launches", async () => {
    const one = stage.start("AdamW", { scaler: scaler(), clipValue: 0.5, clipNorm: 3 });
    const plain = stage.start("AdamW", { clipValue: 0.5, clipNorm: 3 });
    for (const seed of [1, 2]) {
      await one.take(scaled(stage.gradientsOf(seed)));
      await plain.take(stage.gradientsOf(seed));
    }
    await expectTwins(one, plain);
    expect(one.step).toHaveLaunched(stage.launches(2, 4));
  });

  const SPOILT: [string, number, number, number][] = [
    ["NaN in the first element", 0, 0, NaN],
    ["Infinity in an odd element at the end", 0, 6, Infinity],
    ["-Infinity at the end of a second chunk", 2, 16_389, -Infinity],
    ["NaN in float64", 4, 259, NaN],
    ["-Infinity in float64", 1, 3, -Infinity],
  ];
  const options = { clipNorm: 1, ema: 0.9 };

  test.each(SPOILT)(
    "%s: the first step leaves no trace, and the next one is the first",
    async (_, ...where_) => {
      const one = stage.start("SGD", { ...options, scaler: scaler() });
      const before = await photograph(one);
      await one.take(spoilt(1, ...where_));
      expect(await photograph(one)).toEqual(before);
      expect(before.state).toEqual([]);
      expect(one.step.stats).toMatchObject({ steps: 1, skipped: 1, launches: stage.launches(1, 4) });
      expect(one.optimizer.parameters.map(({ count }) => count)).toEqual([0, 0, 0, 0, 0]);

      const plain = stage.start("SGD", options);
      await one.take(scaled(stage.gradientsOf(1), SCALE / 2)); // dampening is not for a first step: it shows whether this is one
      await plain.take(stage.gradientsOf(1));
      await expectTwins(one, plain);
    },
  );

  test.each(SPOILT)(
    "%s: later, neither parameters nor state, counts nor averages change",
    async (_, ...where_) => {
      for (const name of OPTIMIZER_NAMES) {
        const one = stage.start(name, { ...options, scaler: scaler() });
        const plain = stage.start(name, options);
        const both = async (seed: number, scale: number) => {
          await one.take(scaled(stage.gradientsOf(seed), scale));
          await plain.take(stage.gradientsOf(seed));
        };
        await both(1, SCALE);
        await both(2, SCALE);
        const before = await photograph(one);
        await one.take(spoilt(3, ...where_));
        expect(await photograph(one)).toEqual(before);
        expect(one.step.stats).toMatchObject({ steps: 3, skipped: 1, launches: stage.launches(1, 4) });
        await both(4, SCALE / 2);
        await expectTwins(one, plain);
      }
    },
  );

  test("a gradient whose square overflows is finite all the same; a missing one is not looked at", async () => {
    const one = stage.start("plain", { scaler: scaler() });
    const plain = stage.start("plain");
    const large = stage.gradientsOf(1, "b");
    (large[0] as Float32Array)[3] = 3e38;
    (large[4] as FloatArray)[7] = on.doubles ? 1e308 : 3e38;
    await one.take(large);
    await plain.take(mapEach(large, (x) => x / SCALE));
    await expectTwins(one, plain);
    expect(one.step.stats.skipped).toBe(0);
    await one.take(PARAMETERS_NONE);
    expect(one.step.stats).toMatchObject({ steps: 2, skipped: 0 });
  });

  test("a scale that changes compiles nothing", async () => {
    const adaptive = new GradScaler({ initScale: SCALE, growthInterval: 2 });
    const one = stage.start("AdamW", { scaler: adaptive });
    const plain = stage.start("AdamW");
    const { length } = one.step.events;
    const scales = [];
    for (let i = 0; i < 6; i++) {
      const { value } = adaptive.scale;
      scales.push(value);
      await one.take(i === 4 ? spoilt(i, 0, 0, NaN) : scaled(stage.gradientsOf(i), value));
      if (i !== 4) await plain.take(stage.gradientsOf(i));
    }
    expect(scales).toEqual([SCALE, SCALE, 2 * SCALE, 2 * SCALE, 4 * SCALE, 2 * SCALE]);
    await expectTwins(one, plain);
    expect(compiledSince(one, length)).toEqual([]);
  });

  test("state that an update with a reduction could store early is not stored before the step is sure", async () => {
    /** Momentum whose norm scales the step: the buffer is done a phase before the parameter. */
    const Normed = defineOptimizer({
      name: "Normed",
      hyper: { lr: { default: 0.5 } },
      state: { m: {}, n: { extent: "param" } },
      update({ param, grad, state, hyper }) {
        state.m = add(mul(state.m, 0.5), grad);
        state.n = add(state.n, 1);
        return sub(param, mul(mul(hyper.lr, norm(state.m)), state.m));
      },
    });
    const make = (scaler?: GradScaler) => {
      const w = tensorOn(on.backend, Float32Array.from(numbers(20, 1)), [20]);
      return stage.sceneOf(new Normed({ w }) as never, scaler ? { scaler } : {});
    };
    const [one, plain] = [make(scaler()), make()];
    const g = (seed: number) => Float32Array.from(numbers(20, seed));
    await one.take([g(1).map((x) => x * SCALE)]);
    await plain.take([g(1)]);
    await one.take([g(2).fill(NaN, 5, 6)]);
    await one.take([g(3).map((x) => (x * SCALE) / 2)]);
    await plain.take([g(3)]);
    expect(one.step.stats.skipped).toBe(1);
    await expectTwins(one, plain);
  });
});

const PARAMETERS_NONE: Gradients = [null, null, null, null, null];

test("the same bits on 1, 2 and 3 threads, skipped steps among them", async () => {
  const backend = wasm({ threads: 3 });
  const sizes = [100_003, 5, 70_000, 1, 30_000];
  const results = [];
  for (const threads of [1, 2, 3]) {
    const tensors = sizes.map((size, i) => tensor(numbers(size, i), [size], i === 2 ? "float64" : "float32"));
    const scaler = new GradScaler({ initScale: 8 });
    const optimizer = new AdamW(tensors, { lr: 0.1 });
    const step = compileStep(optimizer, {
      backend,
      threads,
      scaler,
      clipNorm: 0.5,
      clipValue: 0.9,
      ema: 0.99,
      accumulate: 2,
    });
    const gradients = tensors.map(({ dtype, size }, i) =>
      (dtype === "float32" ? Float32Array : Float64Array).from(numbers(size, 50 + i)),
    );
    step(gradients);
    await setTimeout(100); // for workers to be up: without them the test shows less but stays true
    for (let i = 1; i < 12; i++) {
      const [first, ...others] = gradients as [FloatArray, ...FloatArray[]];
      const bad = first.slice();
      bad[99_999] = Infinity;
      step([i === 7 ? bad : first, ...others]);
    }
    expect(step.stats).toMatchObject({ steps: 6, skipped: 1 });
    results.push(await photograph({ optimizer: optimizer as never }));
    step.dispose();
  }
  expect(results[1]).toEqual(results[0]);
  expect(results[2]).toEqual(results[0]);
  backend.dispose();
});

describe("GradScaler", () => {
  const KEYS = ["scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker"];

  test("torch's defaults and keys", () => {
    const dict = new GradScaler().stateDict();
    expect(Object.keys(dict)).toEqual(KEYS);
    expect(Object.values(dict)).toEqual([65536, 2, 0.5, 2000, 0]);
  });

  test("grows after an interval without, backs off at once and starts counting again, stays a finite float32", () => {
    const scaler = new GradScaler({
      initScale: 2 ** 126,
      growthFactor: 2,
      backoffFactor: 0.25,
      growthInterval: 3,
    });
    const history = [false, false, true, false, false, false, false, false, false, false, false, false].map(
      (found) => {
        scaler.update(found);
        return [Math.log2(scaler.scale.value), scaler.stateDict()._growth_tracker];
      },
    );
    expect(history).toEqual([
      [126, 1],
      [126, 2],
      [124, 0],
      [124, 1],
      [124, 2],
      [125, 0],
      [125, 1],
      [125, 2],
      [126, 0],
      [126, 1],
      [126, 2],
      [127, 0],
    ]);
    for (let i = 0; i < 3; i++) scaler.update(false);
    expect(scaler.scale.value).toBe(2 ** 127); // the next would be none that a float32 holds
    const tenth = new GradScaler({ initScale: 1, backoffFactor: 0.1 });
    tenth.update(true);
    expect(tenth.scale.value).toBe(Math.fround(0.1));
  });

  test("goes on from a state dict", () => {
    const one = new GradScaler({ initScale: 8, growthFactor: 3, backoffFactor: 0.2, growthInterval: 5 });
    for (const found of [false, false, true, false, false]) one.update(found);
    const other = new GradScaler();
    other.loadStateDict(structuredClone(one.stateDict()));
    expect(other.stateDict()).toEqual(one.stateDict());
    for (const scaler of [one, other]) for (let i = 0; i < 4; i++) scaler.update(false);
    expect(other.stateDict()).toEqual(one.stateDict());
  });

  test.each([
    [{ initScale: 0 }, "initScale is a finite number above 0, got 0"],
    [{ initScale: Infinity }, "initScale is a finite number above 0, got Infinity"],
    [{ growthFactor: 1 }, "growthFactor is a finite number above 1, got 1"],
    [{ backoffFactor: 1 }, "backoffFactor is a number between 0 and 1, both excluded, got 1"],
    [{ growthInterval: 1.5 }, "growthInterval is a whole number, at least 1, got 1.5"],
    [{ growthInterval: "2000" }, 'growthInterval is a whole number, at least 1, got "2000"'],
    [{ interval: 3 }, 'no option "interval"'],
  ])("refuses %o", (options, message) => {
    expect(() => new GradScaler(options as object)).toThrow(
      expect.objectContaining({ code: "invalid-option", message: expect.stringContaining(message) }),
    );
  });

  test.each(KEYS)("a state dict without a usable %s changes nothing", (key) => {
    const scaler = new GradScaler();
    const before = scaler.stateDict();
    for (const value of [undefined, NaN, "1", -1]) {
      const saved = {
        scale: 2,
        growth_factor: 4,
        backoff_factor: 0.1,
        growth_interval: 7,
        _growth_tracker: 3,
        [key]: value,
      };
      expect(() => scaler.loadStateDict(saved as never)).toThrow(
        expect.objectContaining({ code: "invalid-state", message: expect.stringContaining(key) }),
      );
    }
    expect(scaler.stateDict()).toEqual(before);
  });

  test("a scale that was set to nothing usable is refused before the step", () => {
    const scaler = new GradScaler();
    const w = new Float32Array(2);
    const step = compileStep(new AdamW([w]), { scaler, backend: "reference" });
    scaler.scale.value = 0;
    expect(() => step([Float32Array.of(1, 1)])).toThrow(
      "scale has to be a finite number, at least 5e-324, got 0",
    );
    expect([...w]).toEqual([0, 0]);
  });
});

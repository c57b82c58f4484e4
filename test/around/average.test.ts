/** `ema` and `swa` against torch's AveragedModel in plain JavaScript. */
import "stepjit/vitest";
import { GradScaler, SGD, type StateDict, scalar, tensor } from "stepjit";
import { describe, expect, test } from "vitest";
import { THREADED } from "../backends.ts";
import { at, expectClose } from "../models.ts";
import {
  bitsOf,
  compiledSince,
  expectTwins,
  type FloatArray,
  OPTIMIZER_NAMES,
  photograph,
  type Scene,
  Stage,
} from "./support.ts";

/** One parameter's average in f64, after torch/optim/swa_utils.py. */
class PlainAverage {
  values: number[] = [];
  n = 0;

  update(weights: FloatArray, weightOf: (n: number) => number): void {
    const w = this.n === 0 ? 1 : weightOf(this.n);
    this.values = Array.from(weights, (p, i) =>
      w === 1 ? p : at(this.values, i) + w * (p - at(this.values, i)),
    );
    this.n++;
  }
}

const TOLERANCE = { float32: 2e-6, float64: 1e-12 };

/** Follows a step: its parameters are the compiled step's own, only the averages are the model's. */
function follow(scene: Scene, stage: Stage) {
  const { parameters } = scene.optimizer;
  const models = parameters.map(() => new PlainAverage());
  return {
    models,
    /** Takes a step; the parameters that `averages` says are averaged. */
    async take(
      seed: number,
      missing: string,
      weightOf: (n: number) => number,
      averages = (_step: number) => true,
    ) {
      await scene.take(stage.gradientsOf(seed, missing));
      for (const [i, { name, tensor, count }] of parameters.entries())
        if (!missing.includes(name) && averages(count)) models[i]?.update(await tensor.read(), weightOf);
    },
    async check() {
      const averages = await scene.optimizer.averagedParameters();
      for (const [i, { name, tensor }] of parameters.entries()) {
        const { values, n } = models[i] as PlainAverage;
        const expected = n === 0 ? [...(await tensor.read())] : values;
        const { data, shape, dtype } = averages[name] as typeof tensor;
        expect([shape, dtype, data.length]).toEqual([tensor.shape, tensor.dtype, expected.length]);
        const worst = expected.reduce((error, x, k) => Math.max(error, Math.abs(x - at(data, k))), 0);
        expect(worst).toBeLessThanOrEqual(TOLERANCE[dtype] * (dtype === "float32" ? scene.on.slack : 1));
      }
    },
  };
}

/** The parameters alone; to the bit, where that can be. */
async function expectSameWeights(one: Scene, plain: Scene): Promise<void> {
  const { sameMath, slack } = one.on;
  for (const [i, { tensor }] of one.optimizer.parameters.entries()) {
    const actual = await tensor.read();
    const expected = (await plain.optimizer.parameters[i]?.tensor.read()) as FloatArray;
    if (sameMath) expect(bitsOf(actual)).toEqual(bitsOf(expected));
    else expectClose(actual, [...expected], TOLERANCE.float32 * slack);
  }
}

describe.each(THREADED)("averages on $name", (on) => {
  const stage = new Stage(on);
  test.each(OPTIMIZER_NAMES)(
    "%s: ema follows the model and does not disturb the step, in one launch",
    async (name) => {
      const one = stage.start(name, { ema: 0.75 });
      const plain = stage.start(name);
      const model = follow(one, stage);
      for (const [seed, missing] of ["a", "", "bc", "", ""].entries()) {
        await model.take(seed, missing, () => 0.25);
        await plain.take(stage.gradientsOf(seed, missing));
        await model.check();
      }
      await expectSameWeights(one, plain);
      expect(one.step).toHaveLaunched(1);
    },
  );

  test("the first average is the parameter, to the bit", async () => {
    const one = stage.start("AdamW", { ema: 0.999 });
    await one.take(stage.gradientsOf(1, "c"));
    const averages = await one.optimizer.averagedParameters();
    for (const { name, tensor } of one.optimizer.parameters) {
      expect(bitsOf(averages[name]?.data as FloatArray)).toEqual(bitsOf(await tensor.read()));
      if (tensor.storage.visible) expect(averages[name]?.data).not.toBe(tensor.data);
    }
  });

  test("swa: true averages every step", async () => {
    const one = stage.start("AdamW", { swa: true });
    const model = follow(one, stage);
    for (const [seed, missing] of ["", "ab", "", "e", ""].entries())
      await model.take(seed, missing, (n) => 1 / (n + 1));
    await model.check();
    expect(model.models.map(({ n }) => n)).toEqual([4, 4, 5, 5, 4]);
    expect(one.step).toHaveLaunched(1);
  });

  test("swa: from a step on, every so many", async () => {
    const one = stage.start("AdamW", { swa: { start: 2, every: 2 } });
    const model = follow(one, stage);
    const averages = (step: number) => step > 2 && step % 2 === 0;
    for (const [seed, missing] of ["", "a", "", "", "", "b", "", ""].entries()) {
      await model.take(seed, missing, (n) => 1 / (n + 1), averages);
      await model.check();
    }
    const { state } = await one.optimizer.stateDict();
    expect([0, 1, 2, 4].map((id) => state[id]?.n_averaged)).toEqual([2, 2, 3, 3]);
  });

  test("numbers are data", async () => {
    const [decay, begin, every] = [scalar(0.5), scalar(0), scalar(1)];
    const ema = stage.start("AdamW", { ema: decay });
    const swa = stage.start("AdamW", { swa: { start: begin, every } });
    const [emaModel, swaModel] = [follow(ema, stage), follow(swa, stage)];
    const lengths = [ema, swa].map(({ step }) => step.events.length);
    const changes: [number, number, number][] = [
      [0.5, 0, 1],
      [0, 0, 1],
      [1, 3, 1],
      [0.25, 3, 2],
      [0.9, 0, 3],
      [0.9, 0, 1],
    ];
    for (const [seed, values] of changes.entries()) {
      ema.step.ema = values[0];
      [begin.value, every.value] = [values[1], values[2]];
      await emaModel.take(seed, "", () => 1 - values[0]);
      await swaModel.take(
        seed,
        "",
        (n) => 1 / (n + 1),
        (step) => step > values[1] && step % values[2] === 0,
      );
      await emaModel.check();
      await swaModel.check();
    }
    expect(decay.value).toBe(0.9);
    expect([ema, swa].flatMap((scene, i) => compiledSince(scene, lengths[i] as number))).toEqual([]);
  });

  const OPTIONS = [{ ema: 0.9 }, { swa: true }, { swa: { start: 2, every: 2 } }] as const;

  async function resume(name: (typeof OPTIMIZER_NAMES)[number], options: object, before: boolean) {
    const one = stage.start(name, options);
    const saved: [StateDict, FloatArray[]][] = [];
    for (let seed = 0; seed < 6; seed++) {
      if (seed === 3)
        saved.push([
          structuredClone(await one.optimizer.stateDict()),
          await Promise.all(one.optimizer.parameters.map(({ tensor }) => tensor.read())),
        ]);
      await one.take(stage.gradientsOf(seed, seed === 1 ? "a" : ""));
    }
    const [dict, weights] = saved[0] as [StateDict, FloatArray[]];
    const fresh = stage.start(name, before ? {} : options);
    fresh.optimizer.parameters.forEach(({ tensor }, i) => {
      tensor.write(weights[i] as FloatArray);
    });
    fresh.optimizer.loadStateDict(dict);
    const resumed = before ? stage.sceneOf(fresh.optimizer, options) : fresh;
    for (let seed = 3; seed < 6; seed++) await resumed.take(stage.gradientsOf(seed));
    await expectTwins(fresh, one);
  }

  test.each(OPTIONS)(
    "resumes from a state dict to the bit, loaded before or after compiling: %o",
    async (options) => {
      for (const name of OPTIMIZER_NAMES)
        for (const before of [false, true]) await resume(name, options, before);
    },
  );

  test("only what averages have to do with is in the state dict", async () => {
    const one = stage.start("plain", { ema: 0.5 });
    await one.take(stage.gradientsOf(1, "bcde"));
    const { state } = await one.optimizer.stateDict();
    expect(Object.keys(state)).toEqual(["0"]);
    const { average, ...rest } = state[0] as Record<string, unknown>;
    expect(rest).toEqual({ step: 1, n_averaged: 1 });
    expect(average).toEqual({
      dtype: "float32",
      shape: [7],
      data: await one.optimizer.parameters[0]?.tensor.read(),
    });
    const plain = stage.start("plain");
    await plain.take(stage.gradientsOf(1));
    expect((await plain.optimizer.stateDict()).state).toEqual({});
  });

  test("a second step with an average is no first step for the optimizer", async () => {
    const one = stage.start("SGD");
    const plain = stage.start("SGD");
    const averaging = stage.sceneOf(one.optimizer, { ema: 0.5 });
    await one.take(stage.gradientsOf(1));
    await averaging.take(stage.gradientsOf(2)); // dampening would not hold if it were
    await plain.take(stage.gradientsOf(1));
    await plain.take(stage.gradientsOf(2));
    await expectSameWeights(one, plain);
  });

  test("with everything else: averages what the step gave, in two launches", async () => {
    const scaler = new GradScaler({ initScale: 4 });
    const options = { clipValue: 0.5, clipNorm: 1, accumulate: 2 };
    const one = stage.start("AdamW", { ...options, scaler, ema: 0.5, zeroGrad: true });
    const plain = stage.start("AdamW", { ...options, ema: 0.5 });
    for (let seed = 0; seed < 6; seed++) {
      await one.take(stage.gradientsOf(seed).map((g) => g?.map((x) => 4 * x) as FloatArray));
      await plain.take(stage.gradientsOf(seed));
    }
    await expectTwins(one, plain);
    expect(one.step.stats).toMatchObject({ steps: 3, microSteps: 0, skipped: 0 });
    expect(one.step).toHaveLaunched(stage.launches(2, 4));
    expect(await photograph(one)).not.toEqual(await photograph(stage.start("AdamW")));
  });
});

test("without averages, there are none to be had", () =>
  expect(new SGD({ w: tensor([1, 2], [2]) }).averagedParameters()).rejects.toThrow(
    expect.objectContaining({ code: "unsupported" }),
  ));

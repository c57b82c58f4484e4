/** `accumulate`: N calls make one step with the mean of their gradients. */
import "stepjit/vitest";
import { compileStep, GradScaler, SGD, scalar, tensor, wasm } from "stepjit";
import { describe, expect, test } from "vitest";
import { THREADED, tensorOn } from "../backends.ts";
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

/** Sums in order, each rounded to its array's dtype; a parameter with a gradient in none of the calls has none. */
function meanOf(calls: readonly Gradients[]): Gradients {
  const [first] = calls as [Gradients];
  const sums = first.map((_, i) =>
    calls
      .flatMap((gradients) => gradients[i] ?? [])
      .reduce<FloatArray | null>(
        (sum, g) => (sum ? (sum.map((x, k) => x + (g[k] as number)) as FloatArray) : g),
        null,
      ),
  );
  return mapEach(sums, (x) => x / calls.length);
}

describe.each(THREADED)("accumulate on $name", (on) => {
  const stage = new Stage(on);
  test.each(OPTIMIZER_NAMES)("%s: four calls are one step with the mean, one launch each", async (name) => {
    const one = stage.start(name, { accumulate: 4 });
    const plain = stage.start(name);
    const { length } = one.step.events;
    for (const cycle of [0, 1, 2]) {
      const calls = [1, 2, 3, 4].map((seed) => stage.gradientsOf(4 * cycle + seed));
      for (const [i, gradients] of calls.entries()) {
        const before = await photograph(one);
        expect(one.step.stats).toMatchObject({ steps: cycle, microSteps: i });
        await one.take(gradients);
        expect(one.step).toHaveLaunched(1);
        if (i < 3) expect(await photograph(one)).toEqual(before);
      }
      await plain.take(meanOf(calls));
      await expectTwins(one, plain);
      expect(one.step.stats).toMatchObject({ steps: cycle + 1, microSteps: 0 });
    }
    expect(compiledSince(one, length)).toEqual([]);
  });

  test.each([
    ["in a micro-step", ["", "a", "", ""]],
    ["in the first and the last call", ["ab", "", "", "ab"]],
    ["in the last call only", ["", "", "", "ace"]],
    ["in all but the last", ["bc", "bc", "bc", ""]],
    ["in the whole cycle: it is skipped", ["ae", "ae", "ae", "ae"]],
    ["for each at another time", ["a", "b", "c", "e"]],
    ["for all in the last call", ["", "", "", "abcde"]],
    ["for all in the whole cycle", ["abcde", "abcde", "abcde", "abcde"]],
  ])("a gradient missing %s", async (_, missing) => {
    for (const name of OPTIMIZER_NAMES) {
      const one = stage.start(name, { accumulate: 4 });
      const plain = stage.start(name);
      for (const cycle of [["", "", "", ""], missing, ["", "", "", ""], missing]) {
        const calls = cycle.map((names, i) => stage.gradientsOf(i + 1, names));
        for (const gradients of calls) await one.take(gradients);
        await plain.take(meanOf(calls));
      }
      await expectTwins(one, plain);
    }
  });

  test("a parameter whose gradients are all missing in the first cycle of an optimizer", async () => {
    const one = stage.start("AdamW", { accumulate: 2 });
    const plain = stage.start("AdamW");
    for (const missing of ["ac", "ac", "", "ac"]) await one.take(stage.gradientsOf(1, missing));
    await plain.take(stage.gradientsOf(1, "ac"));
    await plain.take(meanOf([stage.gradientsOf(1), stage.gradientsOf(1, "ac")]));
    await expectTwins(one, plain);
  });

  test("the number is data: lowered, the cycle ends with the next call, divided by the calls there were", async () => {
    const calls = scalar(4);
    const one = stage.start("AdamW", { accumulate: calls });
    const plain = stage.start("AdamW");
    const { length } = one.step.events;
    const take = async (seeds: readonly number[]) => {
      for (const seed of seeds) await one.take(stage.gradientsOf(seed));
      await plain.take(meanOf(seeds.map((seed) => stage.gradientsOf(seed))));
    };
    await take([1, 2, 3, 4]);
    calls.value = 1;
    await take([5]);
    one.step.accumulate = 8;
    expect(calls.value).toBe(8);
    await take([1, 2, 3, 4, 5, 6, 7, 8]);
    for (const seed of [1, 2, 3]) await one.take(stage.gradientsOf(seed));
    expect(one.step.stats).toMatchObject({ steps: 3, microSteps: 3 });
    calls.value = 2;
    await one.take(stage.gradientsOf(4));
    await plain.take(meanOf([1, 2, 3, 4].map((seed) => stage.gradientsOf(seed))));
    await expectTwins(one, plain);
    expect(one.step.stats).toMatchObject({ steps: 4, microSteps: 0 });
    expect(compiledSince(one, length)).toEqual([]);
    calls.value = 1.5;
    expect(() => one.step(stage.gradientsOf(1))).toThrow(
      "compileStep: accumulate has to be a whole number, at least 1, got 1.5",
    );
  });

  test("clips the mean, in two launches; micro-steps still take one", async () => {
    const options = { clipValue: 0.5, clipNorm: 2 };
    const one = stage.start("AdamW", { accumulate: 2, ...options });
    const plain = stage.start("AdamW", options);
    const launches: number[] = [];
    for (const seed of [1, 2, 3, 4]) {
      await one.take(stage.gradientsOf(seed));
      launches.push(one.step.stats.launches);
    }
    await plain.take(meanOf([stage.gradientsOf(1), stage.gradientsOf(2)]));
    await plain.take(meanOf([stage.gradientsOf(3), stage.gradientsOf(4)]));
    await expectTwins(one, plain);
    const whole = stage.launches(2, 3);
    expect(launches).toEqual([1, whole, 1, whole]);
  });

  test("with a scaler: a sum that is not finite skips the step, and ends the cycle", async () => {
    const scaler = new GradScaler({ initScale: 16 });
    const one = stage.start("AdamW", { accumulate: 2, scaler });
    const plain = stage.start("AdamW");
    const scaled = (seed: number, scale: number) => mapEach(stage.gradientsOf(seed), (x) => x * scale);
    const bad = scaled(2, 16);
    (bad[1] as FloatArray)[2] = NaN;

    await one.take(scaled(1, 16));
    await one.take(scaled(2, 16));
    await plain.take(meanOf([stage.gradientsOf(1), stage.gradientsOf(2)]));
    for (const order of [
      [bad, scaled(3, 16)],
      [scaled(4, 8), mapEach(bad, (x) => x)],
    ]) {
      const before = await photograph(one);
      for (const gradients of order) await one.take(gradients);
      expect(await photograph(one)).toEqual(before);
    }
    expect(scaler.scale.value).toBe(4);
    await one.take(scaled(5, 4));
    expect(scaler.scale.value).toBe(4);
    await one.take(scaled(6, 4));
    await plain.take(meanOf([stage.gradientsOf(5), stage.gradientsOf(6)]));
    await expectTwins(one, plain);
    expect(one.step.stats).toMatchObject({ steps: 4, skipped: 2, microSteps: 0 });
    expect(one.step).toHaveLaunched(stage.launches(2, 4));
  });

  test("loading state starts a new cycle; a new group does not", async () => {
    const one = stage.start("AdamW", { accumulate: 2 });
    const plain = stage.start("AdamW");
    await one.take(stage.gradientsOf(1));
    one.optimizer.loadStateDict(await one.optimizer.stateDict());
    expect(one.step.stats.microSteps).toBe(0);
    for (const seed of [2, 3]) await one.take(stage.gradientsOf(seed));
    await plain.take(meanOf([stage.gradientsOf(2), stage.gradientsOf(3)]));
    await expectTwins(one, plain);

    await one.take(stage.gradientsOf(4));
    for (const { optimizer } of [one, plain])
      optimizer.addParamGroup({ params: [["late", tensor([1, 2, 3], [3])]] });
    const late = Float32Array.of(4, 5, 6);
    await one.take([...stage.gradientsOf(5, "c"), late]);
    await plain.take([...meanOf([stage.gradientsOf(4), stage.gradientsOf(5, "c")]), late.map((x) => x / 2)]);
    await expectTwins(one, plain);
  });

  test("the sum is no state: it is in no state dict, and two steps of one optimizer share it", async () => {
    const w = tensorOn(on.backend, Float32Array.of(1, 2), [2]);
    const optimizer = new SGD({ w }, { lr: 1 });
    const scenes = [1, 2].map(() => stage.sceneOf(optimizer as never, { accumulate: 2 }));
    await scenes[0]?.take({ w: Float32Array.of(1, 2) });
    expect((await optimizer.stateDict()).state).toEqual({});
    await scenes[1]?.take({ w: Float32Array.of(3, 4) });
    expect([...(await w.read())]).toEqual([-1, -1]);
    expect(scenes.map(({ step }) => step.stats.steps)).toEqual([0, 1]);
  });

  test("arrays that kernels cannot reach: as parameters, and as gradients that move from call to call", async () => {
    const values = Float32Array.of(1, 2, 3);
    const { take } = stage.sceneOf(new SGD([values], { lr: 1 }) as never, { accumulate: 2 });
    for (let cycle = 0; cycle < 2; cycle++) {
      await take([Float32Array.of(1, 1, 2)]);
      await take([tensor([1, 3, 2], [3])]);
    }
    expect([...values]).toEqual([-1, -2, -1]);
  });
});

test("both modules are in the log and in the dumps", () => {
  const optimizer = new SGD({ w: tensor([3]) });
  const backend = wasm({ threads: 1 }); // which has compiled nothing yet
  const step = compileStep(optimizer, { accumulate: 2, backend });
  expect(step.events.filter(({ kind }) => kind === "kernel").map(({ kernel }) => kernel)).toEqual([
    "SGD f32, phase 0",
    "SGD f32, phase 0, micro-step",
  ]);
  expect(step.dump("module")).toContain('module "Micro-step + sum"');
  expect(step.dump("kernels")).toContain("state.grad_sum' = ");
  expect(step.dump("text").match(/\(module/g)).toHaveLength(2);
  backend.dispose();
});

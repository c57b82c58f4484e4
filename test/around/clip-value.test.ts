/** `clipValue` against gradients clamped by hand, and before `clipNorm`. */
import "stepjit/vitest";
import { scalar } from "stepjit";
import { describe, expect, test } from "vitest";
import { THREADED } from "../backends.ts";
import { at } from "../models.ts";
import { compiledSince, expectTwins, mapEach, OPTIMIZER_NAMES, photograph, Stage } from "./support.ts";

const clampTo = (limit: number) => (x: number) => Math.min(Math.max(x, -limit), limit);

describe.each(THREADED)("clipValue on $name", (on) => {
  const stage = new Stage(on);
  test.each(OPTIMIZER_NAMES)("%s: each element is clamped, in one launch", async (name) => {
    const clipped = stage.start(name, { clipValue: 0.25 });
    const plain = stage.start(name);
    for (const missing of ["", "b", "", "ae"]) {
      await clipped.take(stage.gradientsOf(1, missing));
      await plain.take(mapEach(stage.gradientsOf(1, missing), clampTo(0.25)));
    }
    await expectTwins(clipped, plain);
    expect(clipped.step).toHaveLaunched(1);
  });

  test("NaN stays NaN, infinities become the limit", async () => {
    const { optimizer, take } = stage.start("plain", { clipValue: 0.5 });
    const before = (await optimizer.parameters[0]?.tensor.read()) as Float32Array;
    const gradients = stage.gradientsOf(1);
    gradients[0] = Float32Array.of(NaN, Infinity, -Infinity, 0, -0, 3e38, 0.5);
    await take(gradients);
    const moved = (await optimizer.parameters[0]?.tensor.read()) as Float32Array;
    const lr = Math.fround(0.1);
    const expected = [NaN, 0.5, -0.5, 0, 0, 0.5, 0.5].map((g, i) =>
      Math.fround(at(before, i) - Math.fround(lr * g)),
    );
    expect([...moved]).toEqual(expected);
  });

  test("the norm is taken of clamped gradients", async () => {
    const both = stage.start("AdamW", { clipValue: 0.25, clipNorm: 2 });
    const norm = stage.start("AdamW", { clipNorm: 2 });
    await both.take(stage.gradientsOf(3));
    await norm.take(mapEach(stage.gradientsOf(3), clampTo(0.25)));
    await expectTwins(both, norm);
    expect(both.step).toHaveLaunched(stage.launches(2, 3));
  });

  test("a scalar is read at every step; a number set later compiles nothing", async () => {
    const limit = scalar(0.25);
    const clipped = stage.start("AdamW", { clipValue: limit });
    const plain = stage.start("AdamW");
    const { length } = clipped.step.events;
    const changes = [
      () => {},
      () => (limit.value = 0.125),
      () => (clipped.step.clipValue = 0),
      () => (limit.value = 8),
    ];
    for (const [i, value] of [0.25, 0.125, 0, 8].entries()) {
      changes[i]?.();
      expect(clipped.step.clipValue).toBe(value);
      await clipped.take(stage.gradientsOf(i));
      await plain.take(mapEach(stage.gradientsOf(i), clampTo(value)));
      await expectTwins(clipped, plain);
    }
    expect(compiledSince(clipped, length)).toEqual([]);
  });

  test("a limit that is not allowed is refused before anything is written", async () => {
    const limit = scalar(1);
    const scene = stage.start("AdamW", { clipValue: limit });
    const before = await photograph(scene);
    limit.value = -1;
    expect(() => scene.step(stage.gradientsOf(1))).toThrow(
      "compileStep: clipValue has to be a finite number, at least 0, got -1",
    );
    expect(await photograph(scene)).toEqual(before);
  });
});

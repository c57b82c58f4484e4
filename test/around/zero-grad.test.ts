/** `zeroGrad`: gradients are zeroed once they have been used, wherever they are. */
import "stepjit/vitest";
import { GradScaler, type Tensor } from "stepjit";
import { describe, expect, test } from "vitest";
import { THREADED, tensorOn } from "../backends.ts";
import { bitsOf, expectTwins, type FloatArray, OPTIMIZER_NAMES, Stage } from "./support.ts";

const isZero = (data: FloatArray) => data.every((x) => Object.is(x, 0));

/** A gradient of one of two kinds: a tensor that kernels reach where it is, or an array of the user's own. */
type Kind = Tensor | FloatArray;
const read = (gradient: Kind) => ("read" in gradient ? gradient.read() : gradient);
const write = (gradient: Kind, data: FloatArray) =>
  "write" in gradient ? gradient.write(data) : (gradient as Float64Array).set(data);

async function dataOf(gradients: readonly (Kind | null)[]): Promise<FloatArray[]> {
  return Promise.all(gradients.flatMap((gradient) => (gradient ? [read(gradient)] : [])));
}

describe.each(THREADED)("zeroGrad on $name", (on) => {
  const stage = new Stage(on);
  const KINDS: Readonly<Record<string, (seed: number, missing?: string) => (Kind | null)[]>> = {
    tensors: (seed, missing) =>
      stage.gradientsOf(seed, missing).map((g) => g && tensorOn(on.backend, g, [g.length])),
    arrays: (seed, missing) => stage.gradientsOf(seed, missing),
  };

  describe.each(Object.entries(KINDS))("of %s", (_, make) => {
    test.each(OPTIMIZER_NAMES)("%s: after the step all are zero, in the same launch", async (name) => {
      const one = stage.start(name, { zeroGrad: true });
      const plain = stage.start(name);
      for (const missing of ["", "b", ""]) {
        const gradients = make(1, missing);
        await one.take(gradients);
        await plain.take(stage.gradientsOf(1, missing));
        expect((await dataOf(gradients)).every(isZero)).toBe(true);
      }
      await expectTwins(one, plain);
      expect(one.step).toHaveLaunched(1);
    });

    test("with clipNorm not before the last launch", async () => {
      const one = stage.start("AdamW", { zeroGrad: true, clipNorm: 1 });
      const plain = stage.start("AdamW", { clipNorm: 1 });
      const gradients = make(1);
      await one.take(gradients);
      await plain.take(stage.gradientsOf(1));
      await expectTwins(one, plain);
      expect((await dataOf(gradients)).every(isZero)).toBe(true);
    });

    test("in micro-steps too, in one launch", async () => {
      const one = stage.start("AdamW", { zeroGrad: true, accumulate: 3 });
      const plain = stage.start("AdamW", { accumulate: 3 });
      const gradients = make(0);
      for (const missing of ["", "a", "", "", "", "ac"]) {
        const fresh = stage.gradientsOf(missing.length + 1, missing);
        fresh.forEach((g, i) => {
          if (g) write(gradients[i] as Kind, g);
        });
        await one.take(gradients.map((g, i) => (fresh[i] ? g : null)));
        await plain.take(fresh);
        expect((await dataOf(gradients)).every((data, i) => isZero(data) || !fresh[i])).toBe(true);
        expect(one.step).toHaveLaunched(1);
      }
      await expectTwins(one, plain);
    });

    test("of a skipped step too", async () => {
      const one = stage.start("AdamW", { zeroGrad: true, scaler: new GradScaler() });
      const gradients = make(1, "c");
      const bad = (await dataOf(gradients))[3] as FloatArray; // of e: c is missing
      bad[1] = Infinity;
      write(gradients[4] as Kind, bad);
      await one.take(gradients);
      expect(one.step.stats.skipped).toBe(1);
      expect((await dataOf(gradients)).every(isZero)).toBe(true);
    });
  });

  test("without it gradients stay as they are", async () => {
    const one = stage.start("AdamW", { accumulate: 2, scaler: new GradScaler() });
    const gradients = KINDS.tensors?.(1) ?? [];
    for (let i = 0; i < 2; i++) await one.take(gradients);
    expect((await dataOf(gradients)).map(bitsOf)).toEqual((await dataOf(stage.gradientsOf(1))).map(bitsOf));
  });
});

import * as tf from "@tensorflow/tfjs";
import { compileStep } from "stepjit/tfjs";
import { expect, it, vi } from "vitest";
import { distance, makeVariables, stepWith, useBackend, valuesOf } from "./support.ts";

/** As in a page that is not cross-origin isolated: growing the memory empties every view that tfjs was given. */
it("keeps cpu variables readable when memory that is not shared grows", async () => {
  vi.stubGlobal("crossOriginIsolated", false);
  await useBackend("cpu");
  const [ours, theirs] = [makeVariables(), makeVariables()];
  const [compiled, original] = [compileStep(tf.train.adam()), tf.train.adam()];
  const stepBoth = (seed: number) => {
    stepWith(compiled, ours, seed);
    stepWith(original, theirs, seed);
    expect(distance(valuesOf(ours), valuesOf(theirs))).toBeLessThan(1e-6);
  };
  stepBoth(0);
  const view = ours[0]?.dataSync();
  expect(view?.buffer).toBeInstanceOf(ArrayBuffer);

  const second = compileStep(tf.train.adam());
  const large = [1, 2].map(() => tf.variable(tf.zeros([5 << 20])));
  const gradient = tf.ones([5 << 20]);
  for (const { name } of large) {
    second.applyGradients({ [name]: gradient });
    expect(distance(valuesOf(ours), valuesOf(theirs))).toBeLessThan(1e-6);
  }
  expect(view).toHaveLength(0);
  stepBoth(1);
  expect(large[0]?.min().dataSync()[0]).toBeCloseTo(-0.001, 6);
  tf.dispose([ours, theirs, large, gradient]);
});

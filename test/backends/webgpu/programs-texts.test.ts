/** The programs of every optimizer, whatever goes around it, are WGSL that a device with no more than the common limits takes. */
import { GradScaler, tensor } from "stepjit";
import { describe, expect, test } from "vitest";
import { emitPrograms } from "../../../src/backends/webgpu/programs.ts";
import { worksOf } from "../../../src/plan/work.ts";
import { type AroundOptions, arrange } from "../../../src/step/around.ts";
import { compiledModule } from "../../../src/step/cache.ts";
import { classify } from "../../../src/step/classes.ts";
import { type AnyOptimizerClass, CASES, type Subject } from "../../optim/subjects.ts";
import { compile, nullDevice } from "./dawn.ts";

/** A vector, a matrix, what is interleaved, and points: each class of parameters that an optimizer can have. */
const SHAPES = [[7], [5, 3], [4, 3, 2, 2], [2, 3, 1, 1]];

const ARRANGEMENTS: Readonly<Record<string, () => AroundOptions>> = {
  "by itself": () => ({}),
  clipped: () => ({ clipNorm: 1 }),
  scaled: () => ({ scaler: new GradScaler() }),
  "accumulated, scaled, clipped and averaged": () => ({
    accumulate: 3,
    scaler: new GradScaler(),
    clipNorm: 1,
    swa: true,
  }),
};

const device = nullDevice();

function textsOf(
  make: AnyOptimizerClass,
  { options, second }: Subject,
  around: AroundOptions,
  resident: readonly string[],
): string[] {
  const optimizer = new make(
    [options, { ...options, ...second }].map((group) => ({
      ...group,
      params: SHAPES.map((shape) => tensor(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape)),
    })),
  );
  const { classes } = classify(optimizer);
  const { transforms } = arrange(optimizer, around);
  const residence = { programs: "device", hypers: resident } as const;
  const { module, layouts } = compiledModule(optimizer.definition, classes, transforms, residence);
  return worksOf(module, layouts).flatMap((work) => (work.programs ? [emitPrograms(work, layouts)] : []));
}

describe.each(CASES)("$name", ({ name, make, subject }) => {
  const { launches = 1 } = subject;
  test.each([
    ["by itself", [], launches > 1],
    ["by itself", ["lr"], name !== "Rprop"], // which reads it only where its state begins
    ["clipped", [], true],
    ["scaled", [], true],
    ["scaled", ["lr"], true],
    ["accumulated, scaled, clipped and averaged", [], true],
  ])("%s, on the device: %o", async (around, resident, some) => {
    const texts = textsOf(make, subject, ARRANGEMENTS[around]?.() ?? {}, resident);
    expect(texts.length > 0).toBe(some);
    for (const text of texts) {
      expect([...text.matchAll(/var<storage/g)].length).toBeLessThanOrEqual(8);
      await compile(await device, text);
    }
  });
});

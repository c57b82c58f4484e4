/** Every kernel of every optimizer, whatever goes around it, is WGSL that a device with no more than the common limits takes. */
import { GradScaler, type Optimizer, tensor } from "stepjit";
import { describe, expect, test } from "vitest";
import type { PhaseWork } from "../../../src/backends/backend.ts";
import { emitKernels } from "../../../src/backends/webgpu/emit.ts";
import { microStep } from "../../../src/optim/around/accumulate.ts";
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
  clipped: () => ({ clipNorm: 1, clipValue: 2, zeroGrad: true }),
  scaled: () => ({ scaler: new GradScaler() }),
  "accumulated and averaged": () => ({ accumulate: 3, ema: 0.9, clipNorm: 1 }),
  "averaged with equal weights": () => ({ swa: true, zeroGrad: true }),
};

const device = nullDevice();

function optimizerOf(make: AnyOptimizerClass, { options, second }: Subject): Optimizer {
  return new make(
    [options, { ...options, ...second }].map((group) => ({
      ...group,
      params: SHAPES.map((shape) => tensor(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape)),
    })),
  );
}

const ON_DEVICE = { programs: "device", hypers: [] } as const;

/** All texts of a step, and whether stores are guarded. */
function textsOf(optimizer: Optimizer, options: AroundOptions): string[] {
  const { classes } = classify(optimizer);
  const { transforms, micro } = arrange(optimizer, options);
  const modules = [compiledModule(optimizer.definition, classes, transforms, ON_DEVICE)];
  if (micro)
    modules.push(
      compiledModule(
        microStep,
        classes.map((spec) => ({ ...spec, view: "vector" as const })),
        micro,
        ON_DEVICE,
      ),
    );
  return modules.flatMap(({ module, layouts }) =>
    worksOf(module, layouts).flatMap((work: PhaseWork) =>
      [false, true].map((guarded) => emitKernels({ ...work, guarded }, layouts)),
    ),
  );
}

describe.each(CASES)("$name", ({ make, subject }) => {
  test.each(Object.keys(ARRANGEMENTS))("%s", async (name) => {
    const optimizer = optimizerOf(make, subject);
    const texts = textsOf(optimizer, ARRANGEMENTS[name]?.() ?? {});
    expect(texts.length).toBeGreaterThan(1);
    for (const text of texts) await compile(await device, text);
  });
});

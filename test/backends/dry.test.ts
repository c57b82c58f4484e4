/** A dry step does all that can be counted as the real one does, over tensors without elements. */
import { expect, test } from "vitest";
import type { Backend } from "../../src/backends/backend.ts";
import { DryBackend } from "../../src/backends/dry/dry.ts";
import { WatGenerator } from "../../src/backends/wasm/generator.ts";
import { wasm } from "../../src/backends/wasm/index.ts";
import { WgslGenerator } from "../../src/backends/webgpu/generator.ts";
import {
  Adafactor,
  AdamW,
  compileStep,
  GradScaler,
  LAMB,
  type Optimizer,
  type Tensor,
} from "../../src/index.ts";
import { makeTensor } from "../../src/make-tensor.ts";

const SHAPES = { embed: [300, 70], norm: [70], bias: [] };
const OPTIMIZERS = { AdamW, Adafactor, LAMB };

function stepOver(backend: Backend, name: keyof typeof OPTIMIZERS, options = {}) {
  const tensors = () =>
    Object.fromEntries(Object.entries(SHAPES).map(([name, shape]) => [name, makeTensor(backend, shape)]));
  const optimizer: Optimizer = new OPTIMIZERS[name](tensors());
  const step = compileStep(optimizer, { ...options, backend });
  const gradients: Record<string, Tensor> = tensors();
  for (let i = 0; i < 3; i++) step(gradients);
  return { step, optimizer };
}

for (const name of ["AdamW", "Adafactor", "LAMB"] as const)
  for (const options of [{}, { clipNorm: 1, ema: 0.9 }])
    test(`${name} ${JSON.stringify(options)}: what wasm counts`, () => {
      const { step: wet } = stepOver(wasm({ threads: 1 }), name, options);
      const { step: dry } = stepOver(new DryBackend(new WatGenerator(true)), name, options);
      const { milliseconds: _, traces: __, ...counts } = wet.stats;
      expect(dry.stats).toMatchObject(counts);
      expect(dry.dump("text")).toBe(wet.dump("text"));
      expect(String(dry.explain())).toBe(String(wet.explain()));
    });

test("a device's kernels without a device, and its steps are all committed", async () => {
  const { step, optimizer } = stepOver(new DryBackend(new WgslGenerator()), "AdamW", {
    scaler: new GradScaler(),
    clipNorm: 1,
  });
  expect(step.dump("text")).toContain("@compute");
  await step.finished();
  expect(step.stats).toMatchObject({ steps: 3, skipped: 0 });
  expect([...optimizer.counts.values]).toEqual([3, 3, 3]);
});

test("a dry tensor has no elements to read", async () => {
  const tensor = makeTensor(new DryBackend(new WatGenerator(true)), [1_000_000, 1_000_000]);
  expect(tensor.size).toBe(1e12);
  expect(() => tensor.data).toThrow("device");
  await expect(tensor.read()).rejects.toThrow("no elements");
});

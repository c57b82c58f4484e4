import { AdamW, compileStep, scalar, tensor } from "stepjit";
import { expectNoRecompiles } from "stepjit/vitest";
import { expect, test } from "vitest";
import model from "../model.json" with { type: "json" };
import { NormalizedSGD } from "../normalized-sgd.ts";

const tensors = () => Object.fromEntries(Object.entries(model).map(([name, shape]) => [name, tensor(shape)]));

test("a training run compiles once, whatever its schedule does", () => {
  const lr = scalar(0);
  const optimizer = new AdamW(tensors(), { lr, weightDecay: 0.01 });
  const step = compileStep(optimizer, { clipNorm: 1, onRecompile: "error" });
  step(tensors());
  expectNoRecompiles(() => {
    for (let epoch = 1; epoch <= 10; epoch++) {
      lr.value = 1e-3 * Math.min(1, epoch / 3);
      for (const group of optimizer.paramGroups) group.weightDecay = 0.01 / epoch;
      step(tensors());
    }
  });
  expect(step).toHaveCompiled({ traces: 1, kernels: 2, plans: 1 });
  expect(step).toHaveLaunched(2);
  expect(step).toMoveAtMost(1.15);
});

test("our own optimizer is one kernel, which moves every tensor once", () => {
  const step = compileStep(new NormalizedSGD(tensors()));
  step(tensors());
  expect(step).toHaveLaunched(1);
  expect(step).toMoveAtMost(1);
});

test("its kernel is what it was", () => {
  const step = compileStep(new NormalizedSGD(tensors()));
  expect(step).toMatchInlineIR(
    { stage: "kernels" },
    `
    "module "NormalizedSGD"

    kernel "NormalizedSGD f32" phase 0 flat {
      f32[lead,row,col]  %0 = param
      f32[lead,row,col]  %1 = grad
      f64@group          %2 = scalar 0
      f32[lead,row,col]  %3 = state velocity
      f32[lead,row,col]  %4 = broadcast %2
      f32[lead,row,col]  %5 = mul %4 %3
      f32[lead,row,col]  %6 = add %5 %1
      f64@group          %7 = scalar 1
      f32[lead,row,col]  %8 = broadcast %7
      f32[lead,row,col]  %9 = mul %8 %6
      f32[lead,row,col]  %10 = sub %0 %9
      param' = %10
      state.velocity' = %6
    }"
  `,
  );
});

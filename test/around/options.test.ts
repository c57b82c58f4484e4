/** What compileStep refuses of what goes around a step, and what it says of it. */
import { AdamW, compileStep, defineOptimizer, GradScaler, SGD, tensor } from "stepjit";
import { add, sub } from "stepjit/ops";
import { describe, expect, test } from "vitest";
import { fresh } from "../fresh.ts";

const optimizer = () => new SGD({ w: tensor([2]) });

describe("refuses", () => {
  test.each([
    [{ clipValue: "1" }, "invalid-option", 'clipValue is a number or a scalar, got "1"'],
    [{ clipValue: -1 }, "invalid-hyperparameter", "clipValue has to be a finite number, at least 0, got -1"],
    [{ scaler: {} }, "invalid-option", "scaler is a GradScaler, got Object"],
    [{ accumulate: 0 }, "invalid-hyperparameter", "accumulate has to be a whole number, at least 1, got 0"],
    [
      { accumulate: 2.5 },
      "invalid-hyperparameter",
      "accumulate has to be a whole number, at least 1, got 2.5",
    ],
    [
      { accumulate: NaN },
      "invalid-hyperparameter",
      "accumulate has to be a whole number, at least 1, got NaN",
    ],
    [
      { ema: 1.1 },
      "invalid-hyperparameter",
      "ema has to be a finite number, at least 0 and at most 1, got 1.1",
    ],
    [{ ema: true }, "invalid-option", "ema is a number or a scalar, got true"],
    [{ swa: 1 }, "invalid-option", "swa is true, false, or { start, every }"],
    [{ swa: { from: 1 } }, "invalid-option", "swa is true, false, or { start, every }"],
    [{ swa: { every: 0 } }, "invalid-hyperparameter", "every has to be a whole number, at least 1, got 0"],
    [{ swa: true, ema: 0.9 }, "invalid-option", "ema and swa both keep the average of a parameter"],
    [{ zeroGrad: 1 }, "invalid-option", "zeroGrad is true or false, got 1"],
  ])("%o", (options, code, message) => {
    expect(() => compileStep(optimizer(), options as never)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(`compileStep: ${message}`) }),
    );
  });

  test("an average beside a slot of the optimizer's own by the same name", () => {
    const Own = defineOptimizer({
      name: "Own",
      hyper: { lr: { default: 1 } },
      state: { average: {} },
      update({ param, grad, state }) {
        state.average = add(state.average, grad);
        return sub(param, state.average);
      },
    });
    expect(() => compileStep(new Own([tensor([2])]), { ema: 0.9 })).toThrow(
      "compileStep: Own has a state average of its own, which ema would need",
    );
    compileStep(new Own([tensor([2])]), { clipValue: 1, accumulate: 2 })([Float32Array.of(1, 1)]);
  });

  test("setting a number that was not asked for", () => {
    const step = compileStep(optimizer(), { swa: false, zeroGrad: false });
    for (const name of ["clipNorm", "clipValue", "accumulate", "ema"] as const) {
      expect(step[name]).toBeUndefined();
      expect(() => {
        step[name] = 1;
      }).toThrow(`this step was compiled without ${name}`);
    }
  });
});

test("what is off is not compiled in", () => {
  const plain = compileStep(optimizer()).dump("text");
  expect(compileStep(optimizer(), { swa: false, zeroGrad: false }).dump("text")).toBe(plain);
});

test("a key names all that goes around, in order, and another instance finds everything compiled", () => {
  const Fresh = fresh(AdamW);
  const options = () => ({
    zeroGrad: true,
    clipNorm: 1,
    ema: 0.9,
    clipValue: 1,
    accumulate: 2,
    scaler: new GradScaler(),
  });
  const first = compileStep(new Fresh([tensor([3])]), options());
  const [trace] = first.events;
  expect(trace?.changes.find(({ part }) => part === "gradient transforms")?.after).toBe(
    "accumulate, scaler, clipValue, clip, ema, zeroGrad",
  );
  expect(first.stats).toMatchObject({ traces: 2, plans: 1 });
  const second = compileStep(new Fresh([tensor([5]), tensor([2, 2])]), { ...options(), ema: 0.5 });
  expect(second.stats).toMatchObject({ traces: 0, kernels: 0, plans: 1 });
});

import * as tf from "@tensorflow/tfjs";
import { AdamW, StepjitError } from "stepjit";
import { compileOptimizer, compileStep } from "stepjit/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import { BACKENDS, makeGradients, makeVariables, stepWith, useBackend, valuesOf } from "./support.ts";

function errorOf(run: () => unknown): StepjitError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(StepjitError);
    return error as StepjitError;
  }
  throw new Error("nothing was thrown");
}

describe.each(BACKENDS)("a refused step on the %s backend", (backend) => {
  beforeAll(() => useBackend(backend));

  /** What is put in place of one gradient, and what the refusal says. */
  const wrong: Readonly<
    Record<string, [(gradients: tf.NamedTensorMap, name: string) => void, string, RegExp]>
  > = {
    "a gradient's shape": [
      (gradients, name) => Object.assign(gradients, { [name]: tf.zeros([7, 5]) }),
      "invalid-gradient",
      /gradient of variable "set\d+\/kernel" is float32 of shape \[7,5\], the variable float32 of shape \[5,7\]/,
    ],
    "a gradient's dtype": [
      (gradients, name) => Object.assign(gradients, { [name]: tf.zeros([5, 7], "int32") }),
      "invalid-gradient",
      /"set\d+\/kernel" is int32/,
    ],
    "a disposed gradient": [
      (gradients, name) => gradients[name]?.dispose(),
      "disposed",
      /gradient of variable "set\d+\/kernel" was disposed/,
    ],
    "an unknown variable": [
      (gradients) => Object.assign(gradients, { nobody: tf.zeros([1]) }),
      "invalid-gradient",
      /no variable "nobody"/,
    ],
    "a variable that is not float32": [
      (gradients) => {
        const counter = tf.variable(tf.zeros([1], "int32"));
        Object.assign(gradients, { [counter.name]: tf.zeros([1]) });
      },
      "unsupported",
      /is int32; only float32/,
    ],
  };

  it.each(Object.keys(wrong))("for %s changes nothing and can be repeated rightly", (name) => {
    const [spoil, code, message] = wrong[name] as (typeof wrong)[string];
    const variables = makeVariables();
    const optimizer = compileStep(tf.train.adam());
    stepWith(optimizer, variables, 0);
    const before = valuesOf(variables);
    const gradients = makeGradients(variables, 1);
    spoil(gradients, (variables[0] as tf.Variable).name);
    const error = errorOf(() => optimizer.applyGradients(gradients));
    expect([error.code, error.message]).toEqual([code, expect.stringMatching(message)]);
    expect(valuesOf(variables)).toEqual(before);
    expect(optimizer.iterations).toBe(1);
    stepWith(optimizer, variables, 1);
    expect(valuesOf(variables)).not.toEqual(before);
    tf.dispose(variables);
  });

  it("for a variable that was disposed names it", () => {
    const variables = makeVariables();
    const optimizer = compileStep(tf.train.adam());
    stepWith(optimizer, variables, 0);
    const gradients = makeGradients(variables, 1);
    const [gone, ...rest] = variables as [tf.Variable, ...tf.Variable[]];
    gone.dispose();
    const before = valuesOf(rest);
    const error = errorOf(() => optimizer.applyGradients(gradients));
    expect([error.code, error.message]).toEqual(["disposed", expect.stringContaining(`"${gone.name}"`)]);
    expect(valuesOf(rest)).toEqual(before);
    stepWith(optimizer, rest, 1);
    expect(valuesOf(rest)).not.toEqual(before);
    tf.dispose(rest);
  });

  it("for a hyperparameter names it, at once", () => {
    const optimizer = compileOptimizer(AdamW, { lr: 1e-3 });
    const error = errorOf(() => {
      optimizer.lr = -1;
    });
    expect([error.code, error.message]).toEqual(["invalid-hyperparameter", expect.stringContaining("lr")]);
    expect(optimizer.lr).toBe(1e-3);
    expect(errorOf(() => compileOptimizer(AdamW, { betas: [0.9, 1] })).code).toBe("invalid-hyperparameter");
  });

  it("after dispose says so", () => {
    const variables = makeVariables();
    const optimizer = compileStep(tf.train.sgd(1));
    stepWith(optimizer, variables, 0);
    optimizer.dispose();
    optimizer.dispose();
    expect(errorOf(() => stepWith(optimizer, variables, 1)).code).toBe("disposed");
    tf.dispose(variables);
  });
});

it("refuses a step for whose state tfjs's memory has no room, and can be repeated", async () => {
  await useBackend("wasm");
  const variables = makeVariables();
  const before = valuesOf(variables);
  const gradients = makeGradients(variables, 0);
  const optimizer = compileStep(tf.train.adam());
  const { wasm } = tf.backend() as unknown as { wasm: { _malloc: (bytes: number) => number } };
  const malloc = wasm._malloc;
  wasm._malloc = () => 0;
  const error = errorOf(() => optimizer.applyGradients(gradients));
  wasm._malloc = malloc;
  expect(error.code).toBe("out-of-memory");
  expect(valuesOf(variables)).toEqual(before);
  optimizer.applyGradients(gradients);
  expect(valuesOf(variables)).not.toEqual(before);
  tf.dispose([variables, gradients]);
  optimizer.dispose();
});

it("refuses what is no optimizer of TensorFlow.js, and one that would lose its state", async () => {
  await useBackend("cpu");
  class Custom extends tf.SGDOptimizer {
    override getClassName(): string {
      return "Custom";
    }
  }
  expect(errorOf(() => compileStep(new Custom(1))).message).toMatch(/SGD, Momentum.*got "Custom"/);
  expect(errorOf(() => compileStep(undefined as never)).code).toBe("unsupported");
  const used = tf.train.adam();
  const variables = makeVariables();
  stepWith(used, variables, 0);
  expect(errorOf(() => compileStep(used)).message).toMatch(/has taken 1 steps.*setWeights/s);
  tf.dispose(variables);
});

it("refuses other backends of TensorFlow.js, saying which work", async () => {
  await useBackend("cpu");
  const variables = makeVariables();
  const gradients = makeGradients(variables, 0);
  tf.registerBackend("elsewhere", () => tf.findBackend("cpu"));
  await tf.setBackend("elsewhere");
  const error = errorOf(() => compileStep(tf.train.sgd(1)).applyGradients(gradients));
  expect([error.code, error.message]).toEqual([
    "unsupported",
    expect.stringMatching(/cpu, wasm, webgpu; the current one is elsewhere/),
  ]);
  await tf.setBackend("cpu");
  tf.dispose([variables, gradients]);
});

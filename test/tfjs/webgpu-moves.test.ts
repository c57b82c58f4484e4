import * as tf from "@tensorflow/tfjs";
import { StepjitError } from "stepjit";
import { type CompiledOptimizer, compileStep } from "stepjit/tfjs";
import { afterEach, beforeEach, expect, it } from "vitest";
import { distance, useBackend } from "./support.ts";
import { describeOnTfjs, makeGradients, read } from "./webgpu-support.ts";

describeOnTfjs("between the webgpu backend and others", () => {
  let ours: tf.Variable[];
  let theirs: tf.Variable[];
  let compiled: CompiledOptimizer;
  let original: tf.Optimizer;

  beforeEach(async () => {
    await useBackend("wasm");
    [ours, theirs] = [makeOnHost(), makeOnHost()];
    [compiled, original] = [compileStep(tf.train.adam(0.01)), tf.train.adam(0.01)];
  });

  afterEach(() => {
    tf.dispose([ours, theirs]);
    compiled.dispose();
  });

  let sets = 0;

  function makeOnHost(): tf.Variable[] {
    sets++;
    return [[3], [40, 50], []].map((shape, i) =>
      tf.variable(tf.fill(shape, i + 1), true, `moved${sets}/${i}`),
    );
  }

  function stepBoth(seed: number): void {
    for (const [optimizer, variables] of [
      [compiled, ours],
      [original, theirs],
    ] as const) {
      const gradients = makeGradients(variables, seed);
      optimizer.applyGradients(gradients);
      tf.dispose(gradients);
    }
  }

  async function expectEqual(): Promise<void> {
    expect(distance(await read(ours), await read(theirs))).toBeLessThan(5e-6);
  }

  /** To another backend; in Node, tfjs can take along from the GPU only what was read. */
  async function moveTo(backend: string): Promise<void> {
    await read([...ours, ...theirs]);
    await Promise.all((await original.getWeights()).map(({ tensor }) => tensor.data()));
    await useBackend(backend);
  }

  it("state goes along to the GPU", async () => {
    stepBoth(0);
    await moveTo("webgpu");
    for (let step = 1; step < 4; step++) stepBoth(step);
    await expectEqual();
  });

  it("state does not leave the GPU by itself, but with the weights", async () => {
    await useBackend("webgpu");
    for (let step = 0; step < 3; step++) stepBoth(step);
    await moveTo("wasm");
    const before = await read(ours);
    const gradients = makeGradients(ours, 3);
    const refused = () => compiled.applyGradients(gradients);
    expect(refused).toThrow(StepjitError);
    expect(refused).toThrow(
      /its state is in GPU memory.*await optimizer\.setWeights\(await optimizer\.getWeights\(\)\)/,
    );
    expect(await read(ours)).toEqual(before);
    await compiled.setWeights(await compiled.getWeights());
    expect(compiled.iterations).toBe(3);
    tf.dispose(gradients);
    for (let step = 3; step < 6; step++) stepBoth(step);
    await expectEqual();
    await moveTo("webgpu");
    stepBoth(6);
    await expectEqual();
  });

  it("what has no state goes both ways", async () => {
    const optimizer = compileStep(tf.train.sgd(1));
    const ones = () => Object.fromEntries(ours.map((variable) => [variable.name, tf.onesLike(variable)]));
    for (const backend of ["webgpu", "wasm", "webgpu", "cpu"]) {
      await moveTo(backend);
      optimizer.applyGradients(ones());
    }
    expect((await read(ours)).map(([first]) => first)).toEqual([-3, -2, -1]);
    optimizer.dispose();
  });
});

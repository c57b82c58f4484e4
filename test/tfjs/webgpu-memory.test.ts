import * as tf from "@tensorflow/tfjs";
import { type CompiledOptimizer, compileStep } from "stepjit/tfjs";
import { expect, it } from "vitest";
import { distance, sizeOf } from "./support.ts";
import {
  countWork,
  describeOnTfjs,
  deviceOfTfjs,
  entryOf,
  LARGE,
  makeGradients,
  makeOnGpu,
  makeVariables,
  read,
  stepWith,
  upload,
} from "./webgpu-support.ts";

const sgd = (): CompiledOptimizer => compileStep(tf.train.sgd(1));

describeOnTfjs("variables' buffers on the webgpu backend", () => {
  it("are written in place, and nothing is read back", async () => {
    const variables = makeVariables();
    const optimizer = compileStep(tf.train.adam());
    stepWith(optimizer, variables, 0);
    const before = variables.map((variable) => ({ id: variable.dataId, buffer: entryOf(variable).resource }));
    const { reads } = countWork(() => stepWith(optimizer, variables, 1));
    expect(reads).toBe(0);
    expect(
      variables.map((variable) => ({ id: variable.dataId, buffer: entryOf(variable).resource })),
    ).toEqual(before);
    expect(variables.every((variable) => entryOf(variable).resource)).toBe(true);
    tf.dispose(variables);
    optimizer.dispose();
  });

  it.each([
    ["small ones, on the CPU until now", [4], (_: tf.Tensor) => {}],
    ["small ones, on the GPU", [4], upload],
    ["large ones", LARGE, upload],
  ] as const)(
    "belong to the variable: clones, reshapes and what it was made from keep what they saw: %s",
    async (_, shape, place) => {
      const made = tf.tensor(new Float32Array(sizeOf(shape)).fill(3), [...shape]);
      const variable = tf.variable(made);
      const optimizer = sgd();
      const gradient = tf.onesLike(made);
      place(made);
      const step = () => optimizer.applyGradients({ [variable.name]: gradient });
      step();
      const clone = variable.clone();
      const reshaped = variable.reshape([-1]);
      step();
      step();
      const all = await read([made, clone, reshaped, variable, gradient]);
      expect(all.map((values) => [...new Set(values)])).toEqual([[3], [2], [2], [0], [1]]);
      tf.dispose([made, variable, clone, reshaped, gradient]);
      optimizer.dispose();
    },
  );

  it("are their own where two variables were made from one tensor, or one gradient is the variable itself", async () => {
    const made = tf.tensor([1, 2, 3, 4]);
    const [a, b] = [tf.variable(made), tf.variable(made)];
    made.dispose();
    const optimizer = sgd();
    const gradients = { [a.name]: tf.ones([4]), [b.name]: b.clone() };
    optimizer.applyGradients(gradients);
    expect(await read([a, b])).toEqual([
      [0, 1, 2, 3],
      [0, 0, 0, 0],
    ]);
    tf.dispose([a, b, gradients]);
    optimizer.dispose();
  });

  it("may share one gradient", async () => {
    for (const size of [4, sizeOf(LARGE)]) {
      const variables = makeOnGpu([[size], [size]]);
      const before = await read(variables);
      const optimizer = sgd();
      const gradient = tf.ones([size]);
      optimizer.applyGradients(Object.fromEntries(variables.map(({ name }) => [name, gradient])));
      expect(
        distance(
          await read(variables),
          before.map((values) => values.map((x) => x - 1)),
        ),
      ).toBeLessThan(1e-6);
      tf.dispose([variables, gradient]);
      optimizer.dispose();
    }
  });

  it.each([true, false])("of the user's own, and padded ones, are copied (zeroCopy %s)", async (zeroCopy) => {
    const { STORAGE, COPY_SRC, COPY_DST } = GPUBufferUsage;
    const usage = STORAGE | COPY_SRC | (zeroCopy ? 0 : COPY_DST); // tfjs copies into a buffer of the same usage
    const buffer = deviceOfTfjs().createBuffer({ size: 32, usage, mappedAtCreation: true });
    new Float32Array(buffer.getMappedRange()).set([1, 2, 3, 4, 5, 6, 7, 8]);
    buffer.unmap();
    const made = tf.tensor({ buffer, zeroCopy }, [5]);
    const variable = tf.variable(made);
    made.dispose();
    const optimizer = sgd();
    const gradient = tf.ones([5]);
    optimizer.applyGradients({ [variable.name]: gradient });
    expect(await read([variable])).toEqual([[0, 1, 2, 3, 4]]);
    expect(entryOf(variable).resource).not.toBe(buffer);
    const again = tf.tensor({ buffer, zeroCopy: true }, [8]);
    expect(await read([again])).toEqual([[1, 2, 3, 4, 5, 6, 7, 8]]);
    tf.dispose([variable, gradient, again]);
    buffer.destroy();
    optimizer.dispose();
  });

  it("are read anew after a step, by data() and by tfjs's kernels", async () => {
    const [variable] = makeOnGpu([[2000]]) as [tf.Variable];
    const [[before]] = (await read([variable])) as [[number]];
    const optimizer = sgd();
    const gradient = tf.ones([2000]);
    for (let step = 1; step < 4; step++) {
      optimizer.applyGradients({ [variable.name]: gradient });
      const doubled = variable.mul(2);
      const [[value], [twice]] = (await read([variable, doubled])) as [[number], [number]];
      expect(value).toBeCloseTo(before - step, 5);
      expect(twice).toBeCloseTo(2 * (before - step), 5);
      expect(variable.dataSync()[0]).toBe(value); // read once, kept until the next step
      doubled.dispose();
    }
    tf.dispose([variable, gradient]);
    optimizer.dispose();
  });

  it("are not mistaken for what a read saw that a step overtook", async () => {
    const [variable] = makeOnGpu([[2000]]) as [tf.Variable];
    const optimizer = sgd();
    const gradient = tf.ones([2000]);
    const step = () => optimizer.applyGradients({ [variable.name]: gradient });
    step();
    const first = variable.data();
    step();
    const [old] = await first;
    const [now] = await variable.data();
    expect(now).toBeCloseTo((old as number) - 1, 5);
    tf.dispose([variable, gradient]);
    optimizer.dispose();
  });

  it("are found again after assign", async () => {
    const [ours, theirs] = [makeVariables(), makeVariables()];
    const [compiled, original] = [compileStep(tf.train.adam(0.01)), tf.train.adam(0.01)];
    for (let step = 0; step < 6; step++) {
      stepWith(compiled, ours, step);
      stepWith(original, theirs, step);
      if (step % 2 === 0)
        for (const variable of [...ours, ...theirs])
          tf.tidy(() => variable.assign(variable.mul(0.5) as tf.Tensor<never>));
      expect(distance(await read(ours), await read(theirs))).toBeLessThan(5e-6);
    }
    tf.dispose([ours, theirs]);
    compiled.dispose();
  });

  it("follow the variable's name: gradients in changed order, absent, and of variables that appear or are disposed later", async () => {
    const [ours, theirs] = [makeVariables(), makeVariables()];
    const [compiled, original] = [compileStep(tf.train.momentum(0.1, 0.9)), tf.train.momentum(0.1, 0.9)];
    stepWith(compiled, ours.slice(0, 4), 0);
    stepWith(original, theirs.slice(0, 4), 0);
    const gradients = makeGradients(ours, 1);
    compiled.applyGradients(
      Object.entries(gradients)
        .reverse()
        .map(([name, tensor]) => ({ name, tensor })),
    );
    stepWith(original, theirs, 1); // tfjs keys by position
    expect(distance(await read(ours), await read(theirs))).toBeLessThan(5e-6);

    const before = await read(ours);
    const [first, second] = ours as [tf.Variable, tf.Variable];
    compiled.applyGradients({ [first.name]: gradients[first.name] as tf.Tensor });
    const moved = (await read(ours)).map((values, i) => String(values) !== String(before[i]));
    expect(moved).toEqual(ours.map((variable) => variable === first));

    second.dispose();
    stepWith(
      compiled,
      ours.filter((variable) => variable !== second),
      2,
    );
    tf.dispose([ours, theirs, gradients]);
    compiled.dispose();
  });

  it("stay the same in number over 50 steps, and so do tfjs's tensors", async () => {
    const started = tf.memory();
    const variables = makeVariables();
    const optimizer = compileStep(tf.train.adam());
    const loss = () => tf.addN(variables.map((variable) => variable.square().sum())) as tf.Scalar;
    const step = () => optimizer.minimize(loss, false, variables);
    for (let warmUp = 0; warmUp < 3; warmUp++) step();
    await read(variables);
    const { numTensors, numDataBuffers, numBytes, numBytesInGPU } = memory();
    const allocated = memory().numBytesAllocatedInGPU;
    for (let i = 0; i < 50; i++) step();
    await read(variables);
    expect(memory()).toMatchObject({ numTensors, numDataBuffers, numBytes, numBytesInGPU });
    expect(memory().numBytesAllocatedInGPU).toBeLessThanOrEqual(allocated);
    tf.dispose(variables);
    optimizer.dispose();
    expect(tf.memory().numTensors).toBe(started.numTensors);
  });

  /** tfjs's figures for this backend. */
  function memory(): tf.MemoryInfo & { numBytesInGPU: number; numBytesAllocatedInGPU: number } {
    return tf.memory() as never;
  }
});

describeOnTfjs("what a step asks of the GPU", () => {
  it.each([
    [50, 0],
    [150, 0],
    [50, 3],
  ])(
    "is one submit for %i small and %i large variables, a dispatch for all the small and one for each large",
    (small, large) => {
      const shapes = [...Array(small).fill([32]), ...Array(large).fill(LARGE)];
      const variables = makeOnGpu(shapes);
      const gradients = Object.fromEntries(
        makeOnGpu(shapes, 7).map((tensor, i) => [variables[i]?.name, tensor]),
      );
      const optimizer = compileStep(tf.train.adam());
      const step = () => optimizer.applyGradients(gradients as tf.NamedTensorMap);
      step();
      for (let repeat = 0; repeat < 3; repeat++) {
        const { submits, dispatches, copies, reads } = countWork(step);
        expect({ submits, dispatches, reads }).toEqual({ submits: 1, dispatches: 1 + large, reads: 0 });
        expect(copies).toBeLessThanOrEqual(3 * small); // parameter in, gradient in, parameter out
      }
      tf.dispose([variables, gradients as tf.NamedTensorMap]);
      optimizer.dispose();
    },
  );

  it("ends with the commands that tfjs had not submitted yet", async () => {
    const variables = makeOnGpu([[2000]]);
    const optimizer = sgd();
    const before = await read(variables);
    stepWith(optimizer, variables, 0);
    let gradient: tf.Tensor | undefined;
    const { submits } = countWork(() => {
      gradient = variables[0]?.mul(0.5);
      optimizer.applyGradients({ [variables[0]?.name as string]: gradient as tf.Tensor });
    });
    expect(submits).toBe(1);
    expect(before).toHaveLength(1);
    tf.dispose([variables, gradient as tf.Tensor]);
    optimizer.dispose();
  });
});

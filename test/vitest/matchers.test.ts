/** stepjit/vitest, which a user's tests import. */
import { AdamW, compileStep, reference, SGD, type Step, tensor } from "stepjit";
import { expectNoRecompiles } from "stepjit/vitest";
import { describe, expect, test } from "vitest";
import { fresh } from "../fresh.ts";

const gradients = { w: new Float32Array(12).fill(1) };

/** New maths was never traced, and a new backend has compiled nothing. */
function start(options: object = {}) {
  const make = fresh(SGD);
  const optimizer = new make({ w: tensor([4, 3]) }, { lr: 0.1 });
  const step = compileStep(optimizer, { backend: reference(), ...options });
  return { step, group: optimizer.paramGroups[0] as object };
}

/** What a failure says; times vary. */
function complaintOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return (error as Error).message.replace(/\d+\.\d+ ms/g, "N ms");
  }
  return "nothing";
}

describe("toHaveCompiled", () => {
  test("counts what was done", () => {
    const { step, group } = start();
    step(gradients);
    expect(step).toHaveCompiled({ kernels: 1, traces: 1, plans: 1 });
    Object.assign(group, { nesterov: false, lr: 0.5 });
    step(gradients);
    expect(step).toHaveCompiled({ kernels: 1 });
    expect(step).not.toHaveCompiled({ kernels: 2 });
    expect(step).not.toHaveCompiled({ kernels: 1, traces: 2 });
  });

  test("fails with the events and their reasons", () => {
    const { step, group } = start();
    step(gradients);
    Object.assign(group, { momentum: 0.9 });
    step(gradients);
    const because = "param group 0, hasMomentum: false → true (momentum 0 → 0.9)";
    expect(complaintOf(() => expect(step).toHaveCompiled({ kernels: 1, traces: 2 }))).toBe(
      [
        "the step is to have compiled kernels: 1, traces: 2, and has kernels: 2, traces: 2:",
        "  step 1: traced in N ms: first step",
        "  step 1: compiled kernel SGD f32, phase 0 in N ms: first step",
        "  step 1: planned in N ms: first step",
        `  step 2: traced in N ms: ${because}`,
        `  step 2: compiled kernel SGD f32 hasMomentum, phase 0 in N ms: ${because}`,
        `  step 2: planned in N ms: ${because}`,
      ].join("\n"),
    );
  });
});

test("toHaveLaunched counts the last call's launches, and fails with what they are", () => {
  const { step } = start({ clipNorm: 1 });
  step(gradients);
  expect(step).toHaveLaunched(2);
  expect(step).not.toHaveLaunched(1);
  const complaint = complaintOf(() => expect(step).toHaveLaunched(1));
  expect(complaint).toMatch(
    /^the step is to take 1 launch a call, and takes 2:\nSGD \+ clip on reference: 2 launches a step/,
  );
  expect(complaint).toContain("barrier");
});

test("toMoveAtMost compares the bytes moved with the least there is", () => {
  const { step } = start();
  step(gradients);
  expect(step).toMoveAtMost(1);
  const { step: clipped } = start({ clipNorm: 1 });
  expect(complaintOf(() => expect(clipped).toMoveAtMost(9))).toBe(
    "the step has moved nothing yet: call it first",
  );
  clipped(gradients);
  expect(clipped).not.toMoveAtMost(1);
  expect(complaintOf(() => expect(clipped).toMoveAtMost(1.1))).toMatch(
    /^the step is to move at most 1\.1 × the bytes that it has to, and moves 1\.333 × \(192 of 144\):\nSGD \+ clip on/,
  );
});

describe("the IR", () => {
  test("of a stage is in a snapshot file", () => {
    expect(start().step).toMatchIR({ stage: "kernels" });
    expect(compileStep(new AdamW([tensor([3])]))).toMatchIR({ stage: "hoist" });
  });

  test("of a stage is in the test", () => {
    expect(start().step).toMatchInlineIR(
      { stage: "kernels" },
      `
      "module "SGD"

      kernel "SGD f32" phase 0 flat {
        f32[lead,row,col]   %0 = param
        f32[lead,row,col]   %1 = grad
        f64@group           %2 = scalar 0
        bool@group          %3 = scalar 1
        f32[lead,row,col]   %4 = broadcast %2
        f32[lead,row,col]   %5 = mul %4 %0
        f32[lead,row,col]   %6 = add %1 %5
        bool[lead,row,col]  %7 = broadcast %3
        f32[lead,row,col]   %8 = select %7 %6 %1
        f64@group           %9 = scalar 2
        f32[lead,row,col]   %10 = broadcast %9
        f32[lead,row,col]   %11 = mul %10 %8
        f32[lead,row,col]   %12 = sub %0 %11
        param' = %12
      }"
    `,
    );
  });
});

describe("expectNoRecompiles", () => {
  test("is silent about first steps, other plans and numbers, and gives what the work gives", () => {
    const { step, group } = start();
    step(gradients);
    const result = expectNoRecompiles(() => {
      Object.assign(group, { lr: 0.5 });
      step(gradients);
      start().step(gradients); // another step, compiled for the first time
      return 7;
    });
    expect(result).toBe(7);
  });

  const momentum = ({ step, group }: { step: Step; group: object }) => {
    Object.assign(group, { momentum: 0.9 });
    step(gradients);
  };
  const COMPLAINT = [
    "nothing was to be compiled again, and this was:",
    "  SGD, step 2: traced in N ms: param group 0, hasMomentum: false → true (momentum 0 → 0.9)",
    "  SGD, step 2: compiled kernel SGD f32 hasMomentum, phase 0 in N ms: param group 0, hasMomentum: false → true (momentum 0 → 0.9)",
  ].join("\n");

  test("fails with what was compiled, and why", () => {
    const started = start();
    started.step(gradients);
    expect(complaintOf(() => expectNoRecompiles(() => momentum(started)))).toBe(COMPLAINT);
    expect(complaintOf(() => expectNoRecompiles(() => {}))).toBe("nothing"); // it hears no more
  });

  test("waits for a promise", async () => {
    const started = start();
    started.step(gradients);
    const work = expectNoRecompiles(async () => {
      await Promise.resolve();
      momentum(started);
    });
    const complaint = await work.then(
      () => "nothing",
      (error: Error) => error.message.replace(/\d+\.\d+ ms/g, "N ms"),
    );
    expect(complaint).toBe(COMPLAINT);
    expect(await expectNoRecompiles(() => Promise.resolve(3))).toBe(3);
  });

  test("passes errors on", async () => {
    const fail = () => {
      throw new Error("of the work");
    };
    expect(() => expectNoRecompiles(fail)).toThrow("of the work");
    await expect(expectNoRecompiles(async () => fail())).rejects.toThrow("of the work");
  });
});

test("what is no step is refused", () => {
  expect(() => expect({}).toHaveLaunched(1)).toThrow(
    "expect() takes a step that compileStep made, got object",
  );
});

/** `log` and STEPJIT_LOG: what a step says while it works. */
import { AdamW, type CompileOptions, compileStep, reference, SGD, tensor } from "stepjit";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { fresh } from "./fresh.ts";

const lines: string[] = [];

beforeEach(() => {
  lines.length = 0;
  vi.spyOn(console, "error").mockImplementation((line: string) => lines.push(line));
});

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

/** Times vary. */
const said = () => lines.map((line) => line.replace(/\d+\.\d+( ms| GB\/s)/g, "N$1"));

/** New maths was never traced, and a new backend has compiled nothing. */
function start(known: typeof SGD, options: object, rest: CompileOptions) {
  const make = fresh(known);
  const parameters = { w: tensor(new Float32Array(300), [20, 15]), b: tensor(new Float32Array(20), [20]) };
  const optimizer = new make(parameters, options);
  const step = compileStep(optimizer, { backend: reference(), ...rest });
  const gradients = { w: new Float32Array(300).fill(1), b: new Float32Array(20).fill(1) };
  return { optimizer, step, advance: () => step(gradients) };
}

describe("a topic", () => {
  test("events: what was compiled, and the part of the key that changed, old and new", () => {
    const { optimizer, advance } = start(SGD, { lr: 0.1 }, { log: ["events"] });
    advance();
    optimizer.paramGroups[0]?.assign({ lr: 0.2 });
    advance();
    optimizer.paramGroups[0]?.assign({ momentum: 0.9 });
    advance();
    const because = "param group 0, hasMomentum: false → true (momentum 0 → 0.9)";
    expect(said()).toEqual([
      "stepjit events: SGD, step 1: traced in N ms: first step",
      "stepjit events: SGD, step 1: compiled kernel SGD f32, phase 0 in N ms: first step",
      "stepjit events: SGD, step 1: planned in N ms: first step",
      `stepjit events: SGD, step 3: traced in N ms: ${because}`,
      `stepjit events: SGD, step 3: compiled kernel SGD f32 hasMomentum, phase 0 in N ms: ${because}`,
      `stepjit events: SGD, step 3: planned in N ms: ${because}`,
    ]);
  });

  test("passes: each one, and how many values it left", () => {
    start(AdamW as never, {}, { log: ["passes"] });
    const passes = lines.map((line) => /^stepjit passes: AdamW, (\w+): (\d+) → (\d+) values$/.exec(line));
    expect(passes.map((match) => match?.[1])).toEqual([
      "simplify",
      "cse",
      "dce",
      "hoist",
      "schedule",
      "fuse",
      "batch",
    ]);
    passes.slice(1).forEach((match, i) => {
      expect(match?.[2]).toBe(passes[i]?.[3]); // begins with what the one before left
    });
  });

  test("kernels: whether they are compiled or known", () => {
    const backend = reference();
    for (const known of [false, true]) {
      lines.length = 0;
      const parameters = { w: tensor(new Float32Array(3), [3]) };
      compileStep(new SGD(parameters), { backend, log: ["kernels"] });
      expect(said()).toEqual([
        expect.stringMatching(
          new RegExp(
            `^stepjit kernels: SGD, "SGD f32", phase 0: \\d+ characters for reference, ${known ? "compiled before" : "to be compiled"}$`,
          ),
        ),
      ]);
    }
  });

  test("plan: what is stepped, in how many launches", () => {
    start(SGD, {}, { log: ["plan"] });
    expect(said()).toEqual(["stepjit plan: SGD, 2 parameters of 320 elements, 2 chunks, 1 launch"]);
    lines.length = 0;
    start(SGD, {}, { log: ["plan"], accumulate: 2 });
    expect(said()).toHaveLength(2); // of steps, and of calls that only add up
  });

  test("perf: each step", () => {
    const { advance } = start(SGD, {}, { log: ["perf"] });
    advance();
    advance();
    const moved = "1 launch, 0.004 MB moved (1.00 × the least there is), N GB/s";
    expect(said()).toEqual([
      `stepjit perf: SGD, step 1: N ms, ${moved}`,
      `stepjit perf: SGD, step 2: N ms, ${moved}`,
    ]);
  });
});

describe("which topics", () => {
  test("none, unless somebody asks", () => {
    start(SGD, {}, {}).advance();
    expect(lines).toEqual([]);
  });

  test("those of STEPJIT_LOG", () => {
    vi.stubEnv("STEPJIT_LOG", "plan, perf");
    start(SGD, {}, {}).advance();
    expect(lines.map((line) => line.split(":")[0])).toEqual(["stepjit plan", "stepjit perf"]);
  });

  test("the option's, where there is one", () => {
    vi.stubEnv("STEPJIT_LOG", "plan,perf");
    start(SGD, {}, { log: [] }).advance();
    expect(lines).toEqual([]);
  });

  test("others are refused by name", () => {
    vi.stubEnv("STEPJIT_LOG", "events,kernel");
    expect(() => start(SGD, {}, {})).toThrow(
      'STEPJIT_LOG: no topic "kernel"; there are events, passes, kernels, plan, perf',
    );
    vi.unstubAllEnvs();
    expect(() => start(SGD, {}, { log: ["kernel"] as never })).toThrow(
      'compileStep: log is a list of events, passes, kernels, plan, perf, got ["kernel"]',
    );
    expect(() => start(SGD, {}, { log: "events" as never })).toThrow("compileStep: log is a list of events");
  });

  test("a browser's console gets them where there is no process", () => {
    const info = vi.spyOn(console, "info").mockImplementation(() => {});
    vi.stubGlobal("process", undefined);
    try {
      start(SGD, {}, { log: ["plan"] });
    } finally {
      vi.unstubAllGlobals();
    }
    expect(info).toHaveBeenCalledTimes(1);
    expect(lines).toEqual([]);
  });
});

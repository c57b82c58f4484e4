/** What a step shows of itself: dumps of every stage, and explain(). */
import { AdamW, compileStep, type DumpStage, type Fusion, LAMB, tensor } from "stepjit";
import { describe, expect, test } from "vitest";
import { parseModule } from "../src/ir/parse.ts";
import { printModule } from "../src/ir/print.ts";
import { PASSES } from "../src/passes/pipeline.ts";
import { BACKENDS } from "./backends.ts";

/** AdamW over a small dense layer, after one step. */
function denseLayer(options: Parameters<typeof compileStep>[1] = {}) {
  const optimizer = new AdamW({ "fc.weight": tensor([784, 64]), "fc.bias": tensor([64]) });
  const step = compileStep(optimizer, options);
  step({ "fc.weight": tensor([784, 64]), "fc.bias": tensor([64]) });
  return { optimizer, step };
}

/** Line and column change with every edit of an optimizer's file: only the file's name is compared. */
const withoutLines = (text: string) => text.replaceAll(/# \S*?([\w-]+\.ts):\d+:\d+/g, "# $1");

const FILES: Readonly<Record<DumpStage, string>> = {
  module: "module.txt",
  simplify: "passes/1-simplify.txt",
  cse: "passes/2-cse.txt",
  dce: "passes/3-dce.txt",
  hoist: "passes/4-hoist.txt",
  schedule: "passes/5-schedule.txt",
  fuse: "passes/6-fuse.txt",
  batch: "passes/7-batch.txt",
  fused: "fused.txt",
  kernels: "kernels.txt",
  text: "kernels.wat",
  plan: "plan.txt",
};

describe("dump", () => {
  test.each(Object.entries(FILES))("%s is what it was", async (stage, file) => {
    const { step } = denseLayer();
    await expect(`${withoutLines(step.dump(stage as DumpStage))}\n`).toMatchFileSnapshot(
      `golden/adamw/${file}`,
    );
  });

  test.each(BACKENDS.filter(({ name }) => name === "webgpu"))("text on $name is what it was", async (on) => {
    const { step } = denseLayer({ backend: on.backend });
    await expect(`${step.dump("text")}\n`).toMatchFileSnapshot("golden/adamw/kernels.wgsl");
    await step.finished();
  });

  test("has a stage for each pass: the last one's is all that a backend on the host gets", () => {
    const { step } = denseLayer();
    for (const { name } of PASSES) expect(step.dump(name)).toMatch(/^module "AdamW"$/m);
    expect(step.dump("batch")).toBe(step.dump("fused"));
  });

  test.each(["module", "hoist", "fused", "kernels"] as const)("%s parses back", (stage) => {
    for (const options of [{}, { clipNorm: 1 }]) {
      const text = denseLayer(options).step.dump(stage);
      expect(printModule(parseModule(text))).toBe(text);
    }
  });

  test("says in which line an op was written", () => {
    expect(denseLayer().step.dump("kernels")).toMatch(/mul %0 %3 +# src\/optim\/adamw\.ts:\d+:\d+$/m);
  });

  test("is the same for every instance, whatever its numbers and shapes, the plan aside", () => {
    const one = denseLayer().step;
    const other = compileStep(new AdamW([tensor([3])], { lr: 0, weightDecay: 0, betas: [0.5, 0] }));
    for (const stage of ["module", "fused", "kernels", "text"] as const)
      expect(other.dump(stage)).toBe(one.dump(stage));
    expect(other.dump("plan")).not.toBe(one.dump("plan"));
  });

  test("the reference backend's text is the printed kernel", () => {
    const { step } = denseLayer({ backend: "reference" });
    const printed = printModule(parseModule(step.dump("kernels")), { sources: false });
    expect(`module "AdamW"\n\n${step.dump("text")}`).toBe(printed);
  });

  test("follows the optimizer: a flag that was set shows before the next step", () => {
    const { optimizer, step } = denseLayer();
    const [group] = optimizer.paramGroups;
    expect(step.dump("kernels")).not.toContain("max_exp_avg_sq");
    Object.assign(group as object, { amsgrad: true });
    expect(step.dump("kernels")).toContain("max_exp_avg_sq");
  });
});

describe("explain", () => {
  test("as text", () => {
    const { step } = denseLayer({ backend: "reference" });
    expect(String(step.explain())).toMatchInlineSnapshot(`
      "AdamW on reference: 1 launch a step
        class "AdamW f32 hasFirstMoment": 2 parameters, 50240 elements
        kernel "AdamW f32 hasFirstMoment" phase 0: 32 ops, 14 of them arithmetic on each element, of src/optim/adamw.ts, src/optim/adam.ts, over param, grad, state.exp_avg, state.exp_avg_sq, param', state.exp_avg', state.exp_avg_sq'
        fusion "AdamW f32 hasFirstMoment": of 24 ops, 14 are fused into the kernel of phase 0, 11 are computed once, before a launch: one number serves a step, a group or a parameter
        tables: 2 tensors, 5 chunks (80 bytes), 1 scalar row (28 bytes a step)
        bytes "AdamW f32 hasFirstMoment": 28 an element, 28 at least
        state: exp_avg 200960 bytes, exp_avg_sq 200960 bytes
        no copies"
    `);
  });

  test("with clipping, two classes and arrays of the user's own", () => {
    const optimizer = new AdamW([
      { params: { "fc.weight": new Float32Array(12), "fc.bias": tensor([4]) } },
      { params: { scale: tensor([2], "float64") }, amsgrad: true },
    ]);
    const step = compileStep(optimizer, { clipNorm: 1 });
    step({ "fc.weight": new Float32Array(12), "fc.bias": tensor([4]), scale: null });
    const { backend, ...rest } = step.explain();
    expect(backend).toMatch(/^wasm32 simd128/);
    const text = String(step.explain())
      .replace(backend, "wasm")
      .replaceAll(/(clip|clip\.ts)[.:]\d+:\d+/g, "$1 LINE");
    expect(text).toMatchInlineSnapshot(`
      "AdamW + clip on wasm: 2 launches a step
        class "AdamW f32 hasFirstMoment": 2 parameters, 16 elements
        class "AdamW f64 amsgrad hasFirstMoment": 1 parameter, 2 elements
        kernel "AdamW f32 hasFirstMoment" phase 0: 3 ops, 2 of them arithmetic on each element, of src/optim/clip.ts, over grad
        kernel "AdamW f64 amsgrad hasFirstMoment" phase 0: 3 ops, 2 of them arithmetic on each element, of src/optim/clip.ts, over grad
        kernel "AdamW f32 hasFirstMoment" phase 1: 35 ops, 15 of them arithmetic on each element, of src/optim/clip.ts, src/optim/adamw.ts, src/optim/adam.ts, over param, grad, state.exp_avg, state.exp_avg_sq, param', state.exp_avg', state.exp_avg_sq'
        kernel "AdamW f64 amsgrad hasFirstMoment" phase 1: 37 ops, 16 of them arithmetic on each element, of src/optim/clip.ts, src/optim/adamw.ts, src/optim/adam.ts, over param, grad, state.exp_avg, state.exp_avg_sq, state.max_exp_avg_sq, param', state.exp_avg', state.exp_avg_sq', state.max_exp_avg_sq'
        fusion "AdamW f32 hasFirstMoment": of 27 ops, 2 are fused into the kernel of phase 0, 15 are fused into the kernel of phase 1, 11 are computed once, before a launch: one number serves a step, a group or a parameter
        fusion "AdamW f64 amsgrad hasFirstMoment": of 28 ops, 2 are fused into the kernel of phase 0, 16 are fused into the kernel of phase 1, 11 are computed once, before a launch: one number serves a step, a group or a parameter
        tables: 3 tensors, 3 chunks (48 bytes), 1 scalar row (32 bytes a step)
        bytes "AdamW f32 hasFirstMoment": 32 an element, 28 at least
        bytes "AdamW f64 amsgrad hasFirstMoment": 80 an element, 72 at least
        state: exp_avg 64 bytes, exp_avg_sq 64 bytes
        barrier "AdamW f32 hasFirstMoment" phase 0: later launches wait for clip LINE (reduce.sum src/optim/clip.ts LINE), and read again what they need
        barrier "AdamW f64 amsgrad hasFirstMoment" phase 0: later launches wait for clip LINE (reduce.sum src/optim/clip.ts LINE), and read again what they need
        copies 144 bytes a step (2 tensors outside the backend's memory; tensor() makes them inside):
          parameter "fc.weight": 96 bytes
          gradient "fc.weight": 48 bytes"
    `);
    expect(rest.launches).toBe(2);
    expect(rest.copies).toHaveLength(2);
  });

  test("is data that can be sent", () => {
    const { step } = denseLayer();
    const { launches, bytes } = JSON.parse(JSON.stringify(step.explain()));
    expect({ launches, bytes }).toEqual({
      launches: 1,
      bytes: [{ name: "AdamW f32 hasFirstMoment", moved: 28, ideal: 28 }],
    });
  });

  test("says of each op in which kernel it is, again or not, or what it is computed once for", () => {
    const [fusion] = compileStep(new LAMB([tensor([4])])).explain().fusion;
    const { traced, kernels, once } = fusion as Fusion;
    const opsIn = (nodes: readonly { op: string }[]) => nodes.map(({ op }) => op);
    expect(kernels.map(({ phase }) => phase)).toEqual([0, 1]);
    const [first, second] = kernels as [Fusion["kernels"][number], Fusion["kernels"][number]];
    expect(opsIn(first.nodes)).toContain("reduce.sum");
    expect(opsIn(second.nodes)).not.toContain("reduce.sum");
    expect(first.again).toEqual([]);
    expect(second.again.length).toBeGreaterThan(0);
    for (const node of second.again) expect(first.nodes).toContainEqual(node);
    expect(once).toContainEqual({
      op: "pow",
      source: expect.stringMatching(/^src\/optim\/\w+\.ts:\d+:\d+$/),
      every: "param",
    });
    expect(traced).toBeGreaterThan(once.length);
  });

  test("lists ten copies and counts them all", () => {
    const optimizer = new AdamW(Array.from({ length: 25 }, () => new Float32Array(2)));
    const text = String(compileStep(optimizer).explain());
    expect(text).toContain("copies 400 bytes a step (25 tensors outside");
    expect(text.match(/parameter "\d+": 16 bytes/g)).toHaveLength(10);
  });
});

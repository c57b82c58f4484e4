/** Kernels on a device that computes, whatever its language: what comes out is what the evaluator says. */
import fc from "fast-check";
import { defineOptimizer, type Optimizer, tensor } from "stepjit";
import { add, cols, maximum, mean, mul, rows, slab, sub } from "stepjit/ops";
import { describe, expect, test } from "vitest";
import type { ClassLayout, PhaseWork } from "../../../src/backends/backend.ts";
import { Builder } from "../../../src/ir/build.ts";
import { vectorDims } from "../../../src/ir/dims.ts";
import { ELEMENT } from "../../../src/ir/extent.ts";
import type { Func, ValueId } from "../../../src/ir/module.ts";
import { OPS, type Op, type OpInfo } from "../../../src/ir/ops.ts";
import { parseFunc } from "../../../src/ir/parse.ts";
import { type } from "../../../src/ir/type.ts";
import { worksOf } from "../../../src/plan/work.ts";
import { compiledModule } from "../../../src/step/cache.ts";
import { classify } from "../../../src/step/classes.ts";
import { CASES } from "../../optim/subjects.ts";
import { NO_DEVICE } from "../wasm/run.ts";
import { expectLaunch, type Launcher } from "./launch.ts";

export const workOf = (texts: readonly string[], guarded = false): PhaseWork => ({
  phase: 0,
  kernels: texts.map((text) => parseFunc(text)),
  guarded,
  programs: undefined,
  numbers: NO_DEVICE.numbers,
});

/** What passes, layout and works make of a definition over parameters of these shapes. */
function compiled(optimizer: Optimizer) {
  const { classes, members } = classify(optimizer);
  const { module, layouts } = compiledModule(optimizer.definition, classes, [], {
    programs: "device",
    hypers: [],
  });
  return { works: worksOf(module, layouts), layouts, members };
}

const zeros = (shape: readonly number[]) => tensor(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);

/** Every phase of every optimizer, over many shapes. To be called within a describe. */
export function testOptimizers(launcher: Launcher): void {
  test.each(CASES)("$name", async ({ make, subject }) => {
    const shapes = [
      [7],
      [1],
      [16390],
      [5, 3],
      [4, 4],
      [300, 70],
      [4, 3, 2, 2],
      [40, 11, 3, 3],
      [2, 3, 1, 1],
      [0],
    ];
    const groups = [subject.options, { ...subject.options, ...subject.second }];
    const { works, layouts, members } = compiled(
      new make(groups.map((group) => ({ ...group, params: shapes.map(zeros) }))),
    );
    const tensors = members.map((member, index) => ({
      ...member,
      inactive: index % 4 === 1,
    }));
    for (const work of works)
      for (const refused of [false, true])
        await expectLaunch(launcher, {
          work: { ...work, guarded: refused },
          layouts,
          tensors,
          seed: 1,
          refused,
          gradBesideParam: refused,
        });
  });
}

/** To be called within a describe. */
export function testNumbers(launcher: Launcher): void {
  testOptimizers(launcher);

  describe("rows, columns and slabs", () => {
    const VIEWS: readonly { shape: number[]; axes: [number, number] }[] = [
      { shape: [5, 7], axes: [0, 1] },
      { shape: [1, 9], axes: [0, 1] },
      { shape: [9, 1], axes: [0, 1] },
      { shape: [3, 1, 900], axes: [1, 2] },
      { shape: [70, 301], axes: [0, 1] }, // blocks
      { shape: [3, 17_000], axes: [0, 1] }, // lines longer than a chunk
      { shape: [18_000, 3], axes: [0, 1] }, // tall blocks
      { shape: [2, 50, 401], axes: [1, 2] },
      { shape: [500, 8, 5], axes: [1, 2] }, // several slabs a chunk
      { shape: [6, 5, 3, 3], axes: [0, 1] },
      { shape: [6, 5, 3, 3], axes: [2, 3] },
      { shape: [4, 3, 5], axes: [0, 2] },
      { shape: [3, 2, 2, 5], axes: [0, 2] },
      { shape: [40, 11, 41], axes: [0, 2] }, // blocks
      { shape: [2, 90, 3, 50, 2], axes: [1, 3] }, // blocks of several slabs
    ];

    test.each(VIEWS)("$shape over $axes", async ({ shape, axes }) => {
      const Statistics = defineOptimizer({
        name: "Statistics",
        hyper: { lr: { default: 0.1 } },
        matrix: () => axes,
        state: { e: {}, r: { extent: rows }, c: { extent: cols }, s: { extent: slab } },
        update({ param, grad, state, hyper }) {
          state.e = add(state.e, mul(0.5, grad));
          const r = add(mean(state.e, rows), maximum(mul(grad, param), rows));
          const c = sub(mean(mul(state.e, state.r), cols), maximum(sub(param, state.c), cols));
          const s = add(mean(grad, slab), maximum(add(grad, state.s), slab));
          const ofRows = add(mean(mul(r, state.r), slab), maximum(state.r, slab));
          const ofCols = sub(mean(mul(c, state.c), slab), maximum(c, slab));
          state.r = add(r, s);
          state.c = mul(c, s);
          state.s = add(add(ofRows, ofCols), mean(state.e, "param"));
          return sub(param, mul(hyper.lr, add(mul(state.r, state.c), add(ofRows, maximum(ofCols, "param")))));
        },
      });
      const { works, layouts, members } = compiled(new Statistics([zeros(shape), zeros(shape)]));
      expect(works.length).toBeGreaterThan(2);
      for (const [index, work] of works.entries())
        await expectLaunch(launcher, {
          work,
          layouts,
          tensors: members,
          seed: 3,
          gradBesideParam: index % 2 === 1,
        });
    });

    test("what is reduced may be stored in the same phase", async () => {
      const Momentum = defineOptimizer({
        name: "Momentum",
        hyper: { lr: { default: 0.1 } },
        matrix: () => [0, 1] as const,
        state: { e: {}, c: { extent: cols } },
        update({ param, grad, state }) {
          state.e = add(state.e, grad);
          state.c = mean(state.e, cols);
          return sub(param, state.c);
        },
      });
      const { works, layouts, members } = compiled(new Momentum([zeros([3, 900])]));
      expect(works[0]?.kernels[0]?.outputs.map(({ target }) => target)).toEqual(["total.local0", "state.e'"]);
      for (const work of works) await expectLaunch(launcher, { work, layouts, tensors: members, seed: 3 });
      const texts = works.map((work) => launcher.emit(work, layouts));
      expect(texts.map((text) => text.includes("// what was read above is written below"))).toEqual(
        [true, false, false].slice(0, works.length),
      ); // the device may do well without
    });
  });

  describe("elements", () => {
    const layout: ClassLayout = {
      name: "k",
      dtype: "f32",
      view: "vector",
      roles: ["param", "grad", "state.a"],
      written: ["param", "state.a"],
      scalarTypes: ["f32", "bool"],
      totals: [],
    };
    const dims = vectorDims(600);
    const tensors = [{ classIndex: 0, dims }];
    /** NaN, infinities, zeros, and numbers; any of them meets any other. */
    const odd = (random: number) => ODD[Math.floor(random * ODD.length)] as number;
    const ODD = [
      Number.NaN,
      Infinity,
      -Infinity,
      0,
      -0,
      1,
      -1,
      0.1,
      -0.3,
      2,
      3,
      -3,
      0.75,
      1.25,
      20,
      -20,
      1e-6,
      -1e-6,
      1e30,
      2.5,
    ];
    const E = "f32[lead,row,col]";
    const M = "bool[lead,row,col]";
    const kernelOf = (lines: readonly string[]) =>
      workOf([`kernel "k" phase 0 flat {\n${lines.join("\n")}\n}`]);
    const LOADS = [`${E} %0 = param`, `${E} %1 = grad`, `${E} %2 = state a`];

    const ops = Object.entries(OPS).filter(
      ([, { rule }]: [string, OpInfo]) => rule === "map" || rule === "compare",
    );
    test.each(ops.map(([op, { arity, rule }]) => ({ op, arity, rule })))(
      "$op",
      async ({ op, arity, rule }) => {
        const args = ["%0", "%1"].slice(0, arity).join(" ");
        const result =
          rule === "compare"
            ? [`${M} %3 = ${op} ${args}`, `${E} %4 = select %3 %1 %2`, "param' = %4"]
            : [`${E} %3 = ${op} ${args}`, "param' = %3"];
        const work = kernelOf([...LOADS, ...result]);
        // What exp is given is a product as large as 88, in f32.
        const tolerance = op === "pow" ? 2e-5 : 5e-6;
        await expectLaunch(launcher, { work, layouts: [layout], tensors, seed: 4, number: odd, tolerance });
      },
    );

    test.each(["equal", "notEqual"])("%s of a number and itself", async (op) => {
      const work = kernelOf([...LOADS, `${M} %3 = ${op} %0 %0`, `${E} %4 = select %3 %1 %2`, "param' = %4"]);
      await expectLaunch(launcher, { work, layouts: [layout], tensors, seed: 5, number: odd });
    });

    test.each(["and", "or", "not"])("masks: %s", async (op) => {
      const work = kernelOf([
        ...LOADS,
        `${M} %3 = less %0 %1`,
        "bool@param %4 = scalar 1",
        `${M} %5 = broadcast %4`,
        `${M} %6 = ${op} %3${op === "not" ? "" : " %5"}`,
        `${E} %7 = select %6 %1 %2`,
        "grad' = %7",
      ]);
      for (const seed of [1, 2, 3, 4])
        await expectLaunch(launcher, { work, layouts: [layout], tensors, seed });
    });

    const UNARY: readonly Op[] = ["neg", "abs", "sign", "sqrt", "floor", "ceil"];
    const BINARY: readonly Op[] = ["add", "sub", "mul", "div", "min", "max"];
    const COMPARE: readonly Op[] = ["less", "lessEqual", "greater", "greaterEqual", "equal", "notEqual"];
    /** A kernel of what this device rounds as the evaluator does. */
    const randomKernel = (steps: readonly (readonly [number, number, number, number])[]): Func => {
      const b = new Builder("kernel", "k", "f32");
      const numbers = [b.input("param", type("f32", ELEMENT)), b.input("grad", type("f32", ELEMENT))];
      numbers.push(b.input("state", type("f32", ELEMENT), "a"), b.constant(0.75));
      const masks = [b.input("scalar", type("bool", "param"), 1)];
      numbers.push(b.input("scalar", type("f64", "param"), 0));
      for (const id of numbers.splice(3)) numbers.push(b.broadcast(id, ELEMENT));
      masks.push(b.broadcast(masks.pop() as ValueId, ELEMENT));
      const pick = <T>(from: readonly T[], index: number) => from.at(-1 - (index % from.length)) as T;
      for (const [kind, op, x, y] of steps) {
        const [a, c] = [pick(numbers, x), pick(numbers, y)];
        const [m, n] = [pick(masks, x), pick(masks, y)];
        if (kind === 0) numbers.push(b.map(pick(UNARY, op), [a]));
        else if (kind === 1) numbers.push(b.map(pick(BINARY, op), [a, c]));
        else if (kind === 2) masks.push(b.map(pick(COMPARE, op), [a, c]));
        else if (kind === 3) numbers.push(b.map("select", [m, a, c]));
        else masks.push(b.map(op % 2 ? "and" : "or", [m, n]));
      }
      b.output("param'", pick(numbers, 0));
      b.output("grad'", b.map("select", [pick(masks, 0), pick(numbers, 1), pick(numbers, 2)]));
      b.output("state.a'", pick(numbers, 3));
      return b.finish();
    };

    test("random kernels", async () => {
      const step = fc.tuple(fc.nat(4), fc.nat(11), fc.nat(30), fc.nat(30));
      const steps = fc.array(step, { minLength: 1, maxLength: 14 });
      await fc.assert(
        fc.asyncProperty(steps, fc.integer(), async (steps, seed) => {
          const work = { ...workOf([]), kernels: [randomKernel(steps)] };
          const number = (x: number) => (x < 0.1 ? odd(10 * x) : 4 * x - 2);
          await expectLaunch(launcher, {
            work,
            layouts: [layout],
            tensors,
            seed,
            number,
            gradBesideParam: seed % 2 === 0,
          });
        }),
        { seed: 11, numRuns: 40 },
      );
    });

    test("constants keep their bits", async () => {
      for (const constant of [
        ...ODD,
        1 / 3,
        1e-8,
        3.4028234663852886e38,
        1e300,
        2 ** 24 + 2,
        1.17549435e-38,
      ]) {
        const text = Object.is(constant, -0) ? "-0" : String(constant);
        const work = kernelOf([`f64@step %0 = const ${text}`, `${E} %1 = broadcast %0`, "param' = %1"]);
        await expectLaunch(launcher, {
          work,
          layouts: [layout],
          tensors: [{ classIndex: 0, dims: vectorDims(3) }],
          seed: 1,
          tolerance: 0,
        });
      }
    });

    test("states may be called like anything else in the text", async () => {
      const names = [
        "param",
        "start",
        "v0",
        "grad",
        "loop",
        "i",
        "max",
        "states",
        "end",
        "chunk_at",
        "chunk",
        "sum",
        "sum_",
        "$",
        "_",
      ];
      const roles = ["param", "grad", ...names.map((name) => `state.${name}`)];
      const work = kernelOf([
        ...names.map((name, index) => `${E} %${index} = state ${name}`),
        `${E} %${names.length} = add %0 %${names.length - 1}`,
        ...names.map((name, index) => `state.${name}' = %${(index + 1) % (names.length + 1)}`),
      ]);
      await expectLaunch(launcher, { work, layouts: [{ ...layout, roles }], tensors, seed: 8 });
    });

    test.each(["sum", "max"])("total to a level: %s", async (word) => {
      const work = kernelOf([
        ...LOADS,
        `${E} %3 = mul %0 %1`,
        `f64@param %4 = reduce.${word} %3`,
        "f64@step %5 = reduce.max %1",
        `${E} %6 = add %3 %2`,
        "total.x = %4",
        "total.y = %5",
        "state.a' = %6",
      ]);
      const sizes = [1, 255, 256, 257, 16_384, 16_385, 40_000];
      const many = sizes.map((size) => ({ classIndex: 0, dims: vectorDims(size) }));
      await expectLaunch(launcher, {
        work,
        layouts: [layout],
        tensors: many,
        seed: 6,
        gradBesideParam: true,
      });
      await expectLaunch(launcher, { work, layouts: [layout], tensors: many, seed: 6, number: (x) => x - 3 });
      const rarely = (x: number) => (x < 1e-5 ? Number.NaN : x);
      await expectLaunch(launcher, { work, layouts: [layout], tensors: many, seed: 7, number: rarely });
    });
  });
}

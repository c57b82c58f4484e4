/**
 * Random maths over rows, columns, slabs and elements: what passes, plan and backends make of it is what the traced body says, for
 * matrices, stacks of them, convolutions over two axes, and the odd shapes in between.
 */
import fc from "fast-check";
import { type Backend, compileStep, defineOptimizer, tensor, wasm } from "stepjit";
import { abs, add, cols, div, max, maximum, mean, mul, rows, slab, sub } from "stepjit/ops";
import { afterAll, describe, expect, test } from "vitest";
import { matrixDims, placesOf, sizeOfAxis, viewOf } from "../../src/ir/dims.ts";
import { evaluateFunc, type Numbers } from "../../src/ir/evaluate.ts";
import { type Axis, type Extent, isLevel, widensTo } from "../../src/ir/extent.ts";
import type { Func, Value } from "../../src/ir/module.ts";
import { tensorName } from "../../src/ir/module.ts";
import { trace } from "../../src/trace/trace.ts";
import type { Traced } from "../../src/trace/traced.ts";
import { randomNumbers } from "../backends/wasm/run.ts";
import { BACKENDS, tensorOn } from "../backends.ts";

/** Shapes with the axes that are rows and columns: from one place to slabs of several blocks. */
const SHAPES: readonly { shape: number[]; axes: [number, number] }[] = [
  { shape: [5, 7], axes: [0, 1] },
  { shape: [1, 9], axes: [0, 1] },
  { shape: [9, 1], axes: [0, 1] },
  { shape: [1, 1, 37], axes: [0, 1] },
  { shape: [6, 5, 3, 3], axes: [0, 1] },
  { shape: [6, 5, 3, 3], axes: [2, 3] },
  { shape: [4, 3, 5], axes: [0, 2] },
  { shape: [3, 2, 2, 5], axes: [0, 2] },
  { shape: [0, 4], axes: [0, 1] },
  { shape: [70, 301], axes: [0, 1] },
  { shape: [2, 50, 401], axes: [1, 2] },
  { shape: [40, 11, 41], axes: [0, 2] },
  { shape: [500, 8, 5], axes: [1, 2] },
];

const EXTENTS: Readonly<Record<string, Extent>> = { e: "[lead,row,col]", r: rows, c: cols, s: slab };
const TARGETS = [rows, cols, slab, "param"] as const;

type Instruction =
  | {
      readonly kind: "map";
      readonly op: "add" | "sub" | "max" | "mul";
      readonly a: number;
      readonly b: number;
    }
  | { readonly kind: "reduce"; readonly op: "mean" | "maximum"; readonly a: number; readonly to: number };

const instruction = fc.oneof<fc.Arbitrary<Instruction>[]>(
  fc.record({
    kind: fc.constant("map" as const),
    op: fc.constantFrom("add", "sub", "max", "mul"),
    a: fc.nat(20),
    b: fc.nat(20),
  }),
  fc.record({
    kind: fc.constant("reduce" as const),
    op: fc.constantFrom("mean", "maximum"),
    a: fc.nat(20),
    to: fc.nat(3),
  }),
);

const extentOf = (value: number) => {
  const traced = value as unknown as Traced;
  return traced.tracer.typeOf(traced).extent;
};

/** Numbers stay small: a product's second factor is squashed. */
const MAPS = {
  add,
  sub,
  max,
  mul: (a: number, b: number) => mul(a, div(b, add(1, abs(b)))),
};

/** An optimizer of this maths; each slot takes the last value that lives where it does, or above. */
function optimizerOf(instructions: readonly Instruction[]) {
  return defineOptimizer({
    name: "Axes",
    hyper: { lr: { default: 0.1 } },
    matrix: () => chosen?.axes,
    state: { e: {}, r: { extent: rows }, c: { extent: cols }, s: { extent: slab } },
    update({ param, grad, state, hyper }) {
      const pool = [param, grad, state.e, state.r, state.c, state.s];
      const pick = (index: number) => pool[index % pool.length] as number;
      for (const next of instructions) {
        const a = pick(next.a);
        if (next.kind === "map") pool.push(MAPS[next.op](a, pick(next.b)));
        else {
          const to = TARGETS[next.to] as (typeof TARGETS)[number];
          const from = extentOf(a);
          if (isLevel(from) || from === to || !widensTo(to, from)) continue;
          pool.push(next.op === "mean" ? mean(a, to) : maximum(a, to));
        }
      }
      for (const slot of ["r", "c", "s"] as const)
        state[slot] = pool.findLast((value) => widensTo(extentOf(value), extentOf(state[slot]))) as number;
      state.e = add(pool.at(-1) as number, mul(0.5, pool.at(-2) as number));
      return sub(param, mul(hyper.lr, add(state.e, grad)));
    },
  });
}

/** The shape at hand; undefined: a vector. */
let chosen: (typeof SHAPES)[number] | undefined;

const STEPS = 2;
const make = { float32: Float32Array, float64: Float64Array };
type DType = keyof typeof make;

function numbers(seed: number, length: number, dtype: DType): Float32Array | Float64Array {
  const random = randomNumbers(seed);
  return make[dtype].from(Array.from({ length }, () => random() * 2 - 1));
}

/** All contents after some steps. */
type Contents = Map<string, Numbers>;

async function runCompiled(
  instructions: readonly Instruction[],
  dtype: DType,
  backend: Backend,
  threads = 1,
): Promise<Contents> {
  const { shape } = chosen as (typeof SHAPES)[number];
  const length = shape.reduce((product, size) => product * size, 1);
  const w = tensorOn(backend, numbers(1, length, dtype), shape);
  const optimizer = new (optimizerOf(instructions))({ w });
  const step = compileStep(optimizer, { backend, threads });
  for (let at = 0; at < STEPS; at++) step({ w: numbers(2 + at, length, dtype) });
  await step.finished();
  const [parameter] = optimizer.parameters;
  const contents = new Map<string, Numbers>([["param", await w.read()]]);
  for (const [name, { storage }] of parameter?.slots ?? [])
    contents.set(`state.${name}`, await storage.read());
  step.dispose();
  optimizer.dispose();
  w.dispose();
  return contents;
}

/** The traced body, before any pass, value by value. */
function runBody(instructions: readonly Instruction[], dtype: DType): Contents {
  const { shape, axes } = chosen as (typeof SHAPES)[number];
  const length = shape.reduce((product, size) => product * size, 1);
  const dims = matrixDims(shape, ...axes);
  const { definition } = optimizerOf(instructions);
  const spec = { name: "Axes", dtype: dtype === "float32" ? "f32" : "f64", flags: { matrix: true } } as const;
  const body = trace(definition, [{ ...spec, view: viewOf(dims) }], []).funcs.find(
    ({ kind }) => kind === "body",
  ) as Func;
  const contents: Contents = new Map([["param", numbers(1, length, dtype)]]);
  for (const [slot, extent] of Object.entries(EXTENTS))
    contents.set(`state.${slot}`, new Float64Array(placesOf(extent, dims)));
  const read = (value: Value): Numbers => {
    if (value.op === "hyper") return [0.1];
    if (value.op === "numel") return [length];
    if (value.op === "size") return [sizeOfAxis(value.attribute as Axis, dims)];
    return contents.get(tensorName(value)) as Numbers;
  };
  for (let at = 0; at < STEPS && length > 0; at++) {
    contents.set("grad", numbers(2 + at, length, dtype));
    const results = evaluateFunc(body, dims, read);
    for (const [target, result] of results) contents.set(target.slice(0, -1), result);
  }
  contents.delete("grad");
  return contents;
}

function expectClose(actual: Contents, expected: Contents, tolerance: number): void {
  for (const [name, values] of expected) {
    const found = actual.get(name);
    if (!found) continue; // a slot that nobody reads or writes is not kept
    expect(found.length, name).toBe(values.length);
    for (let i = 0; i < values.length; i++) {
      const a = found[i] as number;
      const b = values[i] as number;
      if (!(Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(b))))
        expect.fail(`${name}[${i}]: ${a} is not ${b}`);
    }
  }
}

const TOLERANCE = { float32: 2e-5, float64: 1e-11 };
const program = fc.array(instruction, { minLength: 1, maxLength: 10 });

const twoThreads = wasm({ threads: 2 });
afterAll(() => twoThreads.dispose());

describe.each(SHAPES)("$shape over $axes", (view) => {
  const large = view.shape.reduce((product, size) => product * size, 1) > 5000;
  const numRuns = large ? 4 : 15;

  test.each(BACKENDS)("on $name is what the body says", async ({ backend, doubles, slack }) => {
    const dtypes: DType[] = doubles ? ["float32", "float64"] : ["float32"];
    await fc.assert(
      fc.asyncProperty(program, fc.constantFrom(...dtypes), async (instructions, dtype) => {
        chosen = view;
        const expected = runBody(instructions, dtype);
        const tolerance = TOLERANCE[dtype] * (dtype === "float32" ? slack : 1);
        expectClose(await runCompiled(instructions, dtype, backend), expected, tolerance);
      }),
      { seed: 7, numRuns },
    );
  });

  test("has the same bits on two threads", async () => {
    await fc.assert(
      fc.asyncProperty(program, async (instructions) => {
        chosen = view;
        const one = await runCompiled(instructions, "float32", twoThreads, 1);
        expect(await runCompiled(instructions, "float32", twoThreads, 2)).toEqual(one);
      }),
      { seed: 8, numRuns: 3 },
    );
  });
});

test("a vector has no rows: the update is told what to declare", () => {
  chosen = undefined;
  const optimizer = new (optimizerOf([]))({ w: tensor([1, 2, 3], [3]) });
  expect(() => compileStep(optimizer, { backend: "reference" })).toThrow(
    expect.objectContaining({ code: "traced-value", message: expect.stringContaining("declare `matrix`") }),
  );
});

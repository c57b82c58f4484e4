import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { emitKernel } from "../../../src/backends/wasm/emit.ts";
import { defaultWasm } from "../../../src/backends/wasm/index.ts";
import { Builder } from "../../../src/ir/build.ts";
import { vectorDims } from "../../../src/ir/dims.ts";
import { evaluateFunc } from "../../../src/ir/evaluate.ts";
import { ELEMENT } from "../../../src/ir/extent.ts";
import type { Func, Value } from "../../../src/ir/module.ts";
import type { Op } from "../../../src/ir/ops.ts";
import { parseFunc } from "../../../src/ir/parse.ts";
import { printFunc } from "../../../src/ir/print.ts";
import { type FloatType, type } from "../../../src/ir/type.ts";
import { verifyFunc } from "../../../src/ir/verify.ts";
import {
  ADAMW,
  ADAMW_LAYOUT,
  chunksOf,
  emitText,
  firstDifference,
  layoutOf,
  NO_DEVICE,
  prepare,
  ROLES,
  randomNumbers,
} from "./run.ts";

const backend = defaultWasm();
const SHARED = { shared: true, relaxed: false };

describe("text", () => {
  const golden = new URL("../../golden/adamw-f32.wat", import.meta.url).pathname;

  test("AdamW reads well", async () => {
    const text = emitKernel(parseFunc(ADAMW), ADAMW_LAYOUT, "default", SHARED);
    await expect(text).toMatchFileSnapshot(golden);
  });

  test("states may be called like anything else in the text", () => {
    const names = ["param", "start", "v0", "length", "grad"];
    const loads = names.map((name, i) => `f32[lead,row,col] %${i} = state ${name}`);
    const text = `kernel "names" flat {\n${loads.join("\n")}\n${names.map((name, i) => `state.${name}' = %${i}`).join("\n")}\n}`;
    const layout = layoutOf("f32", [], ["param", "grad", ...names.map((name) => `state.${name}`)]);
    expect(() => backend.compile(emitText(backend, parseFunc(text), layout))).not.toThrow();
  });

  test("fast numerics fuse products that one addition uses, where the engine can", () => {
    const emit = (relaxed: boolean) =>
      emitKernel(parseFunc(ADAMW), ADAMW_LAYOUT, "fast", { shared: true, relaxed });
    const fast = emit(true);
    expect(fast).toContain("(f32x4.relaxed_madd (local.get $v19) (local.get $v7) (local.get $exp_avg))");
    expect(fast).toContain("(f32x4.relaxed_nmadd (local.get $v29) (local.get $v17) (local.get $v18))");
    expect(fast).not.toContain("$v20");
    expect(emit(false)).toBe(emitKernel(parseFunc(ADAMW), ADAMW_LAYOUT, "default", SHARED));
  });

  test.each([
    ["f32[lead,row] %1 = state r\nstate.r' = %1", "cannot walk [lead,row] of a vector"],
    ["f32[lead,row,row'] %1 = contract col %0 %0\nstate.r' = %1", "cannot walk [lead,row,row'] of a vector"],
    ["f64[lead,row,col] %1 = add %0 %0\nparam' = %1", "add that gives f64[lead,row,col]"],
    [
      "f64@group %1 = size row\nf32[lead,row,col] %2 = broadcast %1\nparam' = %2",
      "size that gives f64@group",
    ],
  ])("refuses %s", (line, message) => {
    const text = `kernel "k" flat {\nf32[lead,row,col] %0 = param\n${line}\n}`;
    expect(() => emitText(backend, parseFunc(text), layoutOf("f32"))).toThrow(
      expect.objectContaining({ code: "unsupported", message: expect.stringContaining(message) }),
    );
  });
});

const UNARY: Op[] = ["sqrt", "abs", "neg", "sign", "floor", "ceil"];
const BINARY: Op[] = ["add", "sub", "mul", "div", "min", "max"];
const COMPARE: Op[] = ["less", "lessEqual", "greater", "greaterEqual", "equal", "notEqual"];
const MATH: Op[] = ["pow", "exp", "expm1", "log", "log1p", "fround"];
const LENGTHS = [0, 1, 3, 4, 5, 7, 8, 255, 257, 65_537];
const SPECIAL = [0, -0, 1, -1, 0.5, Number.NaN, Infinity, -Infinity, 1e-45, -3e38, 1e-39, 2.5, -1.5];

/** An op by its place in a list and operands by how far back they are: any numbers make a kernel. */
const step = fc.record({
  kind: fc.constantFrom("unary", "binary", "binary", "compare", "logic", "select"),
  op: fc.nat(5),
  args: fc.tuple(fc.nat(50), fc.nat(50), fc.nat(50)),
});
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function buildKernel(dtype: FloatType, steps: readonly Step[], constant: number): Func {
  const builder = new Builder("kernel", `random ${dtype}`, dtype);
  const element = type(dtype, ELEMENT);
  const numbers = ["param", "grad"].map((op) => builder.input(op as Op, element));
  numbers.push(builder.input("state", element, "exp_avg"), builder.input("state", element, "exp_avg_sq"));
  const widen = (id: number) => builder.broadcast(id, ELEMENT);
  numbers.push(widen(builder.input("scalar", type("f64", "group"), 0)), widen(builder.constant(constant)));
  const masks = [widen(builder.input("scalar", type("bool", "group"), 1))];
  const pick = (from: number[], back: number) => from[from.length - 1 - (back % from.length)] as number;
  for (const { kind, op, args } of steps) {
    const [a, b] = [pick(numbers, args[0]), pick(numbers, args[1])];
    const [m, n] = [pick(masks, args[2]), pick(masks, args[1])];
    if (kind === "unary") numbers.push(builder.map(UNARY[op] as Op, [a]));
    if (kind === "binary") numbers.push(builder.map(BINARY[op] as Op, [a, b]));
    if (kind === "select") numbers.push(builder.map("select", [m, a, b]));
    if (kind === "compare") masks.push(builder.map(COMPARE[op] as Op, [a, b]));
    if (kind === "logic")
      masks.push(op === 0 ? builder.map("not", [m]) : builder.map(op < 3 ? "and" : "or", [m, n]));
  }
  builder.output("param'", pick(numbers, 0));
  builder.output("state.exp_avg'", pick(numbers, 1));
  builder.output(
    "state.exp_avg_sq'",
    builder.map("select", [pick(masks, 0), pick(numbers, 2), pick(numbers, 3)]),
  );
  return builder.finish();
}

interface Data {
  readonly length: number;
  readonly seed: number;
  /** Elements before the tensor in its arena: where it starts. */
  readonly skip: number;
  readonly scalar: number;
  readonly mask: boolean;
}

/** Runs a kernel over tensors inside arenas, and the evaluator over the same numbers; complains where they differ. */
function compareWithEvaluator(
  func: Func,
  dtype: FloatType,
  { length, seed, skip, scalar, mask }: Data,
): void {
  verifyFunc(func);
  const layout = layoutOf(dtype, ["f64", "bool"]);
  const random = randomNumbers(seed);
  const number = () =>
    random() < 0.1 ? (SPECIAL[Math.floor(random() * SPECIAL.length)] as number) : random() * 4 - 2;
  const arenas = ROLES.map(() => backend.allocate(dtype, length + 8));
  for (const arena of arenas) arena.view().set(Float64Array.from({ length: length + 8 }, number));
  const before = arenas.map((arena) => arena.view().slice());

  const runner = backend.prepare({
    ...NO_DEVICE,
    classes: [layout],
    tensors: [{ name: "w", classIndex: 0, group: 0, elements: length, dims: vectorDims(length) }],
    ...chunksOf([length], 1024),
    phases: [{ pipelines: [backend.compile(emitText(backend, func, layout))], programs: null, totals: 0 }],
  });
  arenas.forEach((arena, role) => {
    const storage = backend.adopt(arena.view().subarray(skip, skip + length));
    runner.bind(0, role, storage ?? expect.unreachable());
  });
  runner.writeScalar(0, 0, 0, scalar);
  runner.writeScalar(0, 0, 1, Number(mask));
  runner.launch(0, 1);

  const expected = evaluateFunc(func, vectorDims(length), ({ op, attribute }: Value) => {
    if (op === "scalar") return [attribute === 0 ? scalar : Number(mask)];
    const role = op === "state" ? `state.${attribute}` : op;
    return (before[ROLES.indexOf(role)] as Float32Array).subarray(skip, skip + length);
  });
  ROLES.forEach((role, i) => {
    const want = (before[i] as Float32Array).slice();
    want.set(expected.get(`${role}'`) ?? [], skip);
    const got = (arenas[i] as (typeof arenas)[0]).view();
    const at = firstDifference(got, want);
    if (at >= 0)
      throw new Error(`${role}[${at - skip}] is ${got[at]}, not ${want[at]}, after\n${printFunc(func)}`);
  });
  runner.dispose();
  for (const arena of arenas) arena.free();
}

const data = fc.record({
  length: fc.constantFrom(...LENGTHS),
  seed: fc.integer(),
  skip: fc.nat(7),
  scalar: fc.double({ min: -3, max: 3 }),
  mask: fc.boolean(),
});

describe("bits", () => {
  test.each(["f32", "f64"] as const)("random %s kernels agree with the evaluator", (dtype) => {
    const steps = fc.array(step, { minLength: 1, maxLength: 14 });
    fc.assert(
      fc.property(steps, fc.double({ min: -3, max: 3, noNaN: true }), data, (steps, constant, data) =>
        compareWithEvaluator(buildKernel(dtype, steps, constant), dtype, data),
      ),
      { numRuns: 80 },
    );
  });

  test.each(LENGTHS)("AdamW over %i elements", (length) => {
    for (const skip of [0, 1, 3])
      compareWithEvaluator(parseFunc(ADAMW.replaceAll(/scalar [1-6]/g, "scalar 0")), "f32", {
        length,
        seed: length,
        skip,
        scalar: 0.9,
        mask: true,
      });
  });

  test.each(["f32", "f64"] as const)("functions of Math over %s elements", (dtype) => {
    for (const op of MATH) {
      const builder = new Builder("kernel", op, dtype);
      const a = builder.input("param", type(dtype, ELEMENT));
      const b = builder.input("grad", type(dtype, ELEMENT));
      builder.output("param'", builder.map(op, op === "pow" ? [a, b] : [a]));
      compareWithEvaluator(builder.finish(), dtype, { length: 263, seed: 7, skip: 1, scalar: 0, mask: true });
    }
  });

  test("constants keep their bits", () => {
    for (const constant of [...SPECIAL, 0.1, 1e-8, 1 / 3, 3.4028234663852886e38, 1e300]) {
      for (const dtype of ["f32", "f64"] as const) {
        const builder = new Builder("kernel", "constant", dtype);
        builder.output("param'", builder.broadcast(builder.constant(constant), ELEMENT));
        compareWithEvaluator(builder.finish(), dtype, { length: 5, seed: 1, skip: 0, scalar: 0, mask: true });
      }
    }
  });
});

describe("min and max with a shared bound", () => {
  const text = (op: string, [a, b]: readonly [number, number]) =>
    `kernel "k" flat {\nf32[lead,row,col] %0 = param\nf64@group %1 = scalar 0\nf32[lead,row,col] %2 = broadcast %1\n` +
    `f32[lead,row,col] %3 = ${op} %${a} %${b}\nparam' = %3\n}`;

  test.each(
    ["min", "max"].flatMap((op) => [[0, 2] as const, [2, 0] as const].map((args) => [op, args] as const)),
  )("%s %s: every sign of zero, NaN and infinity", (op, args) => {
    const func = parseFunc(text(op, args));
    const layout = layoutOf("f32", ["f64"]);
    const emitted = emitText(backend, func, layout);
    expect(emitted).toContain(`f32x4.p${op}`);
    const { runner, storages } = prepare({
      backend,
      layout,
      sizes: [SPECIAL.length],
      pipelines: [backend.compile(emitted)],
    });
    for (const bound of SPECIAL) {
      const view = storages[0]?.[0]?.view() as Float32Array;
      view.set(SPECIAL);
      runner.writeScalar(0, 0, 0, bound);
      runner.setActive(0, true);
      runner.launch(0, 1);
      const expected = SPECIAL.map((x) => Math[op as "min" | "max"](Math.fround(x), Math.fround(bound)));
      expect([...view], `bound ${bound}`).toEqual(expected);
    }
  });
});

import { afterAll, describe, expect, test } from "vitest";
import { wasm } from "../../../src/backends/wasm/index.ts";
import { vectorDims } from "../../../src/ir/dims.ts";
import { evaluateFunc } from "../../../src/ir/evaluate.ts";
import { parseFunc } from "../../../src/ir/parse.ts";
import {
  ADAMW,
  ADAMW_LAYOUT,
  ADD,
  chunksOf,
  compileText,
  fillRandomly,
  firstDifference,
  layoutOf,
  NO_DEVICE,
  NORMS,
  prepare,
} from "./run.ts";

const backend = wasm({ threads: 4 });
afterAll(() => backend.dispose());
const layout = layoutOf("f32");

describe("totals", () => {
  test.each(["f32", "f64"] as const)("of %s agree with the evaluator", (dtype) => {
    const text = NORMS.replaceAll("f32", dtype);
    const own = layoutOf(dtype);
    for (const length of [1, 2, 7, 255, 1024, 3001]) {
      const setup = { backend, layout: own, sizes: [length], totals: 2 };
      const { runner, storages } = prepare({ ...setup, pipelines: [compileText(backend, text, own)] });
      const grad = storages[0]?.[1]?.view() ?? expect.unreachable();
      fillRandomly(grad, length);
      runner.launch(0, 1);
      const expected = evaluateFunc(parseFunc(text), vectorDims(length), () => grad);
      const partials = [...runner.partials(0)];
      const sum = partials.filter((_, i) => i % 2 === 0).reduce((a, b) => a + b);
      const want = expected.get("total.clip.0")?.[0] as number;
      expect(Math.abs(sum - want)).toBeLessThanOrEqual(1e-12 * want);
      expect(Math.max(...partials.filter((_, i) => i % 2 === 1))).toBe(expected.get("total.clip.1")?.[0]);
    }
  });

  test("a NaN reaches both the sum and the maximum, wherever it is", () => {
    const pipelines = [compileText(backend, NORMS, layout)];
    const { runner, storages } = prepare({ backend, layout, sizes: [7], pipelines, totals: 2 });
    for (let at = 0; at < 7; at++) {
      const grad = storages[0]?.[1]?.view() ?? expect.unreachable();
      grad.fill(1);
      grad[at] = Number.NaN;
      runner.launch(0, 1);
      expect([...runner.partials(0)]).toEqual([Number.NaN, Number.NaN]);
    }
  });
});

test("an inactive parameter is not touched and adds nothing", () => {
  const pipelines = [compileText(backend, ADD, layout), compileText(backend, NORMS, layout)];
  const { runner, storages } = prepare({ backend, layout, sizes: [10, 2000, 10], pipelines, totals: 2 });
  for (const [param, grad] of storages) {
    param?.view().fill(1);
    grad?.view().fill(2);
  }
  runner.launch(1, 1);
  expect([...runner.partials(1)]).toEqual([40, 2, 4096, 2, 3904, 2, 40, 2]);
  runner.setActive(1, false);
  runner.launch(0, 1);
  runner.launch(1, 1);
  expect(storages.map(([param]) => param?.view().every((x) => x === 3))).toEqual([true, false, true]);
  expect(storages[1]?.[0]?.view().every((x) => x === 1)).toBe(true);
  expect([...runner.partials(1)]).toEqual([40, 2, 0, 0, 0, 0, 40, 2]);
  runner.setActive(1, true);
  runner.launch(0, 1);
  expect(storages[1]?.[0]?.view().every((x) => x === 3)).toBe(true);
});

test("classes of different dtype and width share a launch; one without a kernel is skipped", () => {
  const scaled = (dtype: string) => `kernel "scaled" flat {
    ${dtype}[lead,row,col] %0 = param
    f64@group %1 = scalar 1
    ${dtype}[lead,row,col] %2 = broadcast %1
    ${dtype}[lead,row,col] %3 = mul %0 %2
    param' = %3
  }`;
  const wide = layoutOf("f32", Array(40).fill("f64"), ["param"]);
  const double = layoutOf("f64", ["bool", "f64"], ["param", "grad", "state.a", "state.b", "state.c"]);
  const idle = layoutOf("f32", [], ["param"]);
  const sizes = [5, 6, 7, 8];
  const runner = backend.prepare({
    ...NO_DEVICE,
    classes: [wide, double, idle],
    tensors: sizes.map((elements, i) => ({
      name: `p${i}`,
      classIndex: i % 3,
      group: 0,
      elements,
      dims: vectorDims(elements),
    })),
    ...chunksOf(sizes, 256),
    phases: [
      {
        pipelines: [
          compileText(backend, scaled("f32"), wide),
          compileText(backend, scaled("f64"), double),
          null,
        ],
        programs: null,
        totals: 0,
      },
    ],
  });
  const storages = sizes.map((elements, i) => {
    const storage = backend.allocate(i % 3 === 1 ? "f64" : "f32", elements);
    storage.view().fill(2);
    runner.bind(i, 0, storage);
    return storage;
  });
  runner.writeScalar(0, 0, 1, 0.1);
  runner.writeScalar(1, 1, 1, 0.1);
  runner.writeScalar(0, 3, 1, 10);
  runner.launch(0, 1);
  const f32 = Math.fround(2 * Math.fround(0.1));
  expect(storages.map((storage) => new Set(storage.view()))).toEqual(
    [f32, 0.2, 2, 20].map((x) => new Set([x])),
  );
  runner.setScalarRow(3, 0);
  runner.launch(0, 1);
  expect(storages[3]?.view()[7]).toBe(Math.fround(20 * Math.fround(0.1)));
});

test("any number of threads gives the same bits", () => {
  const sizes = [65_537, 3, 200_001, 0, 1000, 131_072];
  const results = [1, 2, 3, 4, 4, 2, 1].map((threads) => {
    const pipelines = [compileText(backend, NORMS, ADAMW_LAYOUT), compileText(backend, ADAMW, ADAMW_LAYOUT)];
    const { runner, storages } = prepare({
      backend,
      layout: ADAMW_LAYOUT,
      sizes,
      pipelines,
      totals: 2,
      chunk: 4096,
    });
    storages.forEach((roles, tensor) => {
      for (const [role, storage] of roles.entries()) fillRandomly(storage.view(), tensor * 10 + role);
      for (let slot = 0; slot < 7; slot++) runner.writeScalar(0, tensor, slot, 0.1 + slot / 10);
    });
    for (let i = 0; i < 20; i++) runner.launch(1, threads);
    runner.launch(0, threads);
    const numbers = [...storages.flat().map((storage) => storage.view().slice()), runner.partials(0).slice()];
    runner.dispose();
    for (const storage of storages.flat()) storage.free();
    return numbers;
  });
  const [first, ...others] = results;
  for (const other of others)
    for (const [i, numbers] of other.entries()) expect(firstDifference(numbers, first?.[i] ?? [])).toBe(-1);
});

test("storage of another backend is refused, and so is a launch after dispose", () => {
  const { runner } = prepare({ backend, layout, sizes: [4], pipelines: [compileText(backend, ADD, layout)] });
  const foreign = wasm({ threads: 1 }).allocate("f32", 4);
  expect(() => runner.bind(0, 0, foreign)).toThrow(expect.objectContaining({ code: "invalid-parameters" }));
  runner.dispose();
  expect(() => runner.launch(0, 1)).toThrow(expect.objectContaining({ code: "disposed" }));
});

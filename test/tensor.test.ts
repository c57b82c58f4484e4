/** Tensors in the backend's memory. */
import { AdamW, compileStep, SGD, type Tensor, tensor } from "stepjit";
import { describe, expect, test } from "vitest";
import { numbers } from "./models.ts";

test("zeros by shape", () => {
  const zeros = tensor([2, 3]);
  expect(zeros).toMatchObject({ shape: [2, 3], size: 6, dtype: "float32", grad: null, disposed: false });
  expect(zeros.data).toEqual(new Float32Array(6));
});

test("a copy of data, whose dtype it takes unless told", () => {
  const source = Float32Array.of(1, 2, 3, 4);
  const copy = tensor(source, [2, 2]);
  source.fill(9);
  expect(copy.data).toEqual(Float32Array.of(1, 2, 3, 4));
  expect(tensor([1, 2], [2]).dtype).toBe("float32");
  expect(tensor(Float64Array.of(1e300), [1]).data).toEqual(Float64Array.of(1e300));
  expect(tensor(Float64Array.of(0.1), [1], "float32").data).toEqual(Float32Array.of(0.1));
  expect(tensor([0.1], [1], "float64").data).toEqual(Float64Array.of(0.1));
  expect(tensor([2], "float64").data).toEqual(new Float64Array(2));
});

test("a scalar has shape [], an empty tensor no elements", () => {
  expect(tensor([])).toMatchObject({ shape: [], size: 1 });
  expect([...tensor([5], []).data]).toEqual([5]);
  expect(tensor([0, 3])).toMatchObject({ shape: [0, 3], size: 0 });
  expect(tensor([], [0]).data).toEqual(new Float32Array(0));
});

test("its shape is its own and frozen", () => {
  const shape = [2, 2];
  const { shape: kept } = tensor(shape);
  shape[0] = 9;
  expect(kept).toEqual([2, 2]);
  expect(() => (kept as number[]).push(1)).toThrow(TypeError);
});

test("data is in place: what is written there is there", () => {
  const values = tensor([3]);
  values.data.set([1, 2, 3]);
  values.data[1] = 7;
  expect([...values.data]).toEqual([1, 7, 3]);
});

test("data stays right while memory grows, in steps too", () => {
  const weight = tensor(numbers(5), [5]);
  const gradient = tensor(numbers(5, 2), [5]);
  const step = compileStep(new SGD([weight], { lr: 1 }));
  step([gradient]);
  const before = weight.data.slice();
  const bytes = weight.data.buffer.byteLength;
  const large = tensor([bytes / 2]);
  expect(weight.data.buffer.byteLength).toBeGreaterThan(bytes);
  expect(weight.data).toEqual(before);
  expect(large.data.every((value) => value === 0)).toBe(true);
  step([gradient]);
  expect(weight.data).toEqual(before.map((value, i) => value - (gradient.data[i] as number)));
  large.dispose();
});

describe("dispose()", () => {
  test("ends it, once", () => {
    const gone = tensor([2]);
    gone.dispose();
    gone.dispose();
    expect(gone).toMatchObject({ disposed: true, shape: [2], size: 2 });
    expect(() => gone.data).toThrow(expect.objectContaining({ code: "disposed" }));
    expect(() => gone.dtype).toThrow(expect.objectContaining({ code: "disposed" }));
  });

  test("is what `using` calls", () => {
    const gone = tensor([2]);
    gone[Symbol.dispose]();
    expect(gone.disposed).toBe(true);
  });

  test("gives memory back, and what is made of it is zero again", () => {
    const first = tensor([1000]);
    first.data.fill(3);
    const { byteOffset } = first.data;
    first.dispose();
    const again = tensor([1000]);
    expect(again.data.byteOffset).toBe(byteOffset);
    expect(again.data).toEqual(new Float32Array(1000));
  });
});

test("what tensors, steps and optimizers took is all given back", () => {
  const once = () => {
    const size = 2 ** 16;
    const weights = [tensor([size]), new Float32Array(size)];
    const optimizer = new AdamW(weights);
    const steps = [compileStep(optimizer), compileStep(optimizer, { clipNorm: 1 })];
    for (const step of steps) step([new Float32Array(size), new Float32Array(size)]);
    const late = tensor([size]);
    optimizer.addParamGroup({ params: [late], amsgrad: true });
    for (const step of steps) step([null, null, new Float32Array(size)]);
    for (const step of steps) step.dispose();
    optimizer.dispose();
    late.dispose();
    (weights[0] as Tensor).dispose();
    const probe = tensor([1]);
    const { byteLength } = probe.data.buffer;
    probe.dispose();
    return byteLength;
  };
  const first = once();
  for (let i = 0; i < 50; i++) expect(once()).toBe(first);
});

test.each([[[2 ** 31]], [[2 ** 30, 2 ** 30]], [new Array(30).fill(Number.MAX_SAFE_INTEGER)]])(
  "past 4 GiB it says so: %j",
  (shape) => {
    expect(() => tensor(shape)).toThrow(expect.objectContaining({ code: "out-of-memory" }));
    expect(tensor([2]).data).toEqual(new Float32Array(2));
  },
);

test.each(["reference", "wasm"] as const)("a step takes empty tensors and scalars on %s", (backend) => {
  const [empty, one] = [tensor([0, 4]), tensor([5], [])];
  const step = compileStep(new SGD({ empty, one }, { lr: 1, momentum: 0.5 }), { backend, clipNorm: 10 });
  step({ empty: tensor([0, 4]), one: Float32Array.of(2) });
  step({ empty: null, one: Float32Array.of(2) });
  expect([...one.data]).toEqual([0]);
  expect(empty.data).toHaveLength(0);
});

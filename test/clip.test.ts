/** `clipNorm` against torch's clip_grad_norm_ in plain JavaScript. */
import { setTimeout } from "node:timers/promises";
import { AdamW, compileStep, SGD, scalar, tensor, wasm } from "stepjit";
import { describe, expect, test } from "vitest";
import { at, numbers } from "./models.ts";

const DTYPES = ["float32", "float64"] as const;
const TOLERANCE = { float32: 2e-6, float64: 1e-12 };

type DType = (typeof DTYPES)[number];

function arrayOf(dtype: DType, values: readonly number[]): Float32Array | Float64Array {
  return dtype === "float32" ? Float32Array.from(values) : Float64Array.from(values);
}

/** The factor that all gradients are multiplied by. */
function clipFactor(gradients: readonly (ArrayLike<number> | null)[], maxNorm: number): number {
  // The square of an f32 is an f32; sums are f64.
  const squares = gradients.flatMap((values) => {
    const round = values instanceof Float32Array ? Math.fround : (x: number) => x;
    return Array.from(values ?? [], (g) => round(g * g));
  });
  const norm = Math.sqrt(squares.reduce((sum, square) => sum + square, 0));
  return Math.min(1, maxNorm / (norm + 1e-6)); // NaN stays NaN
}

/** Sizes and dtypes over two groups, of which one has other flags: four classes. */
const LAYOUT = [
  [
    { dtype: "float32", size: 7 },
    { dtype: "float64", size: 5 },
  ],
  [
    { dtype: "float64", size: 300 },
    { dtype: "float32", size: 16_390 },
    { dtype: "float32", size: 0 },
  ],
] as const;
const PARAMETERS = LAYOUT.flat();

describe.each(["reference", "wasm"] as const)("clipNorm on %s", (backend) => {
  /** SGD with lr 1 from zeros: a parameter is then minus the sum of its clipped gradients. */
  function start(clipNorm: number | ReturnType<typeof scalar>) {
    const groups = LAYOUT.map((group, index) => ({
      params: group.map(({ size, dtype }) => tensor([size], dtype)),
      maximize: index === 1,
    }));
    const optimizer = new SGD(groups, { lr: 1 });
    const step = compileStep(optimizer, { backend, clipNorm });
    return { step, tensors: groups.flatMap(({ params }) => params) };
  }

  const gradientsOf = (seed: number, missing: readonly number[] = []) =>
    PARAMETERS.map(({ dtype, size }, i) =>
      missing.includes(i) ? null : arrayOf(dtype, numbers(size, seed + i)),
    );

  /** Takes the step from zeros and compares every parameter. */
  function check(clipNorm: number, gradients: ReturnType<typeof gradientsOf>) {
    const { step, tensors } = start(clipNorm);
    step(gradients);
    const factor = clipFactor(gradients, clipNorm);
    tensors.forEach(({ data, dtype }, i) => {
      const sign = i < 2 ? -1 : 1;
      const worst = Array.from(gradients[i] ?? []).reduce(
        (error, g, k) => Math.max(error, Math.abs(at(data, k) - sign * g * factor)),
        0,
      );
      expect(worst).toBeLessThanOrEqual(TOLERANCE[dtype]);
      if (!gradients[i]) expect(data).toEqual(arrayOf(dtype, new Array(data.length).fill(0)));
    });
    return factor;
  }

  test("scales by the norm over all groups, classes and dtypes", () => {
    expect(check(1, gradientsOf(1))).toBeLessThan(0.1);
    expect(check(50, gradientsOf(2))).toBeLessThan(1);
    expect(check(0, gradientsOf(3))).toBe(0);
  });

  test("a missing gradient adds nothing to the norm", () => {
    const alone = check(1, gradientsOf(1, [1, 2, 3, 4]));
    expect(alone).toBeGreaterThan(0.2);
    expect(check(1, gradientsOf(1, [3]))).toBeLessThan(alone);
    check(1, gradientsOf(1, [0, 1, 2, 3, 4]));
  });

  test("a parameter that drops out and comes back does not leave its share behind", () => {
    const { step, tensors } = start(1);
    step(gradientsOf(1));
    for (const { data } of tensors) data.fill(0);
    const gradients = gradientsOf(1, [2, 3, 4]);
    step(gradients);
    const factor = clipFactor(gradients, 1);
    expect(Math.abs(at(tensors[1]?.data ?? [], 0) + at(gradients[1] ?? [], 0) * factor)).toBeLessThan(1e-12);
  });

  test("below the limit gradients keep their bits", () => {
    const gradients = gradientsOf(1);
    const { step, tensors } = start(1e4);
    step(gradients);
    tensors.forEach(({ data }, i) => {
      const sign = i < 2 ? -1 : 1;
      expect(data).toEqual(gradients[i]?.map((g) => 0 + sign * g));
    });
  });

  test("one NaN makes every gradient NaN, as in torch; a missing one still changes nothing", () => {
    const gradients = gradientsOf(1, [1]);
    (gradients[3] as Float32Array)[16_389] = Number.NaN;
    const { step, tensors } = start(1);
    step(gradients);
    for (const i of [0, 2, 3]) expect(tensors[i]?.data.every(Number.isNaN)).toBe(true);
    expect(tensors[1]?.data.every((value) => value === 0)).toBe(true);
  });

  test("an infinite gradient leaves zeros and NaN, as in torch", () => {
    const gradients = gradientsOf(1);
    (gradients[0] as Float32Array)[2] = Number.POSITIVE_INFINITY;
    const { step, tensors } = start(1);
    step(gradients);
    expect(tensors[0]?.data[2]).toBeNaN();
    expect(tensors[0]?.data[1]).toBeCloseTo(0, 20);
    expect(tensors[2]?.data.every((value) => value === 0)).toBe(true);
  });

  test("a scalar is read at every step, and filled by setting the step's clipNorm", () => {
    const limit = scalar(2);
    const { step, tensors } = start(limit);
    const gradients = gradientsOf(1);
    const moved = () => {
      const { data } = tensors[1] as (typeof tensors)[0];
      data.fill(0);
      step(gradients);
      return at(data, 0) / -at(gradients[1] ?? [], 0);
    };
    expect(moved()).toBeCloseTo(clipFactor(gradients, 2), 12);
    limit.value = 0.5;
    expect(step.clipNorm).toBe(0.5);
    expect(moved()).toBeCloseTo(clipFactor(gradients, 0.5), 12);
    step.clipNorm = 4;
    expect(limit.value).toBe(4);
    expect(moved()).toBeCloseTo(clipFactor(gradients, 4), 12);
  });
});

test("gives the same bits on 1, 2 and 3 threads", async () => {
  const backend = wasm({ threads: 3 });
  const sizes = [100_003, 5, 70_000, 1, 30_000];
  const results = [];
  for (const threads of [1, 2, 3]) {
    const tensors = sizes.map((size, i) => tensor(numbers(size, i), [size], i === 2 ? "float64" : "float32"));
    const step = compileStep(new AdamW(tensors, { lr: 0.1 }), { backend, threads, clipNorm: 0.5 });
    const gradients = tensors.map(({ dtype, size }, i) => arrayOf(dtype, numbers(size, 50 + i)));
    step(gradients);
    await setTimeout(100); // for workers to be up: without them the test shows less but stays true
    for (let i = 0; i < 10; i++) step(gradients);
    results.push(tensors.map(({ data }) => data.slice()));
    step.dispose();
  }
  expect(results[1]).toEqual(results[0]);
  expect(results[2]).toEqual(results[0]);
  backend.dispose();
});

import { describe, expect, test } from "vitest";
import { parseFunc } from "../../src/ir/parse.ts";
import { CHUNK_ELEMENTS, chunkTable } from "../../src/plan/chunks.ts";
import { Totals } from "../../src/plan/totals.ts";
import { sharesOf } from "../../src/plan/work.ts";
import { vectors } from "./vectors.ts";

const share = (level: "step" | "group" | "param", name: string, op: "sum" | "max" = "sum") =>
  ({ level, name, op: `reduce.${op}` }) as const;
const tensor = (classIndex: number, group: number, active = true) => ({ classIndex, group, active });

test("a kernel's shares stand in the order of its outputs", () => {
  const kernel = parseFunc(`kernel "C" phase 0 {
    f32[lead,row,col] %0 = grad
    f64@step %1 = reduce.sum %0
    f64@param %2 = reduce.max %0
    total.local0 = %2
    param' = %0
    total.n = %1
  }`);
  expect(sharesOf(kernel)).toEqual([share("param", "local0", "max"), share("step", "n")]);
});

describe("finishing a launch", () => {
  test("adds at every level what belongs there, and takes maxima", () => {
    const totals = new Totals(2, 3);
    const shares = [
      [share("step", "s"), share("group", "g"), share("param", "p"), share("step", "m", "max")],
    ];
    const { chunks } = chunkTable(vectors([CHUNK_ELEMENTS + 1, 1, 1]));
    // A row a chunk: two of the first tensor, one of each other.
    const partials = Float64Array.of(1, 1, 1, 1, 2, 2, 2, 9, 4, 4, 4, 3, 8, 8, 8, -5);
    totals.finish(shares, partials, 4, chunks, [tensor(0, 0), tensor(0, 1), tensor(0, 1)]);
    expect([...totals.numbers("step", "s")]).toEqual([15]);
    expect([...totals.numbers("group", "g")]).toEqual([3, 12]);
    expect([...totals.numbers("param", "p")]).toEqual([3, 4, 8]);
    expect([...totals.numbers("step", "m")]).toEqual([9]);
  });

  test("in chunk order: f64 sums whose bits depend on it", () => {
    const totals = new Totals(1, 4);
    const partials = Float64Array.of(1e16, 1, -1e16, 1);
    totals.finish(
      [[share("step", "s")]],
      partials,
      1,
      chunkTable(vectors([1, 1, 1, 1])).chunks,
      Array.from({ length: 4 }, () => tensor(0, 0)),
    );
    expect([...totals.numbers("step", "s")]).toEqual([1e16 + 1 - 1e16 + 1]);
  });

  test("by partial slot, not by place in the table", () => {
    const totals = new Totals(1, 2);
    const chunks = Uint32Array.of(0, 0, 1, 1, 1, 0, 1, 0);
    totals.finish([[share("param", "p")]], Float64Array.of(10, 20), 1, chunks, [tensor(0, 0), tensor(0, 0)]);
    expect([...totals.numbers("param", "p")]).toEqual([20, 10]);
  });

  test("inactive parameters add nothing; what nobody adds to is the identity", () => {
    const totals = new Totals(2, 2);
    const shares = [[share("group", "g"), share("group", "m", "max")]];
    totals.finish(shares, Float64Array.of(1, 1, 2, 2), 2, chunkTable(vectors([1, 1])).chunks, [
      tensor(0, 0, false),
      tensor(0, 1),
    ]);
    expect([...totals.numbers("group", "g")]).toEqual([0, 2]);
    expect([...totals.numbers("group", "m")]).toEqual([-Infinity, 2]);
  });

  test("NaN in one share is NaN in the total, maxima included", () => {
    const totals = new Totals(1, 2);
    const shares = [[share("step", "s"), share("step", "m", "max")]];
    totals.finish(shares, Float64Array.of(NaN, NaN, 1, 1), 2, chunkTable(vectors([1, 1])).chunks, [
      tensor(0, 0),
      tensor(0, 0),
    ]);
    expect([...totals.numbers("step", "s"), ...totals.numbers("step", "m")]).toEqual([NaN, NaN]);
  });

  test("a step starts afresh", () => {
    const totals = new Totals(1, 1);
    const { chunks } = chunkTable(vectors([1]));
    const numbers = totals.numbers("step", "s"); // programs keep the array
    for (const partial of [5, 7])
      totals.finish([[share("step", "s")]], Float64Array.of(partial), 1, chunks, [tensor(0, 0)]);
    expect([...numbers]).toEqual([7]);
  });

  test("classes meet in a total of the step; their own, by one name in different phases, stay apart", () => {
    const totals = new Totals(1, 2);
    const { chunks } = chunkTable(vectors([1, 1]));
    const tensors = [tensor(0, 0), tensor(1, 0)];
    const both = [[share("step", "s")], [share("step", "s")]];
    totals.finish(both, Float64Array.of(1, 2), 1, chunks, tensors);
    expect([...totals.numbers("step", "s")]).toEqual([3]);

    totals.finish([[share("param", "local0")], []], Float64Array.of(5, 0), 1, chunks, tensors);
    totals.finish([[], [share("param", "local0")]], Float64Array.of(0, 6), 1, chunks, tensors);
    expect([...totals.numbers("param", "local0")]).toEqual([5, 6]);
  });
});

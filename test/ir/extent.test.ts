import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  AXES,
  axesOf,
  type Extent,
  extentOf,
  isLevel,
  join,
  LEVELS,
  parseExtent,
  widensTo,
} from "../../src/ir/extent.ts";
import { parseType, printType, roundTo, type } from "../../src/ir/type.ts";

const AXIS_SETS = Array.from({ length: 2 ** AXES.length - 1 }, (_, bits) =>
  extentOf(AXES.filter((_, index) => ((bits + 1) >> index) & 1)),
);
const ALL: readonly Extent[] = [...LEVELS, ...AXIS_SETS];
const anyExtent = fc.constantFrom(...ALL);

describe("join: where the operands of an op meet", () => {
  test.each<[Extent, Extent, Extent]>([
    ["step", "step", "step"],
    ["step", "group", "group"],
    ["param", "group", "param"],
    ["step", "[lead]", "[lead]"],
    ["param", "[lead,row,col]", "[lead,row,col]"],
    ["[lead]", "[lead,row]", "[lead,row]"],
    ["[lead,row]", "[lead,col]", "[lead,row,col]"],
    ["[row]", "[col]", "[row,col]"],
    ["[lead,row,row']", "[col]", "[lead,row,row',col]"],
  ])("%s and %s: %s", (a, b, expected) => {
    expect(join(a, b)).toBe(expected);
    expect(join(b, a)).toBe(expected);
  });
});

describe("widensTo: what broadcasting may do", () => {
  test.each<[Extent, Extent, boolean]>([
    ["step", "group", true],
    ["group", "step", false],
    ["group", "param", true],
    ["param", "[lead]", true],
    ["[lead]", "param", false],
    ["[lead]", "[lead,row]", true],
    ["[lead,row]", "[lead]", false],
    ["[lead,row]", "[lead,col]", false],
    ["[row]", "[lead,row,col]", true],
    ["[row']", "[lead,row,col]", false],
  ])("%s to %s: %s", (inner, outer, expected) => expect(widensTo(inner, outer)).toBe(expected));
});

describe("extents are a lattice", () => {
  test("widening is a partial order", () => {
    fc.assert(
      fc.property(anyExtent, anyExtent, anyExtent, (a, b, c) => {
        expect(widensTo(a, a)).toBe(true);
        if (widensTo(a, b) && widensTo(b, a)) expect(a).toBe(b);
        if (widensTo(a, b) && widensTo(b, c)) expect(widensTo(a, c)).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  test("join is the least upper bound: commutative, associative, idempotent", () => {
    fc.assert(
      fc.property(anyExtent, anyExtent, anyExtent, (a, b, c) => {
        const both = join(a, b);
        expect(widensTo(a, both) && widensTo(b, both)).toBe(true);
        if (widensTo(a, c) && widensTo(b, c)) expect(widensTo(both, c)).toBe(true);
        expect(join(b, a)).toBe(both);
        expect(join(a, a)).toBe(a);
        expect(join(join(a, b), c)).toBe(join(a, join(b, c)));
      }),
      { numRuns: 2000 },
    );
  });
});

test("every extent and every type reads back as it is printed", () => {
  for (const extent of ALL) {
    expect(parseExtent(extent)).toBe(extent);
    for (const dtype of ["f32", "f64", "bool"] as const)
      expect(parseType(printType(type(dtype, extent)))).toEqual({ dtype, extent });
    if (!isLevel(extent)) expect(extentOf([...axesOf(extent)].reverse())).toBe(extent);
  }
});

test.each(["", "[]", "[row,lead]", "[row,row]", "[depth]", "epoch", "[lead", "lead"])(
  "%j is no extent",
  (text) => expect(parseExtent(text)).toBeUndefined(),
);

test("rounding is f32's own, and none for f64 and masks", () => {
  expect(roundTo("f32", 0.1)).toBe(Math.fround(0.1));
  expect(roundTo("f64", 0.1)).toBe(0.1);
  expect(roundTo("bool", 1)).toBe(1);
});

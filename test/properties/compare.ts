import { expect } from "vitest";
import type { Snapshot } from "./scenario.ts";

/** Largest allowed |a - b| / max(1, |b|), by dtype. */
export interface Tolerance {
  readonly single: number;
  readonly double: number;
}

export function expectClose(
  actual: readonly Snapshot[],
  expected: readonly Snapshot[],
  tolerance: Tolerance,
): void {
  compareAll(actual, expected, (a, b, double) => {
    const allowed = (double ? tolerance.double : tolerance.single) * Math.max(1, Math.abs(b));
    return Math.abs(a - b) <= allowed || Object.is(a, b);
  });
}

/** To the bit; NaN is NaN. */
export function expectSame(actual: readonly Snapshot[], expected: readonly Snapshot[]): void {
  compareAll(actual, expected, Object.is);
}

/** The same for arrays, whose differences `toEqual` would print at length. */
export function expectSameArrays(
  actual: readonly ArrayLike<number>[],
  expected: readonly ArrayLike<number>[],
): void {
  const snapshot = (arrays: readonly ArrayLike<number>[]): Snapshot =>
    new Map(arrays.map((numbers, index) => [`array ${index}`, { double: false, numbers }]));
  expectSame([snapshot(actual)], [snapshot(expected)]);
}

function compareAll(
  actual: readonly Snapshot[],
  expected: readonly Snapshot[],
  agree: (a: number, b: number, double: boolean) => boolean,
): void {
  expect(actual.length).toBe(expected.length);
  expected.forEach((snapshot, step) => {
    expect([...(actual[step] as Snapshot).keys()].sort()).toEqual([...snapshot.keys()].sort());
    for (const [name, { double, numbers }] of snapshot) {
      const found = actual[step]?.get(name)?.numbers ?? [];
      expect(found.length, `${name} after step ${step + 1}`).toBe(numbers.length);
      for (let i = 0; i < numbers.length; i++) {
        const [a, b] = [found[i] as number, numbers[i] as number];
        if (!agree(a, b, double)) expect.fail(`${name}[${i}] after step ${step + 1}: ${a} is not ${b}`);
      }
    }
  });
}

/** Contenders do the same arithmetic in another order, and round to float32 at other places. */
export const ALLOWED = 1e-5;

/** Relative to max(1, |expected|); NaN where one of them is. */
export function largestDifference(found: readonly Float32Array[], expected: readonly Float32Array[]): number {
  let largest = 0;
  expected.forEach((values, tensor) => {
    values.forEach((value, i) => {
      const difference = Math.abs((found[tensor]?.[i] ?? Number.NaN) - value) / Math.max(1, Math.abs(value));
      if (!(difference <= largest)) largest = difference;
    });
  });
  return largest;
}

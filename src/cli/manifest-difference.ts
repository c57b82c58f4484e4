/** What became of a manifest's counts, for who reads a pull request. */
import { type Entry, nameOf } from "./manifest-file.ts";

const COUNTS = { kernels: "kernels", launches: "launches", bytesMoved: "bytes moved" } as const;

type Count = keyof typeof COUNTS;

export interface Difference {
  readonly name: string;
  readonly counts: readonly { readonly count: Count; readonly before: number; readonly after: number }[];
  /** Parts of the key that are others now. */
  readonly key: readonly { readonly part: string; readonly before?: string; readonly after?: string }[];
  /** Whether some count is larger than it was. */
  readonly rose: boolean;
}

/** Undefined where all is as it was. */
export function differenceOf(before: Entry, after: Entry): Difference | undefined {
  const counts = (Object.keys(COUNTS) as Count[])
    .map((count) => ({ count, before: before[count], after: after[count] }))
    .filter((one) => one.before !== one.after);
  const parts = [...new Set([...Object.keys(before.key), ...Object.keys(after.key)])];
  const key = parts
    .filter((part) => before.key[part] !== after.key[part])
    .map((part) => ({
      part,
      ...(before.key[part] !== undefined && { before: before.key[part] }),
      ...(after.key[part] !== undefined && { after: after.key[part] }),
    }));
  if (counts.length === 0 && key.length === 0) return undefined;
  return { name: nameOf(after), counts, key, rose: counts.some((one) => one.after > one.before) };
}

/**
 *     SGD over resnet50 on wasm
 *       launches: 1 → 2
 *       bytes moved: 306,684,384 → 408,912,512 (+33.3 %)
 *       param group 0, maximize: false → true
 */
export function printDifference({ name, counts, key }: Difference): string {
  return [
    name,
    ...counts.map(({ count, before, after }) => `  ${COUNTS[count]}: ${printChange(before, after)}`),
    ...key.map(({ part, before = "none", after = "none" }) => `  ${part}: ${before} → ${after}`),
  ].join("\n");
}

function printChange(before: number, after: number): string {
  const percent =
    before === 0 ? "" : ` (${after > before ? "+" : ""}${((after / before - 1) * 100).toFixed(1)} %)`;
  const large = Math.max(before, after) >= 1000;
  return `${grouped(before)} → ${grouped(after)}${large ? percent : ""}`;
}

function grouped(count: number): string {
  return count.toLocaleString("en-US");
}

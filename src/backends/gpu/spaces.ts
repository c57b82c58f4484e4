/**
 * Index arithmetic. An array over an extent is counted out by counters, outermost first (ir/dims.ts); an array over fewer axes leaves
 * some out. Counters that lie side by side and are both kept or both left out act as one:
 *
 *     elements of a matrix    a row | col            i
 *     its rows                a row                  i / C
 *     its columns             a | (row) | col        i / (R * C) * C + i % C
 */
import { type Counter, countersOf, type Walked } from "../../ir/dims.ts";
import { ELEMENT, type Extent } from "../../ir/extent.ts";

/** What can be walked, and its name in the text. */
export const SPACES: Readonly<Record<Walked, ReadonlyMap<Extent, string>>> = {
  vector: new Map([[ELEMENT, "elements"]]),
  matrix: spacesOfMatrix(),
  interleaved: spacesOfMatrix(),
};

function spacesOfMatrix(): ReadonlyMap<Extent, string> {
  return new Map([
    [ELEMENT, "elements"],
    ["[lead,row]", "rows"],
    ["[lead,col]", "cols"],
    ["[lead]", "slabs"],
  ]);
}

/** The variable with the size of a counter; a is outermost, so nothing needs its size. */
const SIZES: Partial<Record<Counter, string>> = { row: "R", b: "B", col: "C", d: "D" };

/** The counters of an extent; b and d of a matrix have one place each. */
function countersIn(view: Walked, extent: Extent): readonly Counter[] {
  const counters = countersOf(extent);
  return view === "matrix" ? counters.filter((counter) => counter !== "b" && counter !== "d") : counters;
}

/** Counters side by side that another extent has all of, or none. */
export interface Group {
  readonly counters: readonly Counter[];
  readonly kept: boolean;
  /** Counters further in: numbers from one place of the group to the next. */
  readonly inner: readonly Counter[];
}

/** The counters of `from` by what `to`, an extent over fewer axes, keeps; outermost first. */
export function groupsOf(view: Walked, from: Extent, to: Extent): Group[] {
  const all = countersIn(view, from);
  const kept = countersOf(to);
  const groups: { counters: Counter[]; kept: boolean }[] = [];
  for (const counter of all) {
    const isKept = kept.includes(counter);
    const last = groups.at(-1);
    if (last?.kept === isKept) last.counters.push(counter);
    else groups.push({ counters: [counter], kept: isKept });
  }
  return groups.map((group) => ({
    ...group,
    inner: all.slice(all.indexOf(group.counters.at(-1) as Counter) + 1),
  }));
}

export function productOf(factors: readonly string[]): string {
  if (factors.length === 0) return "1u";
  return factors.length === 1 ? (factors[0] as string) : `(${factors.join(" * ")})`;
}

/** `x * factors`, `x / factors`, `x % factors`, or x where there are none. */
function times(x: string, factors: readonly string[]): string {
  return factors.length === 0 ? x : `${x} * ${productOf(factors)}`;
}

function over(x: string, factors: readonly string[]): string {
  return factors.length === 0 ? x : `${x} / ${productOf(factors)}`;
}

export function sizesOf(counters: readonly Counter[]): string[] {
  return counters.flatMap((counter) => SIZES[counter] ?? []);
}

/** Sizes whose product is how many numbers an array over `extent` has for each slab. */
export function slabSizes(view: Walked, extent: Extent): string[] {
  return sizesOf(countersIn(view, extent));
}

/** Sizes whose product is how many elements a line, the places of one (a, row), has. */
export function lineSizes(view: Walked): string[] {
  return slabSizes(view, ELEMENT).filter((size) => size !== "R");
}

/** The index in an array over `to`, of what is at index `i` in an array over `from`. */
export function indexIn(view: Walked, from: Extent, to: Extent, i: string): string {
  const kept = groupsOf(view, from, to).filter((group) => group.kept);
  return kept.reduce((outer, { counters, inner }) => {
    const at = over(i, sizesOf(inner));
    if (!outer) return at;
    const sizes = sizesOf(counters);
    return `${times(outer.includes(" + ") ? `(${outer})` : outer, sizes)} + ${at} % ${productOf(sizes)}`;
  }, "");
}

/** A group within a chunk: the factors of how many places it has there. */
export interface Span extends Group {
  readonly sizes: readonly string[];
}

/** Where in an array over the walked space the `at`-th place of these groups lies, counted from the chunk's first. */
export function offsetOf(spans: readonly Span[], at: string): string {
  const terms = spans.map(({ sizes, inner }, index) => {
    const further = spans.slice(index + 1).flatMap((span) => span.sizes);
    const digit = index === 0 ? over(at, further) : `${over(at, further)} % ${productOf(sizes)}`;
    return times(digit, sizesOf(inner));
  });
  return terms.join(" + ");
}

/** How many places they have together. */
export function countOf(spans: readonly Span[]): string {
  return spans.flatMap(({ sizes }) => sizes).join(" * ") || "1u";
}

/**
 * A total over `extent` of which each block of a slab's rows has numbers of its own: where the first block's number for index `i` lies,
 * and how far apart those of the blocks are. `blocks` is how many there are.
 */
export function inBlocks(view: Walked, extent: Extent, i: string): { first: string; apart: string } {
  const sizes = slabSizes(view, extent);
  const apart = productOf(sizes);
  return sizes.length === 0
    ? { first: `${i} * blocks`, apart }
    : { first: `${i} / ${apart} * blocks * ${apart} + ${i} % ${apart}`, apart };
}

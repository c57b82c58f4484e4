/**
 * Extents: where a value lives once.
 *
 * Levels nest, step ⊃ group ⊃ param; below a parameter a value lives on a set of axes. Every tensor is seen as
 * lead x row x col (a vector or a 0-d tensor is all col), so `[lead,row,col]` is an element, `[lead,row]` a row,
 * `[lead]` a slab. `row'` and `col'` are the fresh axes that a `contract` makes. An extent names axes, never sizes.
 */
export const LEVELS = ["step", "group", "param"] as const;
export type Level = (typeof LEVELS)[number];

export const AXES = ["lead", "row", "row'", "col", "col'"] as const;
export type Axis = (typeof AXES)[number];

/** A level by its name, or axes in canonical order inside brackets: `step`, `[lead,row]`. */
export type Extent = Level | `[${string}]`;

export const ELEMENT: Extent = "[lead,row,col]";

export function isLevel(extent: Extent): extent is Level {
  return !extent.startsWith("[");
}

/** The axes of an extent, in canonical order; a level has none. */
export function axesOf(extent: Extent): readonly Axis[] {
  return isLevel(extent) ? [] : (extent.slice(1, -1).split(",") as Axis[]);
}

/** The extent over a non-empty set of axes, in canonical order. */
export function extentOf(axes: Iterable<Axis>): Extent {
  const set = new Set(axes);
  return `[${AXES.filter((axis) => set.has(axis)).join(",")}]`;
}

/** Reads `step` or `[lead,row]`; undefined where the text is no extent in canonical form. */
export function parseExtent(text: string): Extent | undefined {
  if ((LEVELS as readonly string[]).includes(text)) return text as Level;
  const axes = /^\[(.+)\]$/.exec(text)?.[1]?.split(",") ?? [];
  if (axes.length === 0 || axes.some((axis) => !(AXES as readonly string[]).includes(axis))) return undefined;
  return extentOf(axes as Axis[]) === text ? (text as Extent) : undefined;
}

/** True where a value over `inner` has one value for every place of `outer`: broadcasting goes inner to outer. */
export function widensTo(inner: Extent, outer: Extent): boolean {
  if (isLevel(inner)) return !isLevel(outer) || LEVELS.indexOf(inner) <= LEVELS.indexOf(outer);
  const places = axesOf(outer);
  return !isLevel(outer) && axesOf(inner).every((axis) => places.includes(axis));
}

/** The smallest extent that both widen to: what the operands of an element-wise op are broadcast to. */
export function join(a: Extent, b: Extent): Extent {
  if (widensTo(a, b)) return b;
  if (widensTo(b, a)) return a;
  return extentOf([...axesOf(a), ...axesOf(b)]);
}

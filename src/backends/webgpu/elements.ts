/**
 * What a variable over elements holds: one, or four side by side. Of vectors any four neighbours go together, whose 16 bytes memory likes
 * best; where elements are counted along axes they go one by one.
 */
import type { DType } from "../../ir/type.ts";

export type ElementType = "f32" | "vec4f";

export const WIDTH = { f32: 1, vec4f: 4 } as const satisfies Record<ElementType, number>;

/** Whether a variable holds several elements, the last one of a tensor some of its padding. */
export function isWide(elements: ElementType): boolean {
  return WIDTH[elements] > 1;
}

/** The index into an array of them. */
export function indexAt(elements: ElementType, base: string, index: string): string {
  const at = `${base} + ${index}`;
  return isWide(elements) ? `(${at}) / ${WIDTH[elements]}u` : at;
}

/** A number or a mask that all of them share. */
export function splat(elements: ElementType, text: string, dtype: DType = "f32"): string {
  if (!isWide(elements)) return text;
  return dtype === "bool" ? `vec4<bool>(${text})` : `${elements}(${text})`;
}

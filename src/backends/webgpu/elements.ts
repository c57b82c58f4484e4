/**
 * What a variable over elements holds: one, or four side by side. Of vectors any four neighbours go together, whose 16 bytes memory likes
 * best; where elements are counted along axes they go one by one.
 */
import type { DType } from "../../ir/type.ts";

export type ElementType = "f32" | "vec4f";

export function elementType(wide: boolean): ElementType {
  return wide ? "vec4f" : "f32";
}

/** Elements of four neighbours. */
export const WIDTH = 4;

/** The index into an array of them. */
export function indexAt(wide: boolean, base: string, index: string): string {
  const at = `${base} + ${index}`;
  return wide ? `(${at}) / ${WIDTH}u` : at;
}

/** A number or a mask that all of them share. */
export function splat(wide: boolean, text: string, dtype: DType = "f32"): string {
  if (!wide) return text;
  return dtype === "bool" ? `vec4<bool>(${text})` : `vec4f(${text})`;
}

import { type Extent, isLevel, parseExtent } from "./extent.ts";

/** What elements of a tensor are, by the IR's names: float32 or float64. */
export type FloatType = "f32" | "f64";
export type DType = FloatType | "bool";

export const ELEMENT_BYTES: Readonly<Record<FloatType, 4 | 8>> = { f32: 4, f64: 8 };

/** What a value is (dtype) and where it lives once (extent). Printed `f32[lead,row]`, `f64@group`. */
export interface Type {
  readonly dtype: DType;
  readonly extent: Extent;
}

export function type(dtype: DType, extent: Extent): Type {
  return { dtype, extent };
}

export function sameType(a: Type, b: Type): boolean {
  return a.dtype === b.dtype && a.extent === b.extent;
}

export function printType({ dtype, extent }: Type): string {
  return isLevel(extent) ? `${dtype}@${extent}` : dtype + extent;
}

export function parseType(text: string): Type | undefined {
  const match = /^(f32|f64|bool)(?:@(\w+)|(\[.+\]))$/.exec(text);
  const extent = match && parseExtent(match[2] ?? match[3] ?? "");
  return match && extent ? type(match[1] as DType, extent) : undefined;
}

/** Rounds a number to what a value of this dtype can hold. Rounding is part of the types, so no pass can add or lose one. */
export function roundTo(dtype: DType, x: number): number {
  return dtype === "f32" ? Math.fround(x) : x;
}

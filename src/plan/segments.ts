/** Segments: a tensor larger than a device binds at once is cut, always between chunks, so that each chunk lies in one segment. */
import { type Dealt, piecesOf } from "./chunks.ts";

export interface Cut {
  /** In elements. */
  readonly start: number;
  readonly length: number;
}

/** Consecutive chunks of together at most `most` elements each; a chunk is never cut, however large. */
export function segmentsOf(tensor: Dealt, most: number): Cut[] {
  const { B, C, D } = tensor.dims;
  const line = tensor.view === "vector" ? 1 : B * C * D;
  const cuts: Cut[] = [];
  for (const { start, length } of piecesOf(tensor)) {
    const last = cuts.at(-1);
    if (last && last.length + length * line <= most)
      cuts[cuts.length - 1] = { start: last.start, length: last.length + length * line };
    else cuts.push({ start: start * line, length: length * line });
  }
  return cuts;
}

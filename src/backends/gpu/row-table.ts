import type { RowOf, Tables } from "../backend.ts";
import { MASK_BITS } from "./layout.ts";

/** What programs have to know, four words each: of every parameter (PARAMETER_ROW), then of every scalar row (SCALAR_ROW). */
export function rowTable({ tensors, chunks }: Tables, rows: readonly RowOf[]): Uint32Array {
  const table = new Uint32Array(4 * (tensors.length + rows.length));
  const runs = chunkRuns(chunks, tensors.length);
  tensors.forEach(({ group, classIndex }, tensor) => {
    const [first, count] = runs[tensor] as [number, number];
    table.set([first, count, group, classIndex], 4 * tensor);
  });
  rows.forEach((row, index) => {
    table.set([row.classIndex, row.tensor, row.group, masksOf(row)], 4 * (tensors.length + index));
  });
  return table;
}

function masksOf(row: RowOf): number {
  let masks = 0;
  for (const [name, bit] of Object.entries(MASK_BITS)) if (row[name as keyof typeof MASK_BITS]) masks |= bit;
  return masks;
}

/** The first chunk of each tensor, and how many it has. */
function chunkRuns(chunks: Uint32Array, tensors: number): [number, number][] {
  const runs = Array.from({ length: tensors }, (): [number, number] => [0, 0]);
  for (let at = 0; at < chunks.length; at += 4) {
    const run = runs[chunks[at] as number] as [number, number];
    if (run[1]++ === 0) run[0] = at / 4;
  }
  return runs;
}

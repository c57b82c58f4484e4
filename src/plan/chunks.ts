/** Chunks: how the elements of all parameters are dealt out. A function of sizes only, so that partial sums never depend on threads. */

/** Elements of a full chunk: small enough to balance threads, large enough to make its row free. A multiple of 256. */
export const CHUNK_ELEMENTS = 16 * 1024;

export interface ChunkTable {
  /** Four u32 a chunk: tensor, start and length in elements, partial slot. */
  readonly chunks: Uint32Array;
  /** Where each span starts, and the end of the last: consecutive chunks of together about CHUNK_ELEMENTS. */
  readonly spans: Uint32Array;
}

export function chunkTable(sizes: readonly number[]): ChunkTable {
  const count = sizes.reduce((sum, size) => sum + Math.ceil(size / CHUNK_ELEMENTS), 0);
  const chunks = new Uint32Array(4 * count);
  const spans = [0];
  let [next, inSpan] = [0, 0];
  sizes.forEach((size, tensor) => {
    for (let start = 0; start < size; start += CHUNK_ELEMENTS) {
      const length = Math.min(CHUNK_ELEMENTS, size - start);
      if (inSpan > 0 && inSpan + length > CHUNK_ELEMENTS) {
        spans.push(next);
        inSpan = 0;
      }
      chunks.set([tensor, start, length, next], 4 * next);
      inSpan += length;
      next++;
    }
  });
  if (next > 0) spans.push(next);
  return { chunks, spans: Uint32Array.from(spans) };
}

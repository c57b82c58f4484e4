/** Chunks: how the elements of all parameters are dealt out. A function of shapes only, so that partial sums never depend on threads. */
import type { Dims, Walked } from "../ir/dims.ts";

/** Elements of a full chunk: small enough to balance threads, large enough to make its row free. A multiple of 256. */
export const CHUNK_ELEMENTS = 16 * 1024;

/** A slab is cut into at most so many blocks of rows: each has column sums of its own, which the next launch adds up. */
export const MAX_BLOCKS = 32;

export interface ChunkTable {
  /** Four u32 a chunk: tensor, start and length in elements (of a vector) or lines (rows of a matrix), partial slot. */
  readonly chunks: Uint32Array;
  /** Where each span starts, and the end of the last: consecutive chunks of together about CHUNK_ELEMENTS. */
  readonly spans: Uint32Array;
}

/** What the table has to know of a tensor. */
export interface Dealt {
  readonly view: Walked;
  readonly dims: Dims;
}

/** `vectorChunk`: elements of a vector's full chunk, a multiple of 256. */
export function chunkTable(tensors: readonly Dealt[], vectorChunk = CHUNK_ELEMENTS): ChunkTable {
  const rows: number[] = [];
  const spans = [0];
  let inSpan = 0;
  tensors.forEach((dealt, tensor) => {
    for (const { start, length, elements } of piecesOf(dealt, vectorChunk)) {
      const next = rows.length / 4;
      if (inSpan > 0 && inSpan + elements > CHUNK_ELEMENTS) {
        spans.push(next);
        inSpan = 0;
      }
      rows.push(tensor, start, length, next);
      inSpan += elements;
    }
  });
  if (rows.length > 0) spans.push(rows.length / 4);
  return { chunks: Uint32Array.from(rows), spans: Uint32Array.from(spans) };
}

interface Piece {
  readonly start: number;
  readonly length: number;
  readonly elements: number;
}

/** A vector in equal runs; a matrix in blocks of rows of one slab, or in several whole slabs. */
export function* piecesOf({ view, dims }: Dealt, vectorChunk = CHUNK_ELEMENTS): Generator<Piece> {
  const { A, R } = dims;
  const line = lineOf(dims);
  if (A * R * line === 0) return;
  if (view === "vector") yield* runs(A * R * line, vectorChunk, 1, 0);
  else if (R * line <= CHUNK_ELEMENTS)
    yield* runs(A * R, R * Math.floor(CHUNK_ELEMENTS / (R * line)), line, 0);
  else for (let a = 0; a < A; a++) yield* runs(R, blocksOf(dims).rows, line, a * R);
}

function* runs(total: number, step: number, elements: number, from: number): Generator<Piece> {
  for (let start = 0; start < total; start += step) {
    const length = Math.min(step, total - start);
    yield { start: from + start, length, elements: length * elements };
  }
}

/** Elements of a line: of all that one row counter covers, which lie side by side. */
function lineOf({ B, C, D }: Dims): number {
  return B * C * D;
}

/** The blocks of rows that a slab is cut into: rows of a full one, and how many. */
export function blocksOf(dims: Dims): { rows: number; count: number } {
  const { R } = dims;
  const line = lineOf(dims);
  if (R * line <= CHUNK_ELEMENTS) return { rows: R, count: 1 };
  const rows = Math.max(Math.ceil(CHUNK_ELEMENTS / line), Math.ceil(R / MAX_BLOCKS));
  return { rows, count: Math.ceil(R / rows) };
}

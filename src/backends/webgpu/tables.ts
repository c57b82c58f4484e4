/**
 * The tables of a plan as a device has them: a row for each tensor, or for each piece of one that is cut, the chunks, and the
 * dispatches, which are runs of chunks whose tensors lie in the same buffers.
 */
import { blocksOf } from "../../plan/chunks.ts";
import { type Cut, segmentsOf } from "../../plan/segments.ts";
import type { ClassLayout, Tables } from "../backend.ts";
import { baseWord, SIZES, sizeWord, TENSOR_ROW, tensorRowWords } from "../gpu/layout.ts";
import { type Home, padded } from "./memory.ts";
import type { Segment, WebGpuStorage } from "./storage.ts";

/** Bytes of a buffer, as a binding sees them; all of it where there is no size. */
export interface Window {
  readonly home: Home;
  readonly offset: number;
  readonly bytes: number | undefined;
}

/** The tensors' bindings. */
export const TENSOR_BINDINGS = ["param", "grad", "state", "axes"] as const;
export type TensorBinding = (typeof TENSOR_BINDINGS)[number];
export type Windows = Partial<Readonly<Record<TensorBinding, Window>>>;

/** One dispatch: a run of chunks, and where their tensors are. */
export interface Dispatch {
  readonly first: number;
  readonly count: number;
  readonly windows: Windows;
}

export interface DeviceTables {
  /** Tensor rows. */
  readonly words: Uint32Array;
  /** Where the rows of each tensor begin in `words`: one, or one a piece. */
  readonly rows: readonly (readonly number[])[];
  /** Four u32 a chunk, dispatch by dispatch: tensor row, start, length, partial slot. */
  readonly chunks: Uint32Array;
  /** The same in the plan's order, in which partial sums are added. */
  readonly inOrder: Uint32Array;
  readonly dispatches: readonly Dispatch[];
}

/** Where one tensor's data is. */
export interface Bound {
  /** By role. */
  readonly storages: readonly (WebGpuStorage | undefined)[];
  /** By total over axes. */
  readonly totals: readonly Segment[];
}

/** Bytes at which a binding may begin. */
const WINDOW_ALIGNMENT = 256;

export function buildTables(tables: Tables, bound: readonly Bound[], bindingBytes: number): DeviceTables {
  const rowWords = tensorRowWords(tables.classes);
  const builder = new Builder(tables, bindingBytes);
  const pieces = tables.tensors.map((_, tensor) => builder.piecesOf(tensor, bound[tensor] as Bound));
  const count = pieces.reduce((sum, { length }) => sum + length, 0);
  const words = new Uint32Array(Math.max(4, count * rowWords));
  let next = 0;
  const rows = pieces.map((ofTensor, tensor) =>
    ofTensor.map((piece) => {
      const row = next;
      next += rowWords;
      builder.fill(words.subarray(row, next), tensor, bound[tensor] as Bound, piece);
      return row;
    }),
  );
  return { words, rows, ...dealOut(tables, pieces, rows) };
}

export function classOf({ classes, tensors }: Tables, tensor: number): ClassLayout {
  return classes[tensors[tensor]?.classIndex as number] as ClassLayout;
}

/** A part of a tensor that one dispatch works on. */
interface Piece extends Cut {
  readonly windows: Windows;
}

class Builder {
  readonly #tables: Tables;
  readonly #bindingBytes: number;

  constructor(tables: Tables, bindingBytes: number) {
    this.#tables = tables;
    this.#bindingBytes = bindingBytes;
  }

  piecesOf(tensor: number, bound: Bound): Piece[] {
    return this.#cutsOf(tensor, bound).map((cut) => ({
      ...cut,
      windows: this.#windowsOf(tensor, bound, cut),
    }));
  }

  /** As its state is cut; else by what can be bound. */
  #cutsOf(tensor: number, { storages }: Bound): readonly Cut[] {
    const { dims, elements } = this.#tables.tensors[tensor] as Tables["tensors"][number];
    const cut = storages.find((storage) => storage && storage.segments.length > 1);
    if (cut) return cut.segments;
    const most = Math.floor((this.#bindingBytes - WINDOW_ALIGNMENT) / 4);
    const large = storages.some((storage) => storage && this.#windowed(storage.segments[0] as Segment));
    return large && elements > most
      ? segmentsOf({ view: classOf(this.#tables, tensor).view, dims }, most)
      : [{ start: 0, length: elements }];
  }

  /** Whether a buffer is too large to be bound as a whole. */
  #windowed({ home }: Segment): boolean {
    return home.buffer.size > this.#bindingBytes;
  }

  #windowsOf(tensor: number, { storages, totals }: Bound, cut: Cut): Windows {
    const windows: Partial<Record<TensorBinding, Window>> = {};
    classOf(this.#tables, tensor).roles.forEach((role, index) => {
      const storage = storages[index];
      if (storage) windows[bindingOf(role, storage)] ??= this.#windowOf(segmentAt(storage, cut), cut);
    });
    if (totals[0]) windows.axes ??= { home: totals[0].home, offset: 0, bytes: undefined };
    return windows;
  }

  #windowOf(segment: Segment, cut: Cut): Window {
    const { home, offset, start } = segment;
    if (!this.#windowed(segment)) return { home, offset: 0, bytes: undefined };
    const from = offset + 4 * (cut.start - start);
    const aligned = Math.floor(from / WINDOW_ALIGNMENT) * WINDOW_ALIGNMENT;
    return { home, offset: aligned, bytes: padded(from - aligned + 4 * cut.length) };
  }

  fill(row: Uint32Array, tensor: number, { storages, totals }: Bound, piece: Piece): void {
    const { classIndex, dims } = this.#tables.tensors[tensor] as Tables["tensors"][number];
    const layout = classOf(this.#tables, tensor);
    row[TENSOR_ROW.classIndex] = classIndex;
    row[TENSOR_ROW.parameter] = tensor;
    layout.roles.forEach((role, index) => {
      const storage = storages[index];
      if (storage)
        row[baseWord(index)] = baseOf(
          segmentAt(storage, piece),
          piece.windows[bindingOf(role, storage)] as Window,
        );
    });
    totals.forEach((segment, index) => {
      row[baseWord(layout.roles.length + index)] = baseOf(segment, piece.windows.axes as Window);
    });
    if (layout.view === "vector") return;
    const { rows, count } = blocksOf(dims);
    const sizes = {
      row: dims.R,
      b: dims.B,
      col: dims.C,
      d: dims.D,
      "block.rows": rows,
      "block.count": count,
    };
    for (const name of SIZES) row[sizeWord(layout, name)] = sizes[name];
  }
}

/** The gradient is read through the parameter's binding where both lie in one buffer, which cannot be bound twice. */
export function isBeside({ param, grad }: Windows): boolean {
  return param !== undefined && grad !== undefined && param.home.buffer === grad.home.buffer;
}

export function bindingOf(role: string, { kind }: WebGpuStorage): TensorBinding {
  if (role === "param" || role === "grad") return role;
  return kind === "axes" ? "axes" : "state";
}

/** The segment that a cut lies in; state over fewer axes is never cut. */
function segmentAt({ segments }: WebGpuStorage, { start }: Cut): Segment {
  const at = segments.length > 1 ? segments.find((segment) => segment.start === start) : segments[0];
  return at as Segment;
}

/** Where element 0 would be in the binding, modulo 2^32; of vectors a multiple of 4, as chunks are cut. */
export function baseOf({ offset, start }: Segment, window: Window): number {
  return ((offset - window.offset) / 4 - start) >>> 0;
}

/** A dispatch in the making. */
interface Group {
  windows: Windows;
  readonly chunks: number[];
}

/** Chunks, sorted by the buffers that they need. */
function dealOut(
  tables: Tables,
  pieces: readonly (readonly Piece[])[],
  rows: readonly (readonly number[])[],
): Pick<DeviceTables, "chunks" | "inOrder" | "dispatches"> {
  const { chunks, tensors } = tables;
  const groups: Group[] = [];
  const groupOf = pieces.map((ofTensor) => ofTensor.map(({ windows }) => joinGroup(groups, windows)));
  const inOrder = new Uint32Array(Math.max(4, chunks.length));
  for (let at = 0; at < chunks.length; at += 4) {
    const tensor = chunks[at] as number;
    const { dims } = tensors[tensor] as Tables["tensors"][number];
    const line = classOf(tables, tensor).view === "vector" ? 1 : dims.B * dims.C * dims.D;
    const element = (chunks[at + 1] as number) * line;
    const piece = (pieces[tensor] as readonly Piece[]).findLastIndex(({ start }) => start <= element);
    inOrder.set([rows[tensor]?.[piece] as number, ...chunks.subarray(at + 1, at + 4)], at);
    groupOf[tensor]?.[piece]?.chunks.push(at);
  }
  const sorted = new Uint32Array(inOrder.length);
  let first = 0;
  const dispatches = groups.map(({ windows, chunks: members }): Dispatch => {
    members.forEach((at, i) => {
      sorted.set(inOrder.subarray(at, at + 4), 4 * (first + i));
    });
    const dispatch = { first, count: members.length, windows };
    first += members.length;
    return dispatch;
  });
  return { chunks: sorted, inOrder, dispatches };
}

/** What a tensor has no place in (a gradient that was never given) may be bound to anything. */
function joinGroup(groups: Group[], windows: Windows): Group {
  const fits = (group: Group) =>
    TENSOR_BINDINGS.every((name) => {
      const [a, b] = [group.windows[name], windows[name]];
      return !a || !b || (a.home === b.home && a.offset === b.offset && a.bytes === b.bytes);
    });
  const group = groups.find(fits);
  if (!group) {
    const made = { windows, chunks: [] };
    groups.push(made);
    return made;
  }
  group.windows = { ...windows, ...group.windows };
  return group;
}

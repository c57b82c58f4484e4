/**
 * The walk of one space: loops over the counters that stand still, each run inside. Of a vector there is one run, the chunk.
 *
 *     (loop $lines                          a and row from the line's number
 *       (loop $each.b (loop $each.col       only of what is interleaved
 *         …                                 where the run starts in every tensor; what stands still along it
 *         (loop $pairs …) (loop $odd …)     run.ts
 *         …)))                              reductions that end here
 */
import { type Counter, countersOf } from "../../ir/dims.ts";
import type { Extent } from "../../ir/extent.ts";
import { ELEMENT_BYTES } from "../../ir/type.ts";
import type { AxisTotal } from "../backend.ts";
import { indent } from "../common/text.ts";
import { clearTotal, takeTotal } from "./axis-totals.ts";
import { SIZES, sizeOffset } from "./layout.ts";
import { BLOCK, counterLocal, countText, indexText, SIZED, sizeLocal, standing } from "./nest.ts";
import { finishReduction, startReduction } from "./reductions.ts";
import { accumulationOf, printEnds, printFixed, printRun, RUN_LOCALS } from "./run.ts";
import type { Place, Scope, Target } from "./scope.ts";
import { get } from "./text.ts";

const LINE = { at: "$line", end: "$line.end" } as const;
const SLAB_END = "$slab.end";

/** `before`: what is known once a chunk; `runs`: all else. */
export function printWalk(scope: Scope): { before: string[]; runs: string[] } {
  if (scope.layout.view === "vector") return { before: printChunkPointers(scope), runs: printRun(scope) };
  const { outer } = scope.nest;
  const around = { line: aroundLines, slab: aroundSlabs, chunk: aroundAllSlabs }[outer];
  return { before: printSizes(scope), runs: ["", ...around(scope)] };
}

export function walkLocals(scope: Scope): string[] {
  if (scope.layout.view === "vector") return [...RUN_LOCALS];
  const { nest } = scope;
  const counters = [...new Set([...standing(nest), "a" as const])].map(counterLocal);
  return [
    ...RUN_LOCALS,
    ...SIZED.map(sizeLocal),
    ...Object.values(BLOCK),
    ...(nest.outer === "line" ? Object.values(LINE) : [SLAB_END]),
    ...counters,
    ...[...indexLocals(scope).values()].map(({ local }) => local),
    ...[...scope.places.values()].map(baseOf),
  ];
}

/** The local of a tensor's address. */
function baseOf({ pointer }: Place): string {
  return pointer.replace(/\.at$/, ".base");
}

function printChunkPointers(scope: Scope): string[] {
  const shift = Math.log2(ELEMENT_BYTES[scope.layout.dtype]);
  return [
    "",
    ";; Where the chunk's elements are, and where they end.",
    `(local.set $chunk.start (i32.shl (local.get $chunk.start) (i32.const ${shift})))`,
    ...[...scope.places.values()].map(
      (place) => `(local.set ${place.pointer} (i32.add ${addressOf(place)} (local.get $chunk.start)))`,
    ),
    ...printEnds(scope, "(local.get $chunk.length)"),
  ];
}

function addressOf({ base }: Place): string {
  return `(i32.load offset=${base} (local.get $tensor.row))`;
}

function printSizes({ layout, places }: Scope): string[] {
  return [
    "",
    ";; The tensor's sizes, and where everything is.",
    ...SIZES.map((name) => {
      const local = name.startsWith("block.") ? `$${name}` : sizeLocal(name as Counter);
      return `(local.set ${local} (i32.load offset=${sizeOffset(layout, name)} (local.get $tensor.row)))`;
    }),
    ...[...places.values()].map((place) => `(local.set ${baseOf(place)} ${addressOf(place)})`),
  ];
}

/** Each line of the chunk. */
function aroundLines(scope: Scope): string[] {
  const [a, row] = [counterLocal("a"), counterLocal("row")];
  return [
    `(local.set ${LINE.at} (local.get $chunk.start))`,
    `(local.set ${LINE.end} (i32.add (local.get $chunk.start) (local.get $chunk.length)))`,
    "(loop $lines",
    ...indent([
      `(local.set ${a} (i32.div_u ${get(LINE.at)} ${get(sizeLocal("row"))}))`,
      `(local.set ${row} (i32.rem_u ${get(LINE.at)} ${get(sizeLocal("row"))}))`,
      `(local.set ${BLOCK.index} (i32.div_u ${get(row)} ${get(BLOCK.rows)}))`,
      ...printClears(scope, ["a", "row"]),
      ...printLoops(scope, scope.nest.loops),
      `(local.set ${LINE.at} (i32.add ${get(LINE.at)} (i32.const 1)))`,
      `(br_if $lines (i32.ne ${get(LINE.at)} ${get(LINE.end)})))`,
    ]),
  ];
}

/** The slabs that begin in the chunk: from here to there. */
function printSlabRange(): string[] {
  const rows = get(sizeLocal("row"));
  const roundUp = (line: string) => `(i32.div_u (i32.sub (i32.add ${line} ${rows}) (i32.const 1)) ${rows})`;
  return [
    `(local.set ${counterLocal("a")} ${roundUp("(local.get $chunk.start)")})`,
    `(local.set ${SLAB_END} ${roundUp("(i32.add (local.get $chunk.start) (local.get $chunk.length))")})`,
  ];
}

/** Each slab that begins in the chunk: whole slabs, whoever else works on their elements. */
function aroundSlabs(scope: Scope): string[] {
  const a = counterLocal("a");
  return [
    ...printSlabRange(),
    `(if (i32.ne ${get(a)} ${get(SLAB_END)}) (then`,
    "  (loop $slabs",
    ...indent(
      indent([
        ...printClears(scope, ["a"]),
        ...printLoops(scope, scope.nest.loops),
        `(local.set ${a} (i32.add ${get(a)} (i32.const 1)))`,
        `(br_if $slabs (i32.ne ${get(a)} ${get(SLAB_END)})))))`,
      ]),
    ),
  ];
}

/** All slabs that begin in the chunk, as one run. */
function aroundAllSlabs(scope: Scope): string[] {
  return [...printSlabRange(), ...printAt(scope, `(i32.sub ${get(SLAB_END)} ${get(counterLocal("a"))})`)];
}

function printLoops(scope: Scope, [counter, ...inner]: readonly Counter[]): string[] {
  if (!counter) return printAt(scope, get(sizeLocal(scope.nest.run)));
  const local = counterLocal(counter);
  return [
    `(local.set ${local} (i32.const 0))`,
    `(loop $each.${counter}`,
    ...indent([
      ...printLoops(scope, inner),
      `(local.set ${local} (i32.add ${get(local)} (i32.const 1)))`,
      `(br_if $each.${counter} (i32.ne ${get(local)} ${get(sizeLocal(counter))})))`,
    ]),
  ];
}

/** One run of this length. */
function printAt(scope: Scope, count: string): string[] {
  const { layout, nest } = scope;
  const known: readonly Counter[] = ["a", ...standing(nest)];
  const indices = indexLocals(scope);
  const standstill = scope.targets.filter(({ place }) => place && !place.moves);
  return [
    ...[...indices.values()].map(
      ({ local, extent, block }) => `(local.set ${local} ${indexText(layout.view, extent, known, block)})`,
    ),
    ...[...scope.places.values()].map((place) => {
      const index = indices.get(indexKey(scope, place))?.local;
      const bytes = `(i32.shl ${get(index)} (i32.const ${Math.log2(place.bytes)}))`;
      return `(local.set ${place.pointer} (i32.add ${get(baseOf(place))} ${bytes}))`;
    }),
    ...printEnds(scope, count),
    ...printFixed(scope),
    ...standstill.flatMap(({ id }) => startReduction(accumulationOf(scope, id))),
    ...printRun(scope),
    ...standstill.map((target) => printTake(scope, target)),
  ];
}

interface Index {
  readonly local: string;
  readonly extent: Extent;
  readonly block: "own" | "first" | undefined;
}

/** Where a run starts in arrays over each extent; tensors of one extent have it in common. */
function indexLocals(scope: Scope): Map<string, Index> {
  const indices = new Map<string, Index>();
  for (const place of scope.places.values()) {
    const key = indexKey(scope, place);
    if (!indices.has(key))
      indices.set(key, {
        local: `$start.${key.replace(/[[\]]/g, "").replace(/[, ]/g, ".")}`,
        extent: place.extent,
        block: blockOf(scope, place),
      });
  }
  return indices;
}

function indexKey(scope: Scope, place: Place): string {
  const block = blockOf(scope, place);
  return block ? `${place.extent} ${block}` : place.extent;
}

/** Who adds to a blocked total works on its own block, who reads it starts at the first. */
function blockOf({ targets }: Scope, place: Place): Index["block"] {
  if (!place.total?.blocked) return undefined;
  return targets.some((target) => target.place === place) ? "own" : "first";
}

/** A reduction that ends with the run goes into its number; nothing else comes to it where all standing counters are its own. */
function printTake(scope: Scope, { id, place }: Target): string {
  const { total, pointer, extent } = place as Place & { total: AxisTotal };
  const number = finishReduction(accumulationOf(scope, id));
  return takeTotal(total.op, get(pointer), number, isWhole(scope, extent));
}

function isWhole({ nest }: Scope, extent: Place["extent"]): boolean {
  return standing(nest).every((counter) => countersOf(extent).includes(counter));
}

/**
 * Totals that several runs add to start from nothing: those of the line or slab here, those of a block at its first row.
 */
function printClears(scope: Scope, fixed: readonly Counter[]): string[] {
  const { layout } = scope;
  return scope.targets.flatMap(({ place }) => {
    if (!place?.total || (!place.moves && isWhole(scope, place.extent))) return [];
    const { blocked, op } = place.total;
    const index = indexText(layout.view, place.extent, fixed, blocked ? "own" : undefined);
    const at = `(i32.add ${get(baseOf(place))} (i32.shl ${index} (i32.const 3)))`;
    const clear = clearTotal(op, at, countText(layout.view, place.extent, fixed));
    const first = `(i32.eqz (i32.rem_u ${get(counterLocal("row"))} ${get(BLOCK.rows)}))`;
    return blocked ? [`(if ${first} (then ${clear}))`] : [clear];
  });
}

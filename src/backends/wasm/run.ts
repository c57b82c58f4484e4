/**
 * A run: adjacent numbers, walked vector by vector, then the odd ones at its end one by one.
 *
 *     f32[lead,row,col] %3 = mul %1 %2      ->      (local.set $v3 (f32x4.mul (local.get $grad) (local.get $v2)))
 */
import { tensorName, type Value, type ValueId } from "../../ir/module.ts";
import { ELEMENT_BYTES, type FloatType } from "../../ir/type.ts";
import type { AxisTotal } from "../backend.ts";
import { indent } from "../common/text.ts";
import { readOne, readVector, type TotalPlace, takeVector } from "./axis-totals.ts";
import { spellBound } from "./bounds.ts";
import type { Home } from "./branches.ts";
import { BLOCK, countText } from "./nest.ts";
import { type Accumulation, splitInHalves, takesHalves, updateReduction } from "./reductions.ts";
import { definitionOf, idsOf, type Part, type Place, type Scope } from "./scope.ts";
import { LANES, spell } from "./spelling.ts";
import { get, note, withoutNote } from "./text.ts";

/** What one turn of a loop works on. */
interface Turn {
  readonly loop: string;
  /** The local that says where the loop stops: an address of the first moving tensor. */
  readonly end: string;
  /** Vectors a turn; 0 for one element, in a vector's first lane. */
  readonly vectors: number;
}

/**
 * Two vectors a turn, since a loop costs a check and a few additions each time: on a busy machine that took 17 % off (four vectors
 * 19 %, and twice the text), on a quiet one nothing. Ends are compared by equality, since one may lie at 4 GiB.
 */
const PAIRS: Turn = { loop: "$pairs", end: "$pairs.end", vectors: 2 };
const ODD: Turn = { loop: "$odd", end: "$odd.end", vectors: 0 };

export const RUN_LOCALS = [PAIRS.end, ODD.end];

function elementsOf({ vectors }: Turn, dtype: FloatType): number {
  return vectors === 0 ? 1 : vectors * LANES[dtype].count;
}

function moving({ places }: Scope): Place[] {
  return [...places.values()].filter((place) => place.moves);
}

/** Where the run ends, in terms of its first tensor; `count` is its length. */
export function printEnds(scope: Scope, count: string): string[] {
  const { dtype } = scope.layout;
  const [first] = moving(scope) as [Place];
  const endOf = (elements: string) =>
    `(i32.add ${get(first.pointer)} (i32.shl ${elements} (i32.const ${Math.log2(first.bytes)})))`;
  return [
    `(local.set ${PAIRS.end} ${endOf(`(i32.and ${count} (i32.const ${-elementsOf(PAIRS, dtype)}))`)})`,
    `(local.set ${ODD.end} ${endOf(count)})`,
  ];
}

export function printRun(scope: Scope): string[] {
  return [...printLoop(scope, PAIRS), ...printLoop(scope, ODD)];
}

function printLoop(scope: Scope, turn: Turn): string[] {
  const [first] = moving(scope) as [Place];
  const elements = elementsOf(turn, scope.layout.dtype);
  const more = `(i32.ne ${get(first.pointer)} ${get(turn.end)})`;
  return [
    "",
    `(if ${more} (then`,
    `  (loop ${turn.loop}`,
    ...indent(
      indent([
        ...printBody(scope, turn, 0),
        ...Array.from({ length: Math.max(0, turn.vectors - 1) }, (_, i) => [
          ";; The same for the next vector.",
          ...printBody(scope, turn, i + 1).map(withoutNote),
        ]).flat(),
        ...moving(scope).map(
          ({ pointer, bytes }) =>
            `(local.set ${pointer} (i32.add ${get(pointer)} (i32.const ${elements * bytes})))`,
        ),
        `(br_if ${turn.loop} ${more}))))`,
      ]),
    ),
  ];
}

/** Loads, maths, stores: of one vector of a turn, or of one element. */
function printBody(scope: Scope, { vectors }: Turn, vector: number): string[] {
  const { layout, names, numbers, stores, places } = scope;
  const at = vectors > 0 ? vector : undefined;
  const store =
    at === undefined ? `${LANES[layout.dtype].storeOne} 0` : `v128.store ${placeOf(layout.dtype, at)}`;
  return [
    ...printValues(scope, "body", ["load", "map", "reduction"], at),
    ...stores.map(({ role, value }) =>
      note(
        `(${store} ${get(places.get(role)?.pointer)} ${get(names[value])})`,
        `${role}' = %${numbers[value]}`,
      ),
    ),
  ];
}

/** Where a vector is from a pointer. Tensors are aligned to their elements, not to vectors. */
function placeOf(dtype: FloatType, vector: number): string {
  const align = `align=${ELEMENT_BYTES[dtype]}`;
  return vector === 0 ? align : `offset=${16 * vector} ${align}`;
}

/** What stands still along the run. */
export function printFixed(scope: Scope): string[] {
  return printValues(scope, "body", ["fixed"], undefined);
}

/** The values of one home that have one of these jobs, in order; `vector` says which of a turn, undefined for one element. */
function printValues(scope: Scope, home: Home, jobs: Part[], vector: number | undefined): string[] {
  const { kernel, names, branches, parts } = scope;
  const mine = idsOf(scope, ...jobs).filter((id) => branches.homes[id] === home);
  return mine.flatMap((id) => {
    const value = kernel.values[id] as Value;
    if (parts[id] === "reduction") return printReduction(scope, id, vector);
    if (branches.selects.has(id)) return printBranch(scope, id, vector);
    const isTensor = value.args.length === 0;
    const text = isTensor ? printLoad(scope, value, vector) : printMap(scope, id);
    return [note(`(local.set ${names[id]} ${text})`, definitionOf(scope, id))];
  });
}

/** What moves is loaded vector by vector, what stands still into all lanes. */
function printLoad({ layout, places }: Scope, value: Value, vector: number | undefined): string {
  const place = places.get(tensorName(value)) as Place;
  const { loadOne, loadSplat } = LANES[layout.dtype];
  const at = get(place.pointer);
  if (place.total) {
    const { op, blocked } = place.total;
    const count = countText(layout.view, place.extent, ["a"]);
    const where: TotalPlace = blocked
      ? { at, stride: `(i32.shl ${count} (i32.const 3))`, blocks: get(BLOCK.count) }
      : { at, stride: "(i32.const 0)", blocks: "(i32.const 1)" };
    return vector === undefined || !place.moves
      ? readOne(op, layout.dtype, where)
      : readVector(op, where, vector * LANES[layout.dtype].count * 8);
  }
  if (!place.moves) return `(${loadSplat} ${at})`;
  return `(${vector === undefined ? loadOne : `v128.load ${placeOf(layout.dtype, vector)}`} ${at})`;
}

/** Into registers, or, where each place of the run has a number of its own, into memory. */
function printReduction(scope: Scope, id: ValueId, vector: number | undefined): string[] {
  const { kernel, names, targets, layout } = scope;
  const value = kernel.values[id] as Value;
  const operand = names[value.args[0] as ValueId] as string;
  const place = targets.find((target) => target.id === id)?.place;
  const halves = splitBy(scope).get(operand) === id ? splitInHalves(operand, vector !== undefined) : [];
  const offset = vector === undefined ? undefined : vector * LANES[layout.dtype].count * 8;
  const lines = place?.moves
    ? takeVector(value.op as AxisTotal["op"], layout.dtype, get(place.pointer), operand, offset)
    : updateReduction(accumulationOf(scope, id), operand, vector !== undefined);
  return [...halves, ...lines].map((line, i) => (i === 0 ? note(line, definitionOf(scope, id)) : line));
}

/** Operands that are split in halves, and the first reduction of each, which does it. */
export function splitBy({ targets, kernel, names, layout }: Scope): Map<string, ValueId> {
  const split = targets.filter(({ id, place }) =>
    takesHalves({ op: (kernel.values[id] as Value).op, dtype: layout.dtype }, place?.moves ?? false),
  );
  const operandOf = (id: ValueId) => names[(kernel.values[id] as Value).args[0] as ValueId] as string;
  return new Map(
    split.sort((a, b) => b.id - a.id).map(({ id }) => [operandOf(id), id]), // the last to be set is the first to be printed
  );
}

/** The accumulators of a reduction; `name` is the stem of their locals. */
export function accumulationOf({ kernel, layout, names }: Scope, id: ValueId): Accumulation {
  return { op: (kernel.values[id] as Value).op, dtype: layout.dtype, name: names[id] as string };
}

/** A select by a uniform mask, each side with what only it needs. */
function printBranch(scope: Scope, id: ValueId, vector: number | undefined): string[] {
  const { kernel, names } = scope;
  const value = kernel.values[id] as Value;
  const [flag, yes, no] = value.args.map((arg) => get(names[arg])) as [string, string, string];
  const side = (word: "then" | "else", result: string, close: string) => {
    const lines = printValues(scope, `${id} ${word}`, ["map"], vector);
    return lines.length === 0
      ? [`  (${word} ${result})${close}`]
      : [`  (${word}`, ...indent(indent(lines)), `    ${result})${close}`];
  };
  return [
    note(`(local.set ${names[id]} (if (result v128) ${flag}`, definitionOf(scope, id)),
    ...side("then", yes, ""),
    ...side("else", no, "))"),
  ];
}

function printMap({ kernel, layout, names, multiplyAdds, bounds }: Scope, id: ValueId): string | undefined {
  const { op, args } = kernel.values[id] as Value;
  const bounded = bounds.get(id);
  if (bounded)
    return spellBound(op, layout.dtype, names[bounded.element] as string, names[bounded.bound] as string);
  const fused = multiplyAdds.get(id);
  const operands = (fused?.operands ?? args).map((arg) => get(names[arg]));
  if (!fused) return spell(op, layout.dtype, operands);
  return `(${LANES[layout.dtype].vector}.${fused.negated ? "relaxed_nmadd" : "relaxed_madd"} ${operands.join(" ")})`;
}

/**
 * Prints one kernel as a WebAssembly module with one function, `run(tensor row, start, length, partial)`, which works on one
 * chunk: what all elements share is splatted first; then a loop over vectors; then a loop over the odd elements.
 *
 *     f32[lead,row,col] %3 = mul %1 %2      ->      (local.set $v3 (f32x4.mul (local.get $grad) (local.get $v2)))
 */
import { type Func, tensorName, type Value, type ValueId } from "../../ir/module.ts";
import { printOperation } from "../../ir/print.ts";
import { type FloatType, roundTo } from "../../ir/type.ts";
import type { ClassLayout, Numerics } from "../backend.ts";
import type { Home } from "./branches.ts";
import { ELEMENT_BYTES, TENSOR_ROW } from "./layout.ts";
import {
  type Accumulation,
  accumulatorLocals,
  finishReduction,
  splatConstant,
  startReduction,
  updateReduction,
} from "./reductions.ts";
import { idsOf, makeScope, pointerOf, type Scope } from "./scope.ts";
import { LANES, MATH_CALLS, mathHelper, mathImport, spell } from "./spelling.ts";

/** What a kernel's text depends on besides kernel, layout and numerics. */
export interface Target {
  /** Whether the memory is shared: its import has to say so. */
  readonly shared: boolean;
  /** Whether the engine has relaxed SIMD. */
  readonly relaxed: boolean;
}

export function emitKernel(kernel: Func, layout: ClassLayout, numerics: Numerics, target: Target): string {
  const scope = makeScope(kernel, layout, numerics === "fast" && target.relaxed);
  const helpers = [...new Set(kernel.values.map(({ op }) => op))].filter((op) => op in MATH_CALLS);
  return [
    `;; ${layout.name}: kernel "${kernel.name}"${kernel.phase === undefined ? "" : `, phase ${kernel.phase}`}`,
    "(module",
    ...indent([
      `(import "env" "memory" (memory 0${target.shared ? " 65536 shared" : ""}))`,
      ...helpers.map(mathImport),
      ...helpers.flatMap((op) => mathHelper(op, layout.dtype)),
      '(func (export "run")',
      "  (param $tensor.row i32) (param $chunk.start i32) (param $chunk.length i32) (param $chunk.partial i32)",
      ...indent([
        ...declareLocals(scope),
        ...printPointers(scope),
        ...printUniforms(scope),
        ...printLoop(scope, PAIRS),
        ...printLoop(scope, ODD),
        ...printTotals(scope),
      ]),
      ")",
    ]),
    ")",
    "",
  ].join("\n");
}

function accumulationOf(scope: Scope, id: ValueId): Accumulation {
  const { kernel, layout, names } = scope;
  const { op } = kernel.values[id] as Value;
  return { op, dtype: layout.dtype, name: names[id] as string };
}

function declareLocals(scope: Scope): string[] {
  const { flags } = scope.branches;
  const nameOf = (id: ValueId) => scope.names[id] as string;
  const vectors = idsOf(scope, "uniform", "load", "map")
    .filter((id) => !flags.has(id))
    .map(nameOf);
  const sums = idsOf(scope, "reduction").flatMap((id) => accumulatorLocals(accumulationOf(scope, id)));
  return [
    ...declare(["$scalar.row", ...scope.roles.map(pointerOf), PAIRS.end, ODD.end], "i32"),
    ...declare([...flags].map(nameOf), "i32"),
    ...declare([...vectors, ...sums], "v128"),
  ];
}

/** A few to a line. */
function declare(names: readonly string[], type: string): string[] {
  const lines: string[] = [];
  for (let i = 0; i < names.length; i += 6) {
    const few = names.slice(i, i + 6);
    lines.push(few.map((name) => `(local ${name} ${type})`).join(" "));
  }
  return lines;
}

function printPointers({ layout, roles }: Scope): string[] {
  const { shift } = LANES[layout.dtype];
  const [first] = roles as [string];
  const endOf = (elements: string) =>
    `(i32.add ${get(pointerOf(first))} (i32.shl ${elements} (i32.const ${shift})))`;
  return [
    "",
    ";; Where the chunk's elements are, and where they end.",
    `(local.set $chunk.start (i32.shl (local.get $chunk.start) (i32.const ${shift})))`,
    ...roles.map((role) => {
      const base = `(i32.load offset=${TENSOR_ROW.bases + 4 * layout.roles.indexOf(role)} (local.get $tensor.row))`;
      return `(local.set ${pointerOf(role)} (i32.add ${base} (local.get $chunk.start)))`;
    }),
    `(local.set ${PAIRS.end} ${endOf(`(i32.and (local.get $chunk.length) (i32.const ${-elementsOf(PAIRS, layout.dtype)}))`)})`,
    `(local.set ${ODD.end} ${endOf("(local.get $chunk.length)")})`,
  ];
}

function printUniforms(scope: Scope): string[] {
  const { kernel, layout, names } = scope;
  const lines = idsOf(scope, "uniform").map((id) => {
    const value = kernel.values[id] as Value;
    const from = kernel.values[value.args[0] as ValueId] as Value;
    const print = scope.branches.flags.has(id) ? printFlag : printUniform;
    const line = `(local.set ${names[id]} ${print(value, from, layout.dtype)})`;
    return note(line, `%${id} = broadcast ${printOperation(from)}`);
  });
  const starts = idsOf(scope, "reduction").flatMap((id) => startReduction(accumulationOf(scope, id)));
  return [
    "",
    ";; What all elements share.",
    `(local.set $scalar.row (i32.load offset=${TENSOR_ROW.scalars} (local.get $tensor.row)))`,
    ...lines,
    ...starts,
  ];
}

/** A constant or a scalar slot in all lanes; a mask's slot holds 0 or 1. */
function printUniform(value: Value, from: Value, dtype: FloatType): string {
  const { vector, loadSplat } = LANES[dtype];
  const number = from.attribute as number;
  if (from.op === "const") return splatConstant(dtype, printNumber(roundTo(dtype, number)));
  const slot = `(${loadSplat} offset=${ELEMENT_BYTES[dtype] * number} (local.get $scalar.row))`;
  return value.type.dtype === "bool" ? `(${vector}.ne ${slot} ${splatConstant(dtype, "0")})` : slot;
}

/** A mask that only branches read, as an i32. */
function printFlag(_value: Value, from: Value, dtype: FloatType): string {
  const { scalar } = LANES[dtype];
  const at = ELEMENT_BYTES[dtype] * (from.attribute as number);
  return `(${scalar}.ne (${scalar}.load offset=${at} (local.get $scalar.row)) (${scalar}.const 0))`;
}

function printNumber(x: number): string {
  if (Object.is(x, -0)) return "-0";
  return String(x).replace("NaN", "nan").replace("Infinity", "inf");
}

/** What one turn of a loop works on. */
interface Turn {
  readonly loop: string;
  /** The local that says where the loop stops: an address of the first role's tensor. */
  readonly end: string;
  /** Vectors a turn; 0 for one element, in a vector's first lane. */
  readonly vectors: number;
}

/**
 * Two vectors a turn, since a loop costs a check and a few additions each time: on a busy machine that took 17 % off (four vectors
 * 19 %, and twice the text), on a quiet one nothing. Ends are compared by equality, since one may lie at 4 GiB.
 */
const PAIRS: Turn = { loop: "$pairs", end: "$pairs.end", vectors: 2 };
const ODD: Turn = { loop: "$odd", end: "$end", vectors: 0 };

function elementsOf({ vectors }: Turn, dtype: FloatType): number {
  return vectors === 0 ? 1 : vectors * LANES[dtype].count;
}

function printLoop(scope: Scope, turn: Turn): string[] {
  const { layout, roles } = scope;
  const [first] = roles as [string];
  const more = `(i32.ne ${get(pointerOf(first))} ${get(turn.end)})`;
  const bytes = elementsOf(turn, layout.dtype) * ELEMENT_BYTES[layout.dtype];
  const advance = (local: string) => `(local.set ${local} (i32.add ${get(local)} (i32.const ${bytes})))`;
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
        ...roles.map((role) => advance(pointerOf(role))),
        `(br_if ${turn.loop} ${more}))))`,
      ]),
    ),
  ];
}

/** Loads, maths, stores: of one vector of a turn, or of one element. */
function printBody(scope: Scope, { vectors }: Turn, vector: number): string[] {
  const { layout, names, stores } = scope;
  const { storeOne } = LANES[layout.dtype];
  const place = placeOf(layout.dtype, vector);
  const store = vectors > 0 ? `v128.store ${place}` : `${storeOne} 0`;
  return [
    ...printValues(scope, "body", vectors > 0 ? `v128.load ${place}` : undefined),
    ...stores.map(({ role, value }) =>
      note(`(${store} ${get(pointerOf(role))} ${get(names[value])})`, `${role}' = %${value}`),
    ),
  ];
}

/** Where a vector is from a pointer. Tensors are aligned to their elements, not to vectors. */
function placeOf(dtype: FloatType, vector: number): string {
  const align = `align=${ELEMENT_BYTES[dtype]}`;
  return vector === 0 ? align : `offset=${16 * vector} ${align}`;
}

/** The values of one home, in order; `load` is how whole vectors are loaded, undefined for one element. */
function printValues(scope: Scope, home: Home, load: string | undefined): string[] {
  const { kernel, layout, names, parts, branches } = scope;
  const mine = idsOf(scope, "load", "map", "reduction").filter((id) => branches.homes[id] === home);
  return mine.flatMap((id) => {
    const value = kernel.values[id] as Value;
    if (parts[id] === "reduction")
      return updateReduction(
        accumulationOf(scope, id),
        get(names[value.args[0] as ValueId]),
        load !== undefined,
      );
    if (branches.selects.has(id)) return printBranch(scope, id, load);
    const text =
      parts[id] === "load"
        ? `(${load ?? LANES[layout.dtype].loadOne} ${get(pointerOf(tensorName(value)))})`
        : printMap(scope, id);
    return [note(`(local.set ${names[id]} ${text})`, `%${id} = ${printOperation(value)}`)];
  });
}

/** A select by a uniform mask, each side with what only it needs. */
function printBranch(scope: Scope, id: ValueId, load: string | undefined): string[] {
  const { kernel, names } = scope;
  const value = kernel.values[id] as Value;
  const [flag, yes, no] = value.args.map((arg) => get(names[arg])) as [string, string, string];
  const side = (word: "then" | "else", result: string, close: string) => {
    const lines = printValues(scope, `${id} ${word}`, load);
    return lines.length === 0
      ? [`  (${word} ${result})${close}`]
      : [`  (${word}`, ...indent(indent(lines)), `    ${result})${close}`];
  };
  return [
    note(`(local.set ${names[id]} (if (result v128) ${flag}`, `%${id} = ${printOperation(value)}`),
    ...side("then", yes, ""),
    ...side("else", no, "))"),
  ];
}

function printMap({ kernel, layout, names, multiplyAdds }: Scope, id: ValueId): string | undefined {
  const { op, args } = kernel.values[id] as Value;
  const fused = multiplyAdds.get(id);
  const operands = (fused?.operands ?? args).map((arg) => get(names[arg]));
  if (!fused) return spell(op, layout.dtype, operands);
  return `(${LANES[layout.dtype].vector}.${fused.instruction} ${operands.join(" ")})`;
}

function printTotals(scope: Scope): string[] {
  const stores = scope.totals.map(
    (id, j) =>
      `(f64.store offset=${8 * j} (local.get $chunk.partial) ${finishReduction(accumulationOf(scope, id))})`,
  );
  return stores.length > 0 ? ["", ";; This chunk's share of each total.", ...stores] : [];
}

function get(local: string | undefined): string {
  return `(local.get ${local})`;
}

function indent(lines: readonly string[]): string[] {
  return lines.map((line) => (line ? `  ${line}` : line));
}

function withoutNote(line: string): string {
  return line.replace(/ +;; .*$/, "");
}

/** A line with its IR beside it. */
function note(line: string, ir: string): string {
  return `${line.padEnd(76)} ;; ${ir}`;
}

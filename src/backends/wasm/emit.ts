/**
 * Prints one kernel as a WebAssembly module with one function, `run(tensor row, start, length, partial)`, which works on one
 * chunk: what all elements share is splatted first; then a loop over vectors; then a loop over the odd elements.
 *
 *     f32[lead,row,col] %3 = mul %1 %2      ->      (local.set $v3 (f32x4.mul (local.get $grad) (local.get $v2)))
 */
import type { Func, Value, ValueId } from "../../ir/module.ts";
import { printOperation } from "../../ir/print.ts";
import { type FloatType, roundTo } from "../../ir/type.ts";
import type { ClassLayout, Numerics } from "../backend.ts";
import { ELEMENT_BYTES, TENSOR_ROW } from "./layout.ts";
import {
  type Accumulation,
  accumulatorLocals,
  finishReduction,
  splatConstant,
  startReduction,
  updateReduction,
} from "./reductions.ts";
import { idsOf, makeScope, pointerOf, roleOf, type Scope } from "./scope.ts";
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
        ...printLoop(scope, "vectors"),
        ...printLoop(scope, "rest"),
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
  const vectors = idsOf(scope, "uniform", "load", "map").map((id) => scope.names[id] as string);
  const sums = idsOf(scope, "reduction").flatMap((id) => accumulatorLocals(accumulationOf(scope, id)));
  return [
    ...declare(["$scalar.row", ...scope.roles.map(pointerOf)], "i32"),
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
  return [
    "",
    ";; Where the chunk's elements are.",
    `(local.set $chunk.start (i32.shl (local.get $chunk.start) (i32.const ${LANES[layout.dtype].shift})))`,
    ...roles.map((role) => {
      const base = `(i32.load offset=${TENSOR_ROW.bases + 4 * layout.roles.indexOf(role)} (local.get $tensor.row))`;
      return `(local.set ${pointerOf(role)} (i32.add ${base} (local.get $chunk.start)))`;
    }),
  ];
}

function printUniforms(scope: Scope): string[] {
  const { kernel, layout, names } = scope;
  const lines = idsOf(scope, "uniform").map((id) => {
    const value = kernel.values[id] as Value;
    const from = kernel.values[value.args[0] as ValueId] as Value;
    const line = `(local.set ${names[id]} ${printUniform(value, from, layout.dtype)})`;
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

function printNumber(x: number): string {
  if (Object.is(x, -0)) return "-0";
  return String(x).replace("NaN", "nan").replace("Infinity", "inf");
}

/**
 * One vector a turn, or one odd element in a vector's first lane. Unrolling, indices in place of pointers and earlier stores
 * were measured and are within the noise: the processor overlaps turns by itself.
 */
function printLoop(scope: Scope, name: "vectors" | "rest"): string[] {
  const { dtype } = scope.layout;
  const count = name === "vectors" ? LANES[dtype].count : 1;
  const enough = `(i32.ge_u (local.get $chunk.length) (i32.const ${count}))`;
  const advance = (local: string) =>
    `(local.set ${local} (i32.add ${get(local)} (i32.const ${count * ELEMENT_BYTES[dtype]})))`;
  return [
    "",
    `(if ${enough} (then`,
    `  (loop $${name}`,
    ...indent(
      indent([
        ...printBody(scope, name === "vectors"),
        ...scope.roles.map((role) => advance(pointerOf(role))),
        `(local.set $chunk.length (i32.sub (local.get $chunk.length) (i32.const ${count})))`,
        `(br_if $${name} ${enough}))))`,
      ]),
    ),
  ];
}

function printBody(scope: Scope, whole: boolean): string[] {
  const { kernel, layout, names, parts, stores } = scope;
  const { loadOne, storeOne } = LANES[layout.dtype];
  // Tensors are aligned to their elements, not to vectors.
  const align = `align=${ELEMENT_BYTES[layout.dtype]}`;
  const load = whole ? `v128.load ${align}` : loadOne;
  const store = whole ? `v128.store ${align}` : `${storeOne} 0`;
  const values = idsOf(scope, "load", "map", "reduction").flatMap((id) => {
    const value = kernel.values[id] as Value;
    if (parts[id] === "reduction")
      return updateReduction(accumulationOf(scope, id), get(names[value.args[0] as ValueId]), whole);
    const text = parts[id] === "load" ? `(${load} ${get(pointerOf(roleOf(value)))})` : printMap(scope, id);
    return [note(`(local.set ${names[id]} ${text})`, `%${id} = ${printOperation(value)}`)];
  });
  const writes = stores.map(({ role, value }) =>
    note(`(${store} ${get(pointerOf(role))} ${get(names[value])})`, `${role}' = %${value}`),
  );
  return [...values, ...writes];
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

/** A line with its IR beside it. */
function note(line: string, ir: string): string {
  return `${line.padEnd(76)} ;; ${ir}`;
}

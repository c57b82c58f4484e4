/**
 * Prints one kernel as a WebAssembly module whose `run(tensor row, start, length, partial)` works on one chunk: what all elements
 * share is splatted first, then come the runs (run.ts), inside loops where the tensor is no vector (walk.ts). A kernel that walks
 * several spaces has a function for each, called one after the other.
 */
import { StepjitError } from "../../error.ts";
import { type Extent, isLevel } from "../../ir/extent.ts";
import { type Func, type Output, type Value, type ValueId, valueAt } from "../../ir/module.ts";
import { printOperation } from "../../ir/print.ts";
import { outputsBySpace, totalName } from "../../ir/spaces.ts";
import { ELEMENT_BYTES, type FloatType, roundTo } from "../../ir/type.ts";
import type { AxisTotal, ClassLayout, Numerics } from "../backend.ts";
import { indent } from "../common/text.ts";
import { totalHelpers } from "./axis-totals.ts";
import { correctionOf, setCorrection } from "./bounds.ts";
import { TENSOR_ROW } from "./layout.ts";
import { nestOf } from "./nest.ts";
import { accumulatorLocals, finishReduction, halvesOf, splatConstant, startReduction } from "./reductions.ts";
import { accumulationOf, splitBy } from "./run.ts";
import { boundsOf, idsOf, makeScope, type Scope } from "./scope.ts";
import { LANES, MATH_CALLS, mathHelper, mathImport } from "./spelling.ts";
import { declare, get, note } from "./text.ts";
import { printWalk, walkLocals } from "./walk.ts";

/** What a kernel's text depends on besides kernel, layout and numerics. */
export interface Features {
  /** Whether the memory is shared: its import has to say so. */
  readonly shared: boolean;
  /** Whether the engine has relaxed SIMD. */
  readonly relaxed: boolean;
}

const PARAMS =
  "(param $tensor.row i32) (param $chunk.start i32) (param $chunk.length i32) (param $chunk.partial i32)";

export function emitKernel(
  kernel: Func,
  layout: ClassLayout,
  numerics: Numerics,
  features: Features,
): string {
  const scopes = scopesOf(kernel, layout, numerics === "fast" && features.relaxed);
  const maths = [...new Set(kernel.values.map(({ op }) => op))].filter((op) => op in MATH_CALLS);
  const [only, ...others] = scopes;
  return [
    `;; ${layout.name}: kernel "${kernel.name}"${kernel.phase === undefined ? "" : `, phase ${kernel.phase}`}`,
    "(module",
    ...indent([
      `(import "env" "memory" (memory 0${features.shared ? " 65536 shared" : ""}))`,
      ...maths.map(mathImport),
      ...maths.flatMap((op) => mathHelper(op, layout.dtype)),
      ...totalHelpers(totalsTouched(scopes), layout.dtype),
      ...(only && others.length === 0
        ? printFunction(only, '(func (export "run")')
        : [
            ...scopes.flatMap((scope) => [...printFunction(scope, `(func $${scope.nest.name}`), ""]),
            ...printCalls(scopes),
          ]),
    ]),
    ")",
    "",
  ].join("\n");
}

/** One for each space that the kernel walks. */
function scopesOf(kernel: Func, layout: ClassLayout, mayFuse: boolean): Scope[] {
  const shares = kernel.outputs.filter(
    ({ target, value }) => totalName(target) !== undefined && isLevel(valueAt(kernel, value).type.extent),
  );
  const numbers = new Map(shares.map(({ target }, index) => [target, index]));
  return [...outputsBySpace(kernel)].map(([space, outputs]: [Extent, Output[]]) => {
    const nest = nestOf(layout.view, space);
    if (!nest)
      throw new StepjitError(
        "unsupported",
        `kernel "${kernel.name}": the wasm backend cannot walk ${space} of a ${layout.view}`,
      );
    return makeScope(kernel, outputs, layout, nest, numbers, mayFuse);
  });
}

function totalsTouched(scopes: readonly Scope[]): AxisTotal["op"][] {
  const places = scopes.flatMap((scope) => [...scope.places.values()]);
  return [...new Set(places.flatMap(({ total }) => (total ? [total.op] : [])))];
}

function printCalls(scopes: readonly Scope[]): string[] {
  const args = ["$tensor.row", "$chunk.start", "$chunk.length", "$chunk.partial"].map(get).join(" ");
  return [
    '(func (export "run")',
    `  ${PARAMS}`,
    ...scopes.map(({ nest }) => `  (call $${nest.name} ${args})`),
    ")",
  ];
}

function printFunction(scope: Scope, head: string): string[] {
  const flat = scope.nest.outer === "chunk" && scope.layout.view === "vector";
  const walk = printWalk(scope);
  return [
    head,
    `  ${PARAMS}`,
    ...indent([
      ...declareLocals(scope),
      ...(flat ? [...walk.before, ...printUniforms(scope)] : [...printUniforms(scope), ...walk.before]),
      ...walk.runs,
      ...printShares(scope),
    ]),
    ")",
  ];
}

function declareLocals(scope: Scope): string[] {
  const { flags } = scope.branches;
  const nameOf = (id: ValueId) => scope.names[id] as string;
  const vectors = idsOf(scope, "uniform", "fixed", "load", "map")
    .filter((id) => !flags.has(id))
    .map(nameOf);
  const sums = scope.targets
    .filter(({ place }) => !place?.moves)
    .flatMap(({ id }) => accumulatorLocals(accumulationOf(scope, id)));
  const halves = [...splitBy(scope).keys()].flatMap(halvesOf);
  const corrections = boundsOf(scope).map(({ op, bound }) => correctionOf(bound, op));
  const pointers = [...scope.places.values()].map(({ pointer }) => pointer);
  return [
    ...declare(["$scalar.row", ...pointers, ...walkLocals(scope)], "i32"),
    ...declare([...flags].map(nameOf), "i32"),
    ...declare([...vectors, ...corrections, ...halves, ...sums], "v128"),
  ];
}

function printUniforms(scope: Scope): string[] {
  const { kernel, layout, names } = scope;
  const lines = idsOf(scope, "uniform").map((id) => {
    const value = kernel.values[id] as Value;
    const from = kernel.values[value.args[0] as ValueId] as Value;
    const print = scope.branches.flags.has(id) ? printFlag : printUniform;
    const line = `(local.set ${names[id]} ${print(value, from, layout.dtype)})`;
    return note(line, `%${scope.numbers[id]} = broadcast ${printOperation(from)}`);
  });
  const starts = scope.targets
    .filter(({ share }) => share !== undefined)
    .flatMap(({ id }) => startReduction(accumulationOf(scope, id)));
  return [
    "",
    ";; What all elements share.",
    `(local.set $scalar.row (i32.load offset=${TENSOR_ROW.scalars} (local.get $tensor.row)))`,
    ...lines,
    ...boundsOf(scope).map(({ op, bound }) => setCorrection(op, layout.dtype, bound)),
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

function printShares(scope: Scope): string[] {
  const stores = scope.targets.flatMap(({ id, share }) =>
    share === undefined
      ? []
      : `(f64.store offset=${8 * share} (local.get $chunk.partial) ${finishReduction(accumulationOf(scope, id))})`,
  );
  return stores.length > 0 ? ["", ";; This chunk's share of each total.", ...stores] : [];
}

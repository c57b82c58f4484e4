import { type Extent, isLevel } from "./extent.ts";
import { type Op, opInfo } from "./ops.ts";
import type { Type } from "./type.ts";

/** A value's number: its index in `Func.values`. Arguments always point backwards. */
export type ValueId = number;

/** One SSA value: `f32[lead,row,col] %7 = mul %3 %6   # adamw.ts:12:15`. */
export interface Value {
  readonly type: Type;
  readonly op: Op;
  readonly args: readonly ValueId[];
  /** The name, axis or number of ops that carry one. */
  readonly attribute?: string | number;
  /** file:line:column of the operator or call that made it. Never part of a key. */
  readonly source?: string;
}

/**
 * A result. Targets:
 * - `param'`, `grad'`, `state.NAME'`: the new contents (bodies, kernels)
 * - `total.NAME`: this function's share of a reduction, at the level of the value's type (bodies, kernels)
 * - `give.NAME`: a step-level value for the bodies (step)
 * - `scalar.K`: slot K of the scalar table (scalars)
 * - `commit`: a step-level predicate that every result of the step obeys (step)
 */
export interface Output {
  readonly target: string;
  readonly value: ValueId;
}

/**
 * - `step`: what is computed once a step, over all bodies
 * - `body`: the pure maths of one parameter of one class
 * - `scalars`: the part of a body above elements: it fills the class's scalar table
 * - `kernel`: the part of a body over elements, in one phase: what a backend prints
 */
export type FuncKind = "step" | "body" | "scalars" | "kernel";

export interface Func {
  readonly kind: FuncKind;
  /** The parameter class; empty for `step`. */
  readonly name: string;
  /** Set once phases are known. */
  readonly phase?: number;
  /** Of a step body or scalar program: it runs beside the kernels, since it reads what only the device knows. */
  readonly on?: "device";
  readonly values: readonly Value[];
  readonly outputs: readonly Output[];
}

/** The traced step of one optimizer: at most one step body, and one body a parameter class. */
export interface Module {
  readonly name: string;
  readonly funcs: readonly Func[];
}

/** The value with this number; a dangling number is a compiler defect. */
export function valueAt(func: Func, id: ValueId): Value {
  const value = func.values[id];
  if (!value) throw new RangeError(`%${id} is not a value of ${func.kind} "${func.name}"`);
  return value;
}

/** A flat function treats a tensor as one run of elements: it names no row, col or size, so shapes and rank do not matter. */
export function isFlat(func: Func): boolean {
  return func.values.every(
    ({ type, op }) =>
      op !== "size" && op !== "contract" && (isLevel(type.extent) || type.extent === "[lead,row,col]"),
  );
}

/** True for ops that read tensors, tables or constants. */
export function isInput(value: Value): boolean {
  return opInfo(value.op).rule === "input";
}

/** The functions of one kind, in module order; of one class, where it is named. */
export function funcsOf(module: Module, kind: FuncKind, name?: string): Func[] {
  return module.funcs.filter((func) => func.kind === kind && (name === undefined || func.name === name));
}

/** One tensor that a function reads (`param`) or writes (`param'`). */
export interface Access {
  readonly tensor: string;
  readonly extent: Extent;
}

/** What a function over elements moves through memory: each tensor that it reads, and each that it writes, once. */
export function tensorTraffic({ values, outputs }: Func): Access[] {
  const reads = values
    .filter(({ op, type }) => TENSORS.has(op) && !isLevel(type.extent))
    .map((value) => ({ tensor: tensorName(value), extent: value.type.extent }));
  const writes = outputs
    .filter(({ target }) => target.endsWith("'"))
    .map(({ target, value }) => ({ tensor: target, extent: (values[value] as Value).type.extent }));
  return [...new Map([...reads, ...writes].map((access) => [access.tensor, access])).values()];
}

const TENSORS: ReadonlySet<Op> = new Set(["param", "grad", "state"]);

/** The role of the tensor that an input reads: param, grad, state.exp_avg. */
export function tensorName({ op, attribute }: Value): string {
  return attribute === undefined ? op : `${op}.${attribute}`;
}

/** How often each value is used, by others and as an output. */
export function countUses(func: Func): number[] {
  const uses = func.values.map(() => 0);
  const used = [...func.values.flatMap(({ args }) => args), ...func.outputs.map(({ value }) => value)];
  for (const id of used) uses[id] = (uses[id] ?? 0) + 1;
  return uses;
}

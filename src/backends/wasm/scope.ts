/** What the printer has to know about one nest of a kernel: each value's job, its local's name, and which tensors are touched. */
import { StepjitError } from "../../error.ts";
import { type Extent, isLevel } from "../../ir/extent.ts";
import { type Func, type Output, tensorName, type Value, type ValueId, valueAt } from "../../ir/module.ts";
import { type Op, opInfo } from "../../ir/ops.ts";
import { printOperation } from "../../ir/print.ts";
import { neededBy, slice } from "../../ir/slice.ts";
import { totalName } from "../../ir/spaces.ts";
import { ELEMENT_BYTES, printType } from "../../ir/type.ts";
import type { AxisTotal, ClassLayout } from "../backend.ts";
import { findMultiplyAdds, type MultiplyAdd } from "../common/multiply-add.ts";
import { type Bound, correctionOf, findBounds } from "./bounds.ts";
import { type Branches, findBranches } from "./branches.ts";
import { baseOffset } from "./layout.ts";
import { moves, type Nest, nestOf } from "./nest.ts";
import { spell } from "./spelling.ts";

/**
 * - `input`: a number above elements: it is read where it is broadcast
 * - `uniform`: the same for all elements: splatted before the loops
 * - `alias`: another value's local, since only the extent differs
 * - `fixed`: loaded or computed once a run
 * - `load`, `map`: loaded or computed for each vector
 * - `absorbed`: a product that a multiply-add computes
 * - `reduction`: accumulated
 */
export type Part = "input" | "uniform" | "alias" | "fixed" | "load" | "map" | "absorbed" | "reduction";

/** A tensor, or a total over axes, that a nest touches. */
export interface Place {
  /** `param`, `state.exp_avg`, `total.local0`. */
  readonly role: string;
  readonly extent: Extent;
  /** The local with the address of its next number. */
  readonly pointer: string;
  /** Where in the tensor row its address is. */
  readonly base: number;
  /** Bytes a number. */
  readonly bytes: number;
  /** Whether it goes along with a run. */
  readonly moves: boolean;
  /** Set for totals. */
  readonly total?: AxisTotal;
}

/** What becomes of a reduction: a share of a total to a level, or numbers in memory. */
export interface Target {
  readonly id: ValueId;
  /** The partial slot's number, for a level. */
  readonly share?: number;
  readonly place?: Place;
}

export interface Scope {
  /** What of the kernel this nest computes, numbered anew. */
  readonly kernel: Func;
  /** The whole kernel's numbers of its values: what a reader of the text is told. */
  readonly numbers: readonly ValueId[];
  readonly layout: ClassLayout;
  readonly nest: Nest;
  readonly parts: readonly Part[];
  /** The local of each value: a role's name, or $v and its number. */
  readonly names: readonly string[];
  /** By role, in the layout's order. */
  readonly places: ReadonlyMap<string, Place>;
  readonly branches: Branches;
  /** By the number of the addition or subtraction. */
  readonly multiplyAdds: ReadonlyMap<ValueId, MultiplyAdd>;
  /** By the number of the min or max. */
  readonly bounds: ReadonlyMap<ValueId, Bound>;
  readonly stores: readonly { readonly role: string; readonly value: ValueId }[];
  readonly targets: readonly Target[];
}

/** `shares`: the number of each total to a level, over all nests of the kernel. */
export function makeScope(
  whole: Func,
  outputs: readonly Output[],
  layout: ClassLayout,
  nest: Nest,
  shares: ReadonlyMap<string, number>,
  mayFuse: boolean,
): Scope {
  const kernel = slice(whole, outputs);
  const numbers = neededBy(whole, outputs);
  const multiplyAdds = mayFuse ? findMultiplyAdds(kernel) : new Map<ValueId, MultiplyAdd>();
  const absorbed = new Set([...multiplyAdds.values()].map(({ product }) => product));
  const parts = kernel.values.map((value, id) =>
    absorbed.has(id) ? "absorbed" : partOf(value, kernel, layout, nest),
  );
  const places = placesOf(kernel, layout, nest);
  return {
    kernel,
    numbers,
    layout,
    nest,
    parts,
    names: nameValues(kernel, numbers, parts),
    places,
    branches: findBranches(
      kernel,
      (id) => parts[id] === "uniform",
      (id) => parts[id] === "map" || parts[id] === "absorbed",
    ),
    multiplyAdds,
    bounds: findBounds(kernel, (id) => parts[id] === "uniform"),
    stores: kernel.outputs
      .filter(({ target }) => target.endsWith("'"))
      .map(({ target, value }) => ({ role: target.slice(0, -1), value })),
    targets: kernel.outputs.flatMap(({ target, value }) => {
      if (totalName(target) === undefined) return [];
      const [share, place] = [shares.get(target), places.get(target)];
      return [{ id: value, ...(share !== undefined && { share }), ...(place && { place }) }];
    }),
  };
}

const TENSORS = ["param", "grad", "state", "total"];

function partOf(value: Value, kernel: Func, layout: ClassLayout, nest: Nest): Part {
  const { type, op } = value;
  const { rule } = opInfo(op);
  const from = kernel.values[value.args[0] ?? -1];
  if (isLevel(type.extent) && (op === "const" || op === "scalar")) return "input";
  if (rule === "reduce") return "reduction";
  if (!isLevel(type.extent) && (type.dtype === layout.dtype || type.dtype === "bool")) {
    if (TENSORS.includes(op) && nestOf(layout.view, type.extent))
      return moves(nest, type.extent) ? "load" : "fixed";
    if (rule === "broadcast" && from && !isLevel(from.type.extent)) return "alias";
    if (rule === "broadcast" && (from?.op === "const" || from?.op === "scalar")) return "uniform";
    if (spell(op, layout.dtype, [])) return moves(nest, type.extent) ? "map" : "fixed";
  }
  const what = op === "broadcast" ? `${op} of ${from?.op}` : op;
  throw new StepjitError(
    "unsupported",
    `the wasm backend has no ${what} that gives ${printType(type)} in a kernel over ${layout.dtype} elements (${layout.name})`,
  );
}

function nameValues(kernel: Func, numbers: readonly ValueId[], parts: readonly Part[]): string[] {
  const taken = new Set<string>();
  const names: string[] = [];
  kernel.values.forEach((value, id) => {
    let name =
      parts[id] === "alias"
        ? (names[value.args[0] as ValueId] as string)
        : TENSORS.includes(value.op)
          ? localOf(tensorName(value))
          : `$v${numbers[id]}`;
    while (parts[id] !== "alias" && taken.has(name)) name += "_";
    taken.add(name);
    names.push(name);
  });
  return names;
}

function placesOf(kernel: Func, layout: ClassLayout, nest: Nest): Map<string, Place> {
  const touched = new Map<string, Extent>();
  for (const value of kernel.values)
    if (TENSORS.includes(value.op)) touched.set(tensorName(value), value.type.extent);
  for (const { target, value } of kernel.outputs) {
    const { extent } = valueAt(kernel, value).type;
    if (!isLevel(extent)) touched.set(target.replace(/'$/, ""), extent);
  }
  const order = [...layout.roles, ...layout.totals.map(({ name }) => `total.${name}`)];
  const unknown = [...touched.keys()].find((role) => !order.includes(role));
  if (unknown) throw new StepjitError("ir", `${layout.name} has no tensor for ${unknown}`);
  const places = order
    .filter((role) => touched.has(role))
    .map((role): Place => {
      const extent = touched.get(role) as Extent;
      const total = layout.totals.find(({ name }) => role === `total.${name}`);
      return {
        role,
        extent,
        pointer: `${localOf(role)}.at`,
        base: baseOffset(order.indexOf(role)),
        bytes: total ? 8 : ELEMENT_BYTES[layout.dtype],
        moves: moves(nest, extent),
        ...(total && { total }),
      };
    });
  return new Map(places.map((place) => [place.role, place]));
}

/** `$grad`, `$exp_avg`; what ends in `.at` is a pointer's. */
function localOf(role: string): string {
  const name = role.replace(/^(state|total)\./, "");
  return role.startsWith("state.") && (name === "param" || name === "grad") ? `$${role}` : `$${name}`;
}

/** The shared bounds of a nest's `min` and `max`, each once an op. */
export function boundsOf({ kernel, bounds, names }: Scope): { readonly op: Op; readonly bound: string }[] {
  const found = [...bounds].map(([id, { bound }]) => ({
    op: valueAt(kernel, id).op,
    bound: names[bound] as string,
  }));
  return [...new Map(found.map((one) => [correctionOf(one.bound, one.op), one])).values()];
}

/** What a value is, as the dump of the kernel has it: `%7 = mul %3 %6`. */
export function definitionOf({ kernel, numbers }: Scope, id: ValueId): string {
  const value = valueAt(kernel, id);
  const args = value.args.map((arg) => numbers[arg] as ValueId);
  return `%${numbers[id]} = ${printOperation({ ...value, args })}`;
}

/** The numbers of the values that have one of these jobs, in order. */
export function idsOf({ parts }: Scope, ...wanted: Part[]): ValueId[] {
  return parts.flatMap((part, id) => (wanted.includes(part) ? [id] : []));
}

/** What the printer has to know about a kernel: each value's job, its local's name, and which tensors are touched. */
import { StepjitError } from "../../error.ts";
import { ELEMENT, isLevel } from "../../ir/extent.ts";
import { type Func, tensorName, type Value, type ValueId } from "../../ir/module.ts";
import { opInfo } from "../../ir/ops.ts";
import { printType } from "../../ir/type.ts";
import type { ClassLayout } from "../backend.ts";
import { type Branches, findBranches } from "./branches.ts";
import { findMultiplyAdds, type MultiplyAdd } from "./multiplyadd.ts";
import { spell } from "./spelling.ts";

/**
 * - `input`: a number above elements: it is read where it is broadcast
 * - `uniform`: the same for all elements: splatted before the loops
 * - `load`, `map`: computed for each vector
 * - `absorbed`: a product that a multiply-add computes
 * - `reduction`: accumulated over the chunk
 */
export type Part = "input" | "uniform" | "load" | "map" | "absorbed" | "reduction";

export interface Scope {
  readonly kernel: Func;
  readonly layout: ClassLayout;
  readonly parts: readonly Part[];
  /** The local of each value: a role's name, or $v and its number. */
  readonly names: readonly string[];
  /** Roles that this kernel reads or writes, in the layout's order. */
  readonly roles: readonly string[];
  readonly branches: Branches;
  /** By the number of the addition or subtraction. */
  readonly multiplyAdds: ReadonlyMap<ValueId, MultiplyAdd>;
  readonly stores: readonly { readonly role: string; readonly value: ValueId }[];
  readonly totals: readonly ValueId[];
}

export function makeScope(kernel: Func, layout: ClassLayout, mayFuse: boolean): Scope {
  const multiplyAdds = mayFuse ? findMultiplyAdds(kernel) : new Map<ValueId, MultiplyAdd>();
  const absorbed = new Set([...multiplyAdds.values()].map(({ product }) => product));
  const parts = kernel.values.map((value, id) =>
    absorbed.has(id) ? "absorbed" : partOf(value, kernel, layout),
  );
  const stores = kernel.outputs
    .filter(({ target }) => target.endsWith("'"))
    .map(({ target, value }) => ({ role: target.slice(0, -1), value }));
  const totals = kernel.outputs.filter(({ target }) => target.startsWith("total.")).map(({ value }) => value);
  const loads = kernel.values.filter((_, id) => parts[id] === "load").map(tensorName);
  return {
    kernel,
    layout,
    parts,
    names: nameValues(kernel, parts),
    roles: rolesOf([...loads, ...stores.map(({ role }) => role)], layout),
    branches: findBranches(
      kernel,
      (id) => parts[id] === "uniform",
      (id) => parts[id] === "map" || parts[id] === "absorbed",
    ),
    multiplyAdds,
    stores,
    totals,
  };
}

function partOf(value: Value, kernel: Func, layout: ClassLayout): Part {
  const { type, op } = value;
  const { rule } = opInfo(op);
  const from = kernel.values[value.args[0] ?? -1];
  const fits = type.dtype === layout.dtype || type.dtype === "bool";
  if (isLevel(type.extent) && (op === "const" || op === "scalar")) return "input";
  if (rule === "reduce" && isLevel(type.extent) && from?.type.extent === ELEMENT) return "reduction";
  if (type.extent === ELEMENT && fits) {
    if (op === "param" || op === "grad" || op === "state") return "load";
    if (rule === "broadcast" && (from?.op === "const" || from?.op === "scalar")) return "uniform";
    if (spell(op, layout.dtype, [])) return "map";
  }
  const what = op === "broadcast" ? `${op} of ${from?.op}` : op;
  throw new StepjitError(
    "unsupported",
    `the wasm backend has no ${what} that gives ${printType(type)} in a kernel over ${layout.dtype} elements (${layout.name})`,
  );
}

function nameValues(kernel: Func, parts: readonly Part[]): string[] {
  const taken = new Set<string>();
  return kernel.values.map((value, id) => {
    let name = parts[id] === "load" ? localOf(tensorName(value)) : `$v${id}`;
    while (taken.has(name)) name += "_";
    taken.add(name);
    return name;
  });
}

function rolesOf(touched: readonly string[], layout: ClassLayout): string[] {
  const unknown = touched.find((role) => !layout.roles.includes(role));
  if (unknown) throw new StepjitError("ir", `${layout.name} has no tensor for ${unknown}`);
  return layout.roles.filter((role) => touched.includes(role));
}

/** `$grad`, `$exp_avg`. */
function localOf(role: string): string {
  const name = role.replace(/^state\./, "");
  return name === "param" || name === "grad" ? `$${role}` : `$${name}`;
}

/** The address of a role's next element. No other local's name ends like this. */
export function pointerOf(role: string): string {
  return `${localOf(role)}.at`;
}

/** The numbers of the values that have one of these jobs, in order. */
export function idsOf({ parts }: Scope, ...wanted: Part[]): ValueId[] {
  return parts.flatMap((part, id) => (wanted.includes(part) ? [id] : []));
}

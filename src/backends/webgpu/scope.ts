/** What the printer has to know about one kernel: each value's job and name, and where its tensors are. */
import { StepjitError } from "../../error.ts";
import { ELEMENT, type Extent, isLevel } from "../../ir/extent.ts";
import { type Func, type Output, tensorName, type Value, type ValueId, valueAt } from "../../ir/module.ts";
import { opInfo } from "../../ir/ops.ts";
import { totalName } from "../../ir/spaces.ts";
import { printType } from "../../ir/type.ts";
import type { AxisTotal, ClassLayout } from "../backend.ts";
import type { ElementType } from "./elements.ts";
import { baseWord, type KernelBinding } from "./layout.ts";
import { isTensor, nameAll } from "./names.ts";
import { SPACES } from "./spaces.ts";
import { spell } from "./spelling.ts";

/**
 * - `input`: a number above elements: it is read where it is broadcast
 * - `uniform`: the same for all elements: read before the loops
 * - `alias`: another value's name, since only the extent differs
 * - `load`, `map`: loaded or computed at each place
 * - `reduction`: accumulated
 */
export type Part = "input" | "uniform" | "alias" | "load" | "map" | "reduction";

/** A tensor, or a total over axes, that a kernel touches. */
export interface Place {
  /** `param`, `state.exp_avg`, `total.local0`. */
  readonly role: string;
  readonly extent: Extent;
  readonly binding: KernelBinding;
  /** The variable that says where in its binding it begins. */
  readonly base: string;
  /** The word of the tensor row that says so. */
  readonly word: number;
  /** Set for totals. */
  readonly total?: AxisTotal;
}

export interface Scope {
  readonly kernel: Func;
  readonly layout: ClassLayout;
  /** Whether what is stored, gradients excepted, obeys the commit flag. */
  readonly guarded: boolean;
  /** Of variables over elements. */
  readonly elements: ElementType;
  readonly parts: readonly Part[];
  readonly names: readonly string[];
  /** By role, in the layout's order. */
  readonly places: ReadonlyMap<string, Place>;
  /** Which of a partial slot's numbers a total to a level is. */
  readonly shares: ReadonlyMap<string, number>;
}

export function makeScope(kernel: Func, layout: ClassLayout, guarded: boolean, elements: ElementType): Scope {
  if (layout.dtype !== "f32")
    throw new StepjitError(
      "unsupported",
      `${layout.name}: the webgpu backend works on float32 elements only`,
    );
  const parts = kernel.values.map((value) => partOf(value, kernel, layout));
  const order = [...layout.roles, ...layout.totals.map(({ name }) => `total.${name}`)];
  const names = nameAll(kernel, order, (id) => parts[id] === "alias");
  const shares = kernel.outputs.filter(
    ({ target, value }) => totalName(target) !== undefined && isLevel(valueAt(kernel, value).type.extent),
  );
  return {
    kernel,
    layout,
    guarded,
    elements,
    parts,
    names: names.values,
    places: placesOf(kernel, layout, order, names.bases),
    shares: new Map(shares.map(({ target }, index) => [target, index])),
  };
}

function partOf(value: Value, kernel: Func, { name, dtype, view }: ClassLayout): Part {
  const { type, op } = value;
  const { rule } = opInfo(op);
  const from = kernel.values[value.args[0] ?? -1];
  if (isLevel(type.extent) && (op === "const" || op === "scalar")) return "input";
  if (rule === "reduce") return "reduction";
  if (SPACES[view].has(type.extent) && (type.dtype === dtype || type.dtype === "bool")) {
    if (isTensor(value)) return "load";
    if (rule === "broadcast" && from && !isLevel(from.type.extent)) return "alias";
    if (rule === "broadcast" && (from?.op === "const" || from?.op === "scalar")) return "uniform";
    if (spell(op, []) !== undefined) return "map";
  }
  const what = op === "broadcast" ? `${op} of ${from?.op}` : op;
  throw new StepjitError(
    "unsupported",
    `the webgpu backend has no ${what} that gives ${printType(type)} in a kernel over ${dtype} elements of a ${view} (${name})`,
  );
}

function placesOf(
  kernel: Func,
  layout: ClassLayout,
  order: readonly string[],
  bases: ReadonlyMap<string, string>,
): Map<string, Place> {
  const touched = new Map<string, Extent>();
  for (const value of kernel.values) if (isTensor(value)) touched.set(tensorName(value), value.type.extent);
  for (const { target, value } of kernel.outputs) {
    const { extent } = valueAt(kernel, value).type;
    if (!isLevel(extent)) touched.set(target.replace(/'$/, ""), extent);
  }
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
        binding: bindingOf(role, extent),
        base: bases.get(role) as string,
        word: baseWord(order.indexOf(role)),
        ...(total && { total }),
      };
    });
  return new Map(places.map((place) => [place.role, place]));
}

function bindingOf(role: string, extent: Extent): KernelBinding {
  if (role === "param" || role === "grad") return role;
  return role.startsWith("state.") && extent === ELEMENT ? "state" : "axes";
}

/** The place that an output goes to; undefined for a share of a total to a level. */
export function placeOf({ places }: Scope, { target }: Output): Place | undefined {
  return places.get(target.replace(/'$/, ""));
}

/** The place that a value is loaded from. */
export function placeRead({ kernel, places }: Scope, id: ValueId): Place | undefined {
  const value = valueAt(kernel, id);
  return isTensor(value) ? places.get(tensorName(value)) : undefined;
}

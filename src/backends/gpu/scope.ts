/** What the printer has to know about one kernel: each value's job and name, and where its tensors are. */
import { StepjitError } from "../../error.ts";
import { type Extent, isLevel } from "../../ir/extent.ts";
import { type Func, type Output, tensorName, type Value, type ValueId, valueAt } from "../../ir/module.ts";
import { opInfo } from "../../ir/ops.ts";
import { totalName } from "../../ir/spaces.ts";
import { printType } from "../../ir/type.ts";
import type { AxisTotal, ClassLayout } from "../backend.ts";
import { findMultiplyAdds, type MultiplyAdd } from "../common/multiply-add.ts";
import type { Language } from "./language.ts";
import { baseWord } from "./layout.ts";
import { isTensor, type Names, nameAll } from "./names.ts";
import { SPACES } from "./spaces.ts";

/**
 * - `input`: a number above elements: it is read where it is broadcast
 * - `uniform`: the same for all elements: read before the loops
 * - `alias`: another value's name, since only the extent differs
 * - `load`, `map`: loaded or computed at each place
 * - `absorbed`: a product that a multiply-add computes
 * - `reduction`: accumulated
 */
export type Part = "input" | "uniform" | "alias" | "load" | "map" | "absorbed" | "reduction";

/** A tensor, or a total over axes, that a kernel touches. */
export interface Place {
  /** `param`, `state.exp_avg`, `total.local0`. */
  readonly role: string;
  readonly extent: Extent;
  /** The variable that says where it begins, and one with several of its numbers, in a language that has such. */
  readonly base: string;
  readonly pack: string;
  /** The word of the tensor row that says so. */
  readonly word: number;
  /** Set for totals. */
  readonly total?: AxisTotal;
}

export interface Scope {
  readonly language: Language;
  readonly kernel: Func;
  readonly layout: ClassLayout;
  /** Whether what is stored, gradients excepted, obeys the commit flag. */
  readonly guarded: boolean;
  /** Whether neighbouring elements are worked on together, as many as memory likes at once, where nothing is reduced to axes. */
  readonly wide: boolean;
  readonly parts: readonly Part[];
  readonly names: readonly string[];
  /** By role, in the layout's order. */
  readonly places: ReadonlyMap<string, Place>;
  /** Which of a partial slot's numbers a total to a level is. */
  readonly shares: ReadonlyMap<string, number>;
  /** By the number of the addition or subtraction. */
  readonly multiplyAdds: ReadonlyMap<ValueId, MultiplyAdd>;
}

/** Throws `unsupported`. */
export function makeScope(
  language: Language,
  kernel: Func,
  layout: ClassLayout,
  { guarded, wide }: Pick<Scope, "guarded" | "wide">,
): Scope {
  if (!language.dtypes.includes(layout.dtype))
    throw new StepjitError(
      "unsupported",
      `${layout.name}: the ${language.backend} backend works on float32 elements only`,
    );
  const multiplyAdds = language.multiplyAdd ? findMultiplyAdds(kernel) : new Map<ValueId, MultiplyAdd>();
  const absorbed = new Set([...multiplyAdds.values()].map(({ product }) => product));
  const parts = kernel.values.map((value, id) =>
    absorbed.has(id) ? "absorbed" : partOf(value, kernel, layout, language),
  );
  const order = [...layout.roles, ...layout.totals.map(({ name }) => `total.${name}`)];
  const names = nameAll(kernel, order, language.taken, (id) => parts[id] === "alias");
  const shares = kernel.outputs.filter(
    ({ target, value }) => totalName(target) !== undefined && isLevel(valueAt(kernel, value).type.extent),
  );
  return {
    language,
    kernel,
    layout,
    guarded,
    wide,
    parts,
    names: names.values,
    places: placesOf(kernel, layout, order, names),
    shares: new Map(shares.map(({ target }, index) => [target, index])),
    multiplyAdds,
  };
}

function partOf(
  value: Value,
  kernel: Func,
  { name, dtype, view }: ClassLayout,
  { backend, spell }: Language,
): Part {
  const { type, op } = value;
  const { rule } = opInfo(op);
  const from = kernel.values[value.args[0] ?? -1];
  if (isLevel(type.extent) && (op === "const" || op === "scalar")) return "input";
  if (rule === "reduce") return "reduction";
  if (SPACES[view].has(type.extent) && (type.dtype === dtype || type.dtype === "bool")) {
    if (isTensor(value)) return "load";
    if (rule === "broadcast" && from && !isLevel(from.type.extent)) return "alias";
    if (rule === "broadcast" && (from?.op === "const" || from?.op === "scalar")) return "uniform";
    if (spell(op, [], dtype) !== undefined) return "map";
  }
  const what = op === "broadcast" ? `${op} of ${from?.op}` : op;
  throw new StepjitError(
    "unsupported",
    `the ${backend} backend has no ${what} that gives ${printType(type)} in a kernel over ${dtype} elements of a ${view} (${name})`,
  );
}

function placesOf(
  kernel: Func,
  layout: ClassLayout,
  order: readonly string[],
  names: Names,
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
        base: names.bases.get(role) as string,
        pack: names.packs.get(role) as string,
        word: baseWord(order.indexOf(role)),
        ...(total && { total }),
      };
    });
  return new Map(places.map((place) => [place.role, place]));
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

/**
 * What is done at one place of a space: loads, maths, reductions into variables, stores. `i` is the index in an array over the space;
 * those of arrays over fewer axes follow from it.
 *
 *     f32[lead,row,col] %3 = mul %1 %2      ->      let v3 = grad * v2;      // %3 = mul %1 %2
 */
import { type Extent, isLevel } from "../../ir/extent.ts";
import { type Output, tensorName, type ValueId, valueAt } from "../../ir/module.ts";
import { printOperation } from "../../ir/print.ts";
import { neededBy } from "../../ir/slice.ts";
import type { AxisTotal } from "../backend.ts";
import { indent } from "../common/text.ts";
import { COMBINE } from "./language.ts";
import { type Place, placeOf, type Scope } from "./scope.ts";
import { indexIn } from "./spaces.ts";
import { note } from "./text.ts";

/** Outputs that are computed in one loop over a space. */
export interface Walk {
  readonly scope: Scope;
  readonly space: Extent;
  readonly outputs: readonly Output[];
  /** Whether neighbours are worked on together. */
  readonly wide: boolean;
}

/** Everything but the stores; reductions go into variables that stand before the loop (`startReductions`). */
export function printBody(walk: Walk): string[] {
  const { scope, space, outputs } = walk;
  const { kernel, parts, layout, language } = scope;
  const ids = neededBy(kernel, outputs);
  const loads = ids.filter((id) => parts[id] === "load").map((id) => valueAt(kernel, id));
  const extents = new Set(loads.map(({ type }) => type.extent).filter((extent) => extent !== space));
  return [
    ...[...extents].map((extent) =>
      language.constant("u32", indexOf(extent, space), indexIn(layout.view, space, extent, "i")),
    ),
    ...ids.flatMap((id) => {
      const line = LINES[parts[id] as keyof typeof LINES]?.(walk, id);
      return line ? [note(line, `%${id} = ${printOperation(valueAt(kernel, id))}`)] : [];
    }),
  ];
}

/** What becomes of a value at each place, by its part. */
const LINES: Partial<Record<Scope["parts"][number], (walk: Walk, id: ValueId) => string>> = {
  load: (walk, id) => {
    const { kernel, places, language, names } = walk.scope;
    const value = valueAt(kernel, id);
    const place = places.get(tensorName(value)) as Place;
    const text = language.load(walk, place, indexOf(place.extent, walk.space));
    return language.constant(value.type.dtype, names[id] as string, text);
  },
  map: (walk, id) => {
    const { kernel, language, names } = walk.scope;
    return language.constant(valueAt(kernel, id).type.dtype, names[id] as string, computed(walk, id));
  },
  reduction: (walk, id) => {
    const { kernel, language, names } = walk.scope;
    const value = valueAt(kernel, id);
    const [name, operand] = [names[id] as string, names[value.args[0] as ValueId] as string];
    return `${name} = ${language.takeIn(walk, value, name, operand)};`;
  },
};

function computed({ scope, wide }: Walk, id: ValueId): string {
  const { kernel, names, layout, language, multiplyAdds } = scope;
  const { op, args } = valueAt(kernel, id);
  const fused = multiplyAdds.get(id);
  const operands = (fused?.operands ?? args).map((arg) => names[arg] as string);
  return fused && language.multiplyAdd
    ? language.multiplyAdd(operands, fused.negated, layout.dtype)
    : (language.spell(op, operands, layout.dtype, wide) as string);
}

const INDICES: Partial<Record<Extent, string>> = {
  "[lead,row]": "i_row",
  "[lead,col]": "i_col",
  "[lead]": "i_slab",
};

function indexOf(extent: Extent, space: Extent): string {
  return extent === space ? "i" : (INDICES[extent] as string);
}

/** The stores of the outputs that are new contents; gradients do not obey the commit flag. */
export function printStores(
  walk: Walk,
  print: (walk: Walk, output: Output) => string = printStore,
): string[] {
  const stored = walk.outputs.filter(isStored);
  const isFree = ({ target }: Output) => target === "grad'" || !walk.scope.guarded;
  const obeying = stored.filter((output) => !isFree(output)).map((output) => print(walk, output));
  return [
    ...stored.filter(isFree).map((output) => print(walk, output)),
    ...(obeying.length > 0 ? ["if (commit) {", ...indent(obeying), "}"] : []),
  ];
}

function printStore(walk: Walk, output: Output): string {
  const { language, names } = walk.scope;
  const place = placeOf(walk.scope, output) as Place;
  const line = language.store(walk, place, "i", names[output.value] as string);
  return note(line, `${output.target} = %${output.value}`);
}

/** Whether it is new contents of a tensor. */
export function isStored({ target }: Output): boolean {
  return target.endsWith("'");
}

/** The variables that reductions go into. */
export function startReductions(walk: Walk): string[] {
  const { scope, outputs } = walk;
  return reductionsOf(scope, outputs).map((id) => {
    const [kind, text] = scope.language.start(walk, valueAt(scope.kernel, id));
    return scope.language.variable(kind, scope.names[id] as string, text);
  });
}

/** Combines them over the lanes of each team; lane 0 has the result. */
export function finishReductions(walk: Walk, ...team: readonly string[]): string[] {
  const { scope, outputs } = walk;
  const { kernel, names, language } = scope;
  return reductionsOf(scope, outputs).map((id) => {
    const value = valueAt(kernel, id);
    const { word } = COMBINE[value.op as AxisTotal["op"]];
    const { number, result } = language.across(walk, value, names[id] as string);
    return `${result} = ${word}_lanes(${[number, "thread", ...team].join(", ")});`;
  });
}

/** Where lane 0 finds it. */
export function resultOf(walk: Walk, id: ValueId): string {
  const { kernel, names, language } = walk.scope;
  return language.across(walk, valueAt(kernel, id), names[id] as string).result;
}

function reductionsOf({ parts }: Scope, outputs: readonly Output[]): ValueId[] {
  return [...new Set(outputs.map(({ value }) => value).filter((id) => parts[id] === "reduction"))];
}

export function isShare({ kernel }: Scope, { value }: Output): boolean {
  return isLevel(valueAt(kernel, value).type.extent);
}

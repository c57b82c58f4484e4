/**
 * What is done at one place of a space: loads, maths, reductions into variables, stores. `i` is the index in an array over the space;
 * those of arrays over fewer axes follow from it.
 *
 *     f32[lead,row,col] %3 = mul %1 %2      ->      let v3 = grad * v2;      // %3 = mul %1 %2
 *
 * Of vectors that is four places side by side, `i` being the first one.
 */
import { type Extent, isLevel } from "../../ir/extent.ts";
import { type Output, tensorName, type Value, type ValueId, valueAt } from "../../ir/module.ts";
import { printOperation } from "../../ir/print.ts";
import { neededBy } from "../../ir/slice.ts";
import type { AxisTotal } from "../backend.ts";
import { indent } from "../common/text.ts";
import { variableOf } from "./bindings.ts";
import { indexAt, isWide, splat } from "./elements.ts";
import { type Place, placeOf, type Scope } from "./scope.ts";
import { indexIn, productOf, slabSizes } from "./spaces.ts";
import { COMBINE, literal, spell } from "./spelling.ts";
import { note } from "./text.ts";

/** Outputs that are computed in one loop over a space. */
export interface Walk {
  readonly scope: Scope;
  readonly space: Extent;
  readonly outputs: readonly Output[];
}

/** Everything but the stores; reductions go into variables that stand before the loop (`startReductions`). */
export function printBody({ scope, space, outputs }: Walk): string[] {
  const { kernel, parts, names, layout, elements } = scope;
  const ids = neededBy(scope.kernel, outputs);
  const loads = ids.filter((id) => parts[id] === "load").map((id) => valueAt(kernel, id));
  const extents = new Set(loads.map(({ type }) => type.extent).filter((extent) => extent !== space));
  return [
    ...(isWide(scope.elements) && reductionsOf(scope, outputs).length > 0 ? [INSIDE] : []),
    ...[...extents].map(
      (extent) => `let ${indexOf(extent, space)} = ${indexIn(layout.view, space, extent, "i")};`,
    ),
    ...ids.flatMap((id) => {
      const value = valueAt(kernel, id);
      const operands = value.args.map((arg) => names[arg] as string);
      const line = {
        load: () => `let ${names[id]} = ${printLoad(scope, value, space)};`,
        map: () => `let ${names[id]} = ${spell(value.op, operands, elements)};`,
        reduction: () =>
          `${names[id]} = ${combine(scope, value, names[id] as string, operands[0] as string)};`,
      }[parts[id] as string];
      return line ? [note(line(), `%${id} = ${printOperation(value)}`)] : [];
    }),
  ];
}

/** Padding counts for nothing where it is reduced. */
const INSIDE = "let inside = vec4u(end - i) > vec4u(0u, 1u, 2u, 3u);";

const INDICES: Partial<Record<Extent, string>> = {
  "[lead,row]": "i_row",
  "[lead,col]": "i_col",
  "[lead]": "i_slab",
};

function indexOf(extent: Extent, space: Extent): string {
  return extent === space ? "i" : (INDICES[extent] as string);
}

function printLoad({ places, layout, elements }: Scope, value: Value, space: Extent): string {
  const { base, binding, extent, total, role } = places.get(tensorName(value)) as Place;
  const index = indexOf(extent, space);
  const at = indexAt(elements, base, index);
  if (role === "grad") return `load_grad(${at})`;
  if (!total?.blocked) return `${variableOf(binding)}[${at}]`;
  const sizes = slabSizes(layout.view, extent);
  const size = productOf(sizes);
  const first =
    sizes.length === 0 ? `${index} * blocks` : `${index} / ${size} * blocks * ${size} + ${index} % ${size}`;
  return `${COMBINE[total.op].word}_blocks(${base} + ${first}, ${size}, blocks)`;
}

function combine(scope: Scope, value: Value, a: string, b: string): string {
  const { op, identity } = COMBINE[value.op as AxisTotal["op"]];
  const number = isWide(scope.elements)
    ? `select(${splat(scope.elements, literal(identity))}, ${b}, inside)`
    : b;
  return spell(op, [a, number], scope.elements) as string;
}

/** The stores of the outputs that are new contents; gradients do not obey the commit flag. */
export function printStores(walk: Walk): string[] {
  const [free, obeying] = [true, false].map((isFree) =>
    walk.outputs.filter(
      ({ target }) => target.endsWith("'") && (target === "grad'" || !walk.scope.guarded) === isFree,
    ),
  ) as [Output[], Output[]];
  const guarded = obeying.map((output) => printStore(walk, output));
  return [
    ...free.map((output) => printStore(walk, output)),
    ...(guarded.length > 0 ? ["if (commit) {", ...indent(guarded), "}"] : []),
  ];
}

function printStore({ scope }: Walk, output: Output): string {
  const { base, binding, role } = placeOf(scope, output) as Place;
  const number = scope.names[output.value];
  const at = indexAt(scope.elements, base, "i");
  const line =
    role === "grad" ? `store_grad(${at}, ${number});` : `${variableOf(binding)}[${at}] = ${number};`;
  return note(line, `${output.target} = %${output.value}`);
}

/** The variables that reductions go into. */
export function startReductions({ scope, outputs }: Walk): string[] {
  return reductionsOf(scope, outputs).map((id) => {
    const { identity } = COMBINE[valueAt(scope.kernel, id).op as AxisTotal["op"]];
    return `var ${scope.names[id]} = ${splat(scope.elements, literal(identity))};`;
  });
}

/** Combines them over the lanes of each team; lane 0 has the result. */
export function finishReductions({ scope, outputs }: Walk, team: string): string[] {
  return reductionsOf(scope, outputs).map((id) => {
    const { word } = COMBINE[valueAt(scope.kernel, id).op as AxisTotal["op"]];
    const name = scope.names[id] as string;
    const number = isWide(scope.elements) ? `${word}_across(${name})` : name;
    return `${resultOf(scope, id)} = ${word}_lanes(${number}, thread, ${team});`;
  });
}

/** Where lane 0 finds it. */
export function resultOf(scope: Scope, id: ValueId): string {
  return `${scope.names[id]}${isWide(scope.elements) ? ".x" : ""}`;
}

function reductionsOf({ parts }: Scope, outputs: readonly Output[]): ValueId[] {
  return [...new Set(outputs.map(({ value }) => value).filter((id) => parts[id] === "reduction"))];
}

export function isShare({ kernel }: Scope, { value }: Output): boolean {
  return isLevel(valueAt(kernel, value).type.extent);
}

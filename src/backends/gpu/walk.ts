/**
 * The walk of one space of a kernel, by the threads of a workgroup, over what a chunk has of it. A chunk has a run of elements,
 * and so of any narrower space: a slab's rows, columns and itself belong to the chunk in which it begins.
 *
 * First the reductions over axes (teams.ts), then what is computed place by place:
 *
 *     for (var i = first + thread; i < end; i += 32u) { … }       threads next to each other touch numbers next to each other
 */
import { ELEMENT, type Extent } from "../../ir/extent.ts";
import { type Output, valueAt } from "../../ir/module.ts";
import { neededBy } from "../../ir/slice.ts";
import { indent } from "../common/text.ts";
import {
  finishReductions,
  isShare,
  printBody,
  printStores,
  resultOf,
  startReductions,
  type Walk,
} from "./body.ts";
import { placeOf, placeRead, type Scope } from "./scope.ts";
import { lineSizes, productOf, slabSizes } from "./spaces.ts";
import { printTeams } from "./teams.ts";

export function printWalks(scope: Scope, space: Extent, outputs: readonly Output[]): string[] {
  const isOverAxes = (output: Output) => placeOf(scope, output)?.total !== undefined;
  const targets = new Set(
    outputs.filter(isOverAxes).map(({ value }) => valueAt(scope.kernel, value).type.extent),
  );
  const teams = [...targets].map((extent): Walk => {
    const here = (output: Output) =>
      isOverAxes(output) && valueAt(scope.kernel, output.value).type.extent === extent;
    return { scope, space, outputs: outputs.filter(here), wide: false };
  });
  const map: Walk = {
    scope,
    space,
    outputs: outputs.filter((output) => !isOverAxes(output)),
    wide: scope.wide && space === ELEMENT,
  };
  return [
    ...teams.flatMap(printTeams),
    ...(teams.some((walk) => readsWhat(map, walk))
      ? ["", `${scope.language.barrier} // what was read above is written below`]
      : []),
    ...(map.outputs.length > 0 ? printMap(map) : []),
  ];
}

/** Whether `later` writes what `walk` reads, possibly by another thread. */
function readsWhat(later: Walk, { scope, outputs }: Walk): boolean {
  const written = new Set(later.outputs.map((output) => placeOf(scope, output)));
  return neededBy(scope.kernel, outputs).some((id) => {
    const place = placeRead(scope, id);
    return place !== undefined && written.has(place);
  });
}

function printMap(walk: Walk): string[] {
  return ["", ...startReductions(walk), ...walk.scope.language.map(walk), ...printShares(walk)];
}

/** Place by place: threads next to each other take places next to each other, `width` at once. `before`: what each turn begins with. */
export function printLoop(walk: Walk, width = 1, before: readonly string[] = []): string[] {
  const { threads, loop } = walk.scope.language;
  const from = width === 1 ? "thread" : `${width}u * thread`;
  return [
    loop("i", `first + ${from}`, "end", `${width * threads}u`),
    ...indent([...before, ...printBody(walk), ...printStores(walk)]),
    "}",
  ];
}

function printShares(walk: Walk): string[] {
  const { scope, outputs } = walk;
  const { language, shares } = scope;
  const own = outputs.filter((output) => isShare(scope, output));
  if (own.length === 0) return [];
  const stores = own.map(
    ({ target, value }) =>
      `${language.table("partials")}[chunk.w * launch.stride + ${shares.get(target)}u] = ${resultOf(walk, value)}; // ${target}`,
  );
  return [
    "",
    "// This chunk's share of each total.",
    ...finishReductions(walk, "thread", `${language.threads}u`, "1u"),
    "if (thread == 0u) {",
    ...indent(stores),
    "}",
  ];
}

/** What a walk may ask of its chunk, in terms of the tensor's sizes: of elements (a, row) lines, of all else whole slabs. */
export function chunkOf(
  { layout: { view } }: Scope,
  space: Extent,
): (readonly [name: string, text: string])[] {
  if (view === "vector")
    return [
      ["first", "chunk.y"],
      ["end", "first + chunk.z"],
    ];
  if (space === ELEMENT) {
    const line = productOf(lineSizes(view));
    return [
      ["slab", "chunk.y / R"],
      ["block", "chunk.y % R / block_rows"],
      ["rows", "min(chunk.z, R)"],
      ["slabs", "chunk.z / rows"],
      ["first", `chunk.y * ${line}`],
      ["end", `first + chunk.z * ${line}`],
    ];
  }
  const places = slabSizes(view, space);
  const all = (slabs: string) => (places.length === 0 ? slabs : `${slabs} * ${productOf(places)}`);
  return [
    ["slab", "(chunk.y + R - 1u) / R"],
    ["slabs", "(chunk.y + chunk.z + R - 1u) / R - slab"],
    ["rows", "R"],
    ["first", all("slab")],
    ["end", `first + ${all("slabs")}`],
  ];
}

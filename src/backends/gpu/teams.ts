/**
 * Reductions over axes: a number for each row, column or slab. The workgroup's threads are teams of lanes; each team reduces one place
 * at a time, and its lanes share the numbers there are for it. How many lanes is fitted to the chunk.
 *
 *     sums of rows:       lanes next to each other take columns next to each other
 *     sums of columns:    teams next to each other take columns next to each other
 */
import { axesOf, ELEMENT, type Extent } from "../../ir/extent.ts";
import { valueAt } from "../../ir/module.ts";
import { indent } from "../common/text.ts";
import { finishReductions, printBody, startReductions, type Walk } from "./body.ts";
import { type Place, placeOf } from "./scope.ts";
import {
  countOf,
  type Group,
  groupsOf,
  offsetOf,
  productOf,
  type Span,
  sizesOf,
  slabSizes,
} from "./spaces.ts";

/** Lanes of a team at least, where they read what lies side by side. */
const ROW_LANES = 32;

/** All outputs of the walk are totals over one extent. */
export function printTeams(walk: Walk): string[] {
  const { scope, space, outputs } = walk;
  const to = valueAt(scope.kernel, outputs[0]?.value as number).type.extent;
  const spans = groupsOf(scope.layout.view, space, to).map((group) => spanOf(group, space));
  const kept = spans.filter((span) => span.kept);
  const reduced = spans.filter((span) => !span.kept);
  const alongRows = !axesOf(to).includes("col");
  const [lane, team, apart] = alongRows
    ? ["thread % lanes", "thread / lanes", "1u"]
    : ["thread / teams", "thread % teams", "teams"];
  const places = outputs.map((output) => placeOf(scope, output) as Place);
  const { language } = scope;
  const constant = (name: string, text: string) => language.constant("u32", name, text);
  const stores = outputs.map(({ target, value }, index) => {
    const text = language.store(walk, places[index] as Place, "to + place", scope.names[value] as string);
    return `${text} // ${target}`;
  });
  return [
    "",
    `{ // reductions to ${to}`,
    ...indent([
      constant("to", firstPlace(walk, to, places[0] as Place)),
      constant("places", countOf(kept)),
      constant("count", countOf(reduced)),
      constant("lanes", `lanes_for(places, count, ${alongRows ? ROW_LANES : 1}u)`),
      constant("teams", `${language.threads}u / lanes`),
      constant("lane", lane),
      constant("team", team),
      language.loop("at", "0u", "places", "teams"),
      ...indent([
        constant("place", "at + team"),
        ...startReductions(walk),
        "if (place < places) {",
        ...indent([
          constant("start", `first + ${offsetOf(kept, "place")}`),
          language.loop("k", "lane", "count", "lanes"),
          ...indent([constant("i", `start + ${offsetOf(reduced, "k")}`), ...printBody(walk)]),
          "}",
        ]),
        "}",
        ...finishReductions(walk, "lane", "lanes", apart),
        "if (place < places && lane == 0u) {",
        ...indent(stores),
        "}",
      ]),
      "}",
    ]),
    "}",
  ];
}

/** How many places of a group a chunk has: lines of a tensor, or whole slabs. */
function spanOf(group: Group, space: Extent): Span {
  const { counters } = group;
  const sizes = sizesOf(counters).filter((size) => size !== "R");
  const isLine = counters.includes("a") && counters.includes("row");
  if (isLine && space === ELEMENT) return { ...group, sizes: ["chunk.z", ...sizes] };
  const outer = counters.flatMap((counter) => ({ a: ["slabs"], row: ["rows"] })[counter as string] ?? []);
  return { ...group, sizes: [...outer, ...sizes] };
}

/** Where the chunk's first place is among the total's: of a blocked one, among those of its block. */
function firstPlace({ scope, space }: Walk, to: Extent, { total }: Place): string {
  const { view } = scope.layout;
  const sizes = slabSizes(view, to);
  const times = (factor: string, factors: readonly string[]) =>
    factors.length === 0 ? factor : `${factor} * ${productOf(factors)}`;
  if (total?.blocked) return times("(slab * blocks + block)", sizes);
  if (space !== ELEMENT) return times("slab", sizes);
  return times(
    "chunk.y",
    sizes.filter((size) => size !== "R"),
  );
}

/** Beside the graph: the value that is selected, or else the lines of source of the function. */
import type { Place } from "../../lineage.ts";
import type { SourceLines } from "../../sources.ts";
import { type Child, h } from "../dom.ts";
import type { Model } from "../model.ts";
import type { State } from "../state.ts";
import { LEVELS, levelOf, printed, titleOf } from "../words.ts";

export function details(model: Model, state: State, sources: SourceLines): Child {
  const { stage, func, selected } = state.view;
  if (selected === undefined) return functionDetails(model, state, sources);
  const value = model.value(stage, [func, selected]);
  return [
    h("h3", {}, h("code", {}, `%${selected} = ${printed(value)}`)),
    value.source !== undefined && sourceOf(value.source, sources),
    facts(factsOf(model, state, [func, selected])),
  ];
}

function factsOf(model: Model, state: State, place: Place): [name: string, said: Child[]][] {
  const { stage, func } = state.view;
  const value = model.value(stage, place);
  const links = (places: readonly Place[], at = stage) => places.map((one) => link(model, state, at, one));
  const here = (ids: readonly number[]) => links(ids.map((id) => [func, id]));
  const stored = model.func(stage, func).outputs.filter((output) => output.value === place[1]);
  return [
    ["type", [h("code", {}, value.type), h("span", { class: "muted" }, LEVELS[levelOf(value)].long)]],
    ["arguments", here(value.args)],
    ["used by", here(model.users(stage, place))],
    ["stored as", stored.map(({ target }) => h("code", { class: "stored" }, target))],
    ["filled by", links(model.writers(stage, place))],
    ["read by", links(model.readers(stage, place))],
    ["before", stage === 0 ? [] : before(model, state, place)],
    ["after", links(model.heirs(stage, place), stage + 1)],
  ];
}

function before(model: Model, state: State, place: Place): Child[] {
  const { stage } = state.view;
  const { from } = model.value(stage, place);
  const pass = model.stages[stage]?.name;
  if (!from) return [`new: ${pass} made it`];
  const isRewired = model.status(stage, place) === "rewired";
  return [
    link(model, state, stage - 1, from),
    isRewired && h("span", { class: "muted" }, `${pass} gave it other operands`),
  ];
}

function facts(rows: readonly [name: string, said: Child[]][]): HTMLElement {
  const shown = rows.filter(([, said]) => said.length > 0);
  return h(
    "dl",
    { class: "facts" },
    shown.map(([name, said]) => [h("dt", {}, name), h("dd", {}, said)]),
  );
}

/** A place to go to; elsewhere, with the stage or the function. */
function link(model: Model, state: State, stage: number, place: Place): HTMLElement {
  const { view } = state;
  const value = model.value(stage, place);
  const isHere = stage === view.stage && place[0] === view.func;
  const where = stage === view.stage ? titleOf(model.func(stage, place[0])) : model.stages[stage]?.name;
  return h(
    "button",
    { type: "button", class: `chip ${levelOf(value)}`, onclick: () => state.goTo(stage, place) },
    `%${place[1]} ${value.op}`,
    !isHere && h("small", {}, ` ${where}`),
  );
}

/** The position, and its line. */
function sourceOf(source: string, sources: SourceLines): HTMLElement {
  const [, file = "", line = "", column = ""] = /^(.+):(\d+):(\d+)$/.exec(source) ?? [];
  const text = lineOf(sources, file, line);
  return h(
    "figure",
    { class: "source" },
    h("figcaption", {}, source),
    text !== undefined && h("pre", {}, pointedAt(text, Number(column) - 1)),
  );
}

/** A line without its indent, what stands at a column marked: the operator, or the call's name. */
function pointedAt(text: string, column: number): Child {
  const token = /^(?:[\w.$]+|[^\w\s(]+|.)/.exec(text.slice(column))?.[0] ?? "";
  return [text.slice(0, column).trimStart(), h("mark", {}, token), text.slice(column + token.length)];
}

function lineOf(sources: SourceLines, file: string, line: string): string | undefined {
  return Object.hasOwn(sources, file) ? sources[file]?.[Number(line)] : undefined;
}

function functionDetails(model: Model, state: State, sources: SourceLines): Child {
  const { stage, func } = state.view;
  const { values, name } = model.func(stage, func);
  const lines = new Map<string, number[]>();
  values.forEach(({ source }, id) => {
    const line = source?.replace(/:\d+$/, "");
    if (line !== undefined) lines.set(line, [...(lines.get(line) ?? []), id]);
  });
  const sorted = [...lines].sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true }));
  return [
    h("h3", {}, `${titleOf(model.func(stage, func))} `, h("span", { class: "muted" }, name)),
    h("p", { class: "muted" }, "Lines of source, and the values that come of each."),
    h(
      "ul",
      { class: "lines plain" },
      sorted.map(([position, ids]) => h("li", {}, sourceLink(state, sources, position, ids))),
    ),
  ];
}

/** A line of source; a click marks what came of it. */
function sourceLink(
  state: State,
  sources: SourceLines,
  position: string,
  ids: readonly number[],
): HTMLElement {
  const [, file = "", line = ""] = /^(.+):(\d+)$/.exec(position) ?? [];
  const isMarked = ids.includes(state.view.marked[0] as number);
  return h(
    "button",
    {
      type: "button",
      title: position,
      "aria-pressed": String(isMarked),
      onclick: () => state.set({ selected: undefined, marked: isMarked ? [] : ids }),
    },
    h("span", { class: "position" }, `${file.split("/").at(-1)}:${line}`),
    h("code", {}, lineOf(sources, file, line)?.trim() ?? position),
    h("span", { class: "count" }, ids.length),
  );
}

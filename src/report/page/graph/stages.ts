/** The stages and the functions to choose from, each with what changed in it. */
import { type Child, h } from "../dom.ts";
import { counted } from "../format.ts";
import type { Difference } from "../model.ts";
import type { State } from "../state.ts";
import { titleOf } from "../words.ts";

export function stageLinks(state: State): Child {
  const { model, view } = state;
  const step = (by: number, label: string, name: string) =>
    h(
      "button",
      {
        type: "button",
        title: name,
        "aria-label": name,
        disabled: !model.stages[view.stage + by],
        onclick: () => state.goToStage(view.stage + by),
      },
      label,
    );
  const link = (name: string, index: number) =>
    h(
      "button",
      {
        type: "button",
        "aria-current": index === view.stage ? "step" : undefined,
        onclick: () => state.goToStage(index),
      },
      name,
      index > 0 && changes(model.totalDifference(index)),
    );
  return [
    h(
      "div",
      { class: "steps" },
      step(-1, "←", "the stage before (←)"),
      h(
        "ol",
        {},
        model.stages.map(({ name }, index) => h("li", {}, link(name, index))),
      ),
      step(1, "→", "the next stage (→)"),
    ),
    h("p", {}, state.models.length > 1 && moduleChoice(state), model.stages[view.stage]?.what),
  ];
}

function moduleChoice(state: State): HTMLElement {
  const choice = h(
    "select",
    { "aria-label": "module" },
    state.models.map(({ data }, index) => h("option", { selected: index === state.view.module }, data.title)),
  );
  choice.addEventListener("change", () => state.openModule(choice.selectedIndex));
  return choice;
}

export function functionLinks(state: State): Child {
  const { model, view } = state;
  const funcs = model.stages[view.stage]?.funcs ?? [];
  const link = (index: number) => {
    const func = model.func(view.stage, index);
    return h(
      "button",
      {
        type: "button",
        title: counted(func.values.length, "value"),
        "aria-current": index === view.func ? "true" : undefined,
        onclick: () => state.openFunction(index),
      },
      titleOf(func),
      h("small", {}, func.values.length, view.stage > 0 && changes(model.difference(view.stage, index))),
    );
  };
  const names = [...new Set(funcs.map(({ name }) => name))];
  return names.map((name) =>
    h(
      "section",
      {},
      h("h3", { title: name }, name || "all parameters"),
      funcs.map((func, index) => func.name === name && link(index)),
    ),
  );
}

function changes({ added, rewired, removed }: Difference): Child {
  const part = (count: number, sign: string, kind: string, what: string) =>
    count > 0 && h("b", { class: kind, title: `${count} ${what}` }, `${sign}${count}`);
  const parts = [
    part(added, "+", "new", "new"),
    part(removed, "−", "removed", "removed"),
    part(rewired, "~", "rewired", "with other operands"),
  ];
  const isSame = !parts.some(Boolean);
  return h(
    "span",
    { class: "changes" },
    parts,
    isSame && h("b", { class: "same", title: "nothing changed" }, "="),
  );
}

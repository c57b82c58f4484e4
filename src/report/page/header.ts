/** What was compiled, in a line and a row of numbers. */
import type { ReportData } from "../data.ts";
import { type Child, h } from "./dom.ts";
import { bytes, digits, short, times, whole } from "./format.ts";

export function header({ explanation, counts, parameters, modules }: ReportData): HTMLElement {
  const { optimizer, backend, launches, state, copies } = explanation;
  const [name = "", ...around] = optimizer.split(" + ");
  const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);
  const moved = sum(parameters.map((parameter) => parameter.moved));
  const ideal = sum(parameters.map((parameter) => parameter.ideal));
  const anElement = (total: number) => digits(counts.elements === 0 ? 0 : total / counts.elements);
  const kernels = new Set(modules.flatMap(({ texts }) => texts.map(({ text }) => text))).size;
  return h(
    "header",
    {},
    h(
      "div",
      { class: "name" },
      h("h1", {}, name),
      h("p", {}, around.length > 0 && `with ${around.join(", ")}, `, `on ${backend}`),
    ),
    h(
      "dl",
      { class: "tiles" },
      tile("launches a step", whole(launches)),
      tile("kernel texts", whole(kernels)),
      tile("parameters", whole(parameters.length)),
      tile("elements", short(counts.elements), whole(counts.elements)),
      tile(
        "bytes an element",
        [anElement(moved), h("small", {}, ` of ${anElement(ideal)} at least`)],
        times(moved, ideal),
      ),
      tile("state", bytes(sum(state.map((slot) => slot.bytes)))),
      tile("copied a step", bytes(sum(copies.map((copy) => copy.bytes)))),
      tile("compiled again", whole(counts.recompiled), undefined, counts.recompiled > 0 ? "warn" : "good"),
    ),
  );
}

function tile(name: string, number: Child, title?: string, mood = ""): HTMLElement {
  return h("div", { title, class: mood }, h("dt", {}, name), h("dd", {}, number));
}

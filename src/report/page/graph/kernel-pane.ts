/** The kernel beside the graph: the lines that compute what is selected. */
import type { Place } from "../../lineage.ts";
import { h } from "../dom.ts";
import type { Lines } from "../model.ts";
import type { State } from "../state.ts";
import { copyButton, KernelText } from "../text.ts";

export class KernelPane {
  readonly element = h("div", { class: "kernel-pane" });
  readonly #state: State;
  readonly #choice = h("select", { "aria-label": "kernel" });
  readonly #hint = h("p", { class: "muted hint" });
  readonly #holder = h("div", { class: "holder" });
  /** By data, since modules number their texts alike. */
  readonly #made = new Map<unknown, KernelText>();
  /** By text: the lines of what is selected. */
  #marked: ReadonlyMap<number, readonly number[]> = new Map();
  #shown = 0;

  constructor(state: State) {
    this.#state = state;
    const copy = copyButton(() => state.model.text(this.#shown).text);
    this.element.append(h("div", { class: "bar" }, this.#choice, copy), this.#hint, this.#holder);
    this.#choice.addEventListener("change", () => this.#show(Number(this.#choice.value)));
  }

  update(): void {
    const { model, view } = this.#state;
    const ids = view.selected === undefined ? view.marked : [view.selected];
    const found = ids.map((id) => model.lines(view.stage, [view.func, id]));
    this.#marked = merge(found.flatMap(({ lines }) => lines));
    const text = this.#best();
    this.element.classList.toggle("empty", text === undefined);
    if (text === undefined) {
      this.#hint.textContent = "The host runs this function; kernels read what it stores as scalars.";
      return;
    }
    this.#hint.textContent = hint(
      ids.length,
      this.#marked.size,
      found.flatMap(({ through }) => through),
    );
    this.#choice.replaceChildren(...model.data.texts.map((_, index) => this.#option(index)));
    this.#show(text);
  }

  #option(index: number): HTMLElement {
    const { name, phase } = this.#state.model.text(index);
    const lines = this.#marked.get(index)?.length;
    return h("option", { value: index }, `${name}, phase ${phase}${lines ? ` (${lines} marked)` : ""}`);
  }

  /** A text of the function that is shown, with marked lines if there are any; the one that is open, if it will do. */
  #best(): number | undefined {
    const own = this.#textsOfFunction();
    const marked = [...this.#marked.keys()];
    const both = own.filter((index) => this.#marked.has(index));
    const good = both.length > 0 ? both : marked.length > 0 ? marked : own;
    return good.includes(this.#shown) ? this.#shown : good[0];
  }

  #textsOfFunction(): number[] {
    const { model, view } = this.#state;
    const places = model.func(view.stage, view.func).values.map((_, value): Place => [view.func, value]);
    const heirs = new Set(
      places.flatMap((place) => model.follow(place, view.stage, model.last)).map(([func]) => func),
    );
    return model.data.texts.flatMap(({ funcs }, index) =>
      funcs.some((func) => heirs.has(func)) ? [index] : [],
    );
  }

  #show(index: number): void {
    const data = this.#state.model.text(index);
    const text = this.#made.get(data) ?? new KernelText(data, (place) => this.#pick(place));
    this.#made.set(data, text);
    this.#shown = index;
    this.#choice.value = String(index);
    if (text.element.parentNode !== this.#holder) this.#holder.replaceChildren(text.element);
    text.mark(this.#marked.get(index) ?? []);
  }

  /** To the value that a line computes: in the stage that is shown, if it is there already. */
  #pick(place: Place): void {
    const { model, view } = this.#state;
    const here = model.follow(place, model.last, view.stage)[0];
    if (here) this.#state.goTo(view.stage, here);
    else this.#state.goTo(model.last, place);
  }
}

function merge(found: readonly Lines[]): Map<number, number[]> {
  const lines = new Map<number, number[]>();
  for (const one of found) lines.set(one.text, [...(lines.get(one.text) ?? []), ...one.lines]);
  return lines;
}

function hint(selected: number, texts: number, through: readonly Place[]): string {
  if (selected === 0) return "Select a node to see its lines, or a line to see its node.";
  if (texts === 0) return "No kernel has a line of it.";
  const where = texts === 1 ? "" : `, in ${texts} kernels`;
  if (through.length === 0) return `Marked: the lines that compute it${where}.`;
  return `Marked: the lines that read it${where}; it has none of its own.`;
}

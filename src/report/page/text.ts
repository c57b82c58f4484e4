/** A kernel's text: lines that can be marked, and that say which value they compute. */
import type { Place } from "../lineage.ts";
import type { TextData } from "../lines.ts";
import { h } from "./dom.ts";
import { highlightLines } from "./highlight.ts";

/** About a letter's width in pixels. */
const LETTER = 7.2;

export class KernelText {
  readonly element: HTMLElement;
  readonly #lines: HTMLElement[];

  constructor({ text, language, lines, name, phase }: TextData, pick: (place: Place) => void) {
    const places = new Map(lines.map(({ line, func, value }) => [line, [func, value] as const]));
    this.#lines = highlightLines(text, language).map((nodes, index) => {
      const place = places.get(index);
      const line = h("div", { class: place ? "line linked" : "line", "data-number": index + 1 }, nodes, "\n");
      if (place) line.addEventListener("click", () => getSelection()?.isCollapsed !== false && pick(place));
      if (place) line.title = `%${place[1]}: show it in the graph`;
      return line;
    });
    this.element = h(
      "pre",
      { class: "code", tabindex: 0, "aria-label": `kernel ${name}, phase ${phase}` },
      this.#lines,
    );
    this.element.style.setProperty("--digits", String(String(this.#lines.length).length));
  }

  /** Marks lines, and brings the first of them into view. */
  mark(lines: readonly number[]): void {
    const wanted = new Set(lines);
    this.#lines.forEach((line, index) => {
      line.classList.toggle("marked", wanted.has(index));
    });
    const first = this.#lines[Math.min(...lines)];
    if (!first || this.element.clientHeight === 0) return;
    const indent = first.textContent?.search(/\S|$/) ?? 0;
    this.element.scrollTo({
      top: first.offsetTop - this.element.clientHeight / 3,
      left: Math.max(0, indent - 4) * LETTER,
    });
  }
}

export function copyButton(text: () => string): HTMLElement {
  const button = h("button", { type: "button", class: "copy" }, "Copy");
  button.addEventListener("click", async () => {
    button.textContent = await navigator.clipboard.writeText(text()).then(
      () => "Copied",
      () => "Not allowed here",
    );
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  return button;
}

/** The graph of one function at one stage, its details, and its kernel. */
import type { SourceLines } from "../../sources.ts";
import { h, nodesOf } from "../dom.ts";
import type { State, View } from "../state.ts";
import { LEVELS } from "../words.ts";
import { Canvas } from "./canvas.ts";
import { details } from "./details.ts";
import { KernelPane } from "./kernel-pane.ts";
import { layOut, type Node } from "./layout.ts";
import { functionLinks, stageLinks } from "./stages.ts";

export class GraphView {
  readonly element: HTMLElement;
  readonly #state: State;
  readonly #sources: SourceLines;
  readonly #canvas = new Canvas((node) => this.#pick(node));
  readonly #stages = h("nav", { class: "stages", "aria-label": "stages" });
  readonly #funcs = h("nav", { class: "funcs", "aria-label": "functions" });
  readonly #details = h("div", { class: "details" });
  readonly #kernel: KernelPane;
  readonly #showsRemoved = h("input", { type: "checkbox", checked: true });
  /** What is drawn; nothing yet. */
  #drawn: Pick<View, "module" | "stage" | "func"> | undefined;

  constructor(state: State, sources: SourceLines) {
    this.#state = state;
    this.#sources = sources;
    this.#kernel = new KernelPane(state);
    const drawing = h(
      "div",
      { class: "drawing" },
      this.#canvas.element,
      h("div", { class: "under" }, legend(), this.#tools()),
    );
    const side = h("div", { class: "side" }, this.#details, this.#kernel.element);
    this.element = h(
      "div",
      { class: "graph" },
      this.#stages,
      this.#funcs,
      h("div", { class: "panes" }, drawing, side),
    );
    this.#showsRemoved.addEventListener("change", () => this.#draw());
    state.listen(() => this.#update());
    this.element.addEventListener("shown", () => this.#update());
    addEventListener("keydown", (event) => this.#key(event));
  }

  /** Draws only where there is a size to draw in. */
  #update(): void {
    if (!this.element.isConnected) return;
    const { model, view } = this.#state;
    const { module, stage, func, selected, marked } = view;
    const drawn = this.#drawn;
    if (drawn?.module !== module || drawn.stage !== stage || drawn.func !== func) this.#draw();
    this.#canvas.mark(selected, marked);
    this.#canvas.reveal(selected === undefined ? marked : [selected]);
    this.#details.replaceChildren(...nodesOf([details(model, this.#state, this.#sources)]));
    this.#details.scrollTop = 0;
    this.#kernel.update();
  }

  #draw(): void {
    const { model, view } = this.#state;
    const { stage, func } = view;
    this.#drawn = view;
    this.#stages.replaceChildren(...nodesOf([stageLinks(this.#state)]));
    this.#funcs.replaceChildren(...nodesOf([functionLinks(this.#state)]));
    this.#canvas.draw(layOut(model, stage, func, this.#showsRemoved.checked), model, stage);
    this.#canvas.mark(view.selected, view.marked);
  }

  /** What is no more is shown where it was last. */
  #pick(node: Node | undefined): void {
    if (node?.kind === "removed") this.#state.goTo(this.#state.view.stage - 1, node.place);
    else this.#state.select(node?.place[1]);
  }

  #tools(): HTMLElement {
    const tool = (label: string, name: string, act: () => void) =>
      h("button", { type: "button", title: name, "aria-label": name, onclick: act }, label);
    return h(
      "div",
      { class: "tools" },
      tool("+", "larger (+)", () => this.#canvas.scaleBy(1.3)),
      tool("−", "smaller (-)", () => this.#canvas.scaleBy(1 / 1.3)),
      tool("fit", "all of it (0)", () => this.#canvas.showAll()),
      h("label", { title: "values of the stage before that are no more" }, this.#showsRemoved, "removed"),
    );
  }

  #key(event: KeyboardEvent): void {
    const act = this.#keys[event.key];
    if (!act || !this.element.isConnected || event.ctrlKey || event.metaKey || event.altKey) return;
    if (ownsKeys(event.target as Element)) return;
    event.preventDefault();
    act();
  }

  readonly #keys: Readonly<Record<string, () => void>> = {
    ArrowLeft: () => this.#state.goToStage(this.#state.view.stage - 1),
    ArrowRight: () => this.#state.goToStage(this.#state.view.stage + 1),
    ArrowUp: () => this.#state.walk("arguments"),
    ArrowDown: () => this.#state.walk("users"),
    Escape: () => this.#state.select(undefined),
    "+": () => this.#canvas.scaleBy(1.3),
    "-": () => this.#canvas.scaleBy(1 / 1.3),
    "0": () => this.#canvas.showAll(),
  };
}

/** Arrows belong to a text or a choice that has the focus. */
function ownsKeys(target: Element): boolean {
  return target.closest?.("select, input, .code, .details") != null;
}

function legend(): HTMLElement {
  const entry = (kind: string, what: string) => h("span", { class: kind }, h("i"), what);
  return h(
    "div",
    { class: "legend" },
    Object.entries(LEVELS).map(([name, { short }]) => entry(name, short)),
    entry("new", "new"),
    entry("rewired", "other operands"),
    entry("removed", "removed"),
  );
}

/** The drawing: nodes and edges as SVG, with pan and zoom. */
import { select } from "d3-selection";
import { type D3ZoomEvent, zoom, zoomIdentity } from "d3-zoom";
import { svg } from "../dom.ts";
import type { Model } from "../model.ts";
import { levelOf, printed } from "../words.ts";
import type { Edge, Layout, Node } from "./layout.ts";

/** The smallest scale at which labels can be read. */
const LEGIBLE = 0.62;

const MARKS = { new: "+", rewired: "~", removed: "−" } as const;

export class Canvas {
  readonly element = svg("svg", { class: "canvas", tabindex: 0, role: "application", "aria-label": "graph" });
  readonly #world = svg("g");
  readonly #zoom = zoom<SVGSVGElement, unknown>().scaleExtent([0.1, 3]);
  readonly #pick: (node: Node | undefined) => void;
  readonly #nodes = new Map<string, { readonly node: Node; readonly group: SVGGElement }>();
  readonly #edges: { readonly edge: Edge; readonly path: SVGPathElement }[] = [];
  #layout: Layout | undefined;

  constructor(pick: (node: Node | undefined) => void) {
    this.#pick = pick;
    this.element.append(this.#world);
    this.#zoom.on("zoom", ({ transform }: D3ZoomEvent<SVGSVGElement, unknown>) => {
      this.#world.setAttribute("transform", String(transform));
    });
    select(this.element).call(this.#zoom).on("dblclick.zoom", null);
    this.element.addEventListener("click", () => pick(undefined));
  }

  draw(layout: Layout, model: Model, stage: number): void {
    this.#layout = layout;
    this.#nodes.clear();
    this.#edges.length = 0;
    for (const edge of layout.edges) {
      const isGone = edge.to.startsWith("r");
      this.#edges.push({
        edge,
        path: svg("path", { class: isGone ? "edge removed" : "edge", d: edge.path }),
      });
    }
    for (const node of layout.nodes)
      this.#nodes.set(node.id, { node, group: this.#group(node, model, stage) });
    this.#world.replaceChildren(
      ...this.#edges.map(({ path }) => path),
      ...[...this.#nodes.values()].map(({ group }) => group),
    );
    this.#show(LEGIBLE);
  }

  #group(node: Node, model: Model, stage: number): SVGGElement {
    const { kind, place, title, x, y, width, height } = node;
    const value = model.value(kind === "removed" ? stage - 1 : stage, place);
    const status = kind === "removed" ? "removed" : kind === "value" ? model.status(stage, place) : "same";
    const group = svg(
      "g",
      {
        class: `node ${kind} ${levelOf(value)} ${status}`,
        transform: `translate(${x} ${y})`,
        "data-id": node.id,
      },
      svg(
        "title",
        {},
        kind === "output" ? `${title} = %${place[1]}` : `%${place[1]} = ${printed(value)}: ${value.type}`,
      ),
      svg("rect", { width, height, rx: kind === "output" ? height / 2 : 6 }),
      svg("text", { x: width / 2, y: kind === "output" ? 17 : 16, class: "op" }, title),
      kind !== "output" &&
        svg("text", { x: width / 2, y: 30, class: "id" }, `%${place[1]} ${value.type.replace(/[@[].*/, "")}`),
      status !== "same" && svg("circle", { cx: width, cy: 0, r: 8, class: "mark" }),
      status !== "same" && svg("text", { x: width, y: 4, class: "mark" }, MARKS[status]),
    );
    group.addEventListener("click", (event) => {
      event.stopPropagation();
      this.#pick(node);
    });
    return group;
  }

  /** Marks values, and of one selected its arguments and users. */
  mark(selected: number | undefined, marked: readonly number[]): void {
    const focus = selected === undefined ? undefined : `v${selected}`;
    const near = new Set<string>(focus ? [focus] : marked.map((id) => `v${id}`));
    for (const { edge, path } of this.#edges) {
      path.classList.toggle("in", edge.to === focus);
      path.classList.toggle("out", edge.from === focus);
      if (edge.to === focus) near.add(edge.from);
      if (edge.from === focus) near.add(edge.to);
    }
    this.element.classList.toggle("focused", near.size > 0);
    for (const [id, { group }] of this.#nodes) {
      group.classList.toggle("near", near.has(id));
      group.classList.toggle("selected", id === focus || marked.some((one) => id === `v${one}`));
    }
  }

  /** Moves to values that are out of sight: to their middle. */
  reveal(values: readonly number[]): void {
    const found = values.flatMap((value) => this.#nodes.get(`v${value}`) ?? []);
    const outer = this.element.getBoundingClientRect();
    const isSeen = found.every(({ group }) => {
      const { left, right, top, bottom } = group.getBoundingClientRect();
      return left >= outer.left && right <= outer.right && top >= outer.top && bottom <= outer.bottom;
    });
    if (isSeen) return;
    const middle = (ends: readonly number[]) => (Math.min(...ends) + Math.max(...ends)) / 2;
    const x = middle(found.flatMap(({ node }) => [node.x, node.x + node.width]));
    const y = middle(found.flatMap(({ node }) => [node.y, node.y + node.height]));
    select(this.element).call(this.#zoom.translateTo, x, y);
  }

  /** All of it, however small. */
  showAll(): void {
    this.#show(0);
  }

  /** `least`: no smaller than this; what does not fit then is below. */
  #show(least: number): void {
    const { width, height } = this.element.getBoundingClientRect();
    if (!this.#layout || width === 0) return;
    const all = Math.min(width / this.#layout.width, height / this.#layout.height);
    const scale = Math.min(1.1, Math.max(all, least));
    const x = (width - scale * this.#layout.width) / 2;
    const y = Math.max(0, (height - scale * this.#layout.height) / 2);
    select(this.element).call(this.#zoom.transform, zoomIdentity.translate(x, y).scale(scale));
  }

  scaleBy(factor: number): void {
    select(this.element).call(this.#zoom.scaleBy, factor);
  }
}

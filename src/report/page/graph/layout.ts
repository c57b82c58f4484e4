/** Where the nodes and edges of one function are drawn. */
import dagre from "@dagrejs/dagre";
import type { Place } from "../../lineage.ts";
import type { Model } from "../model.ts";
import { operation } from "../words.ts";

export interface Node {
  /** `v7` a value, `o0` an output, `r3 12` a value of the stage before that is no more. */
  readonly id: string;
  readonly kind: "value" | "output" | "removed";
  /** The value; of an output, the one that is stored. */
  readonly place: Place;
  readonly title: string;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Edge {
  readonly from: string;
  readonly to: string;
  /** As SVG has it. */
  readonly path: string;
}

export interface Layout {
  readonly nodes: readonly Node[];
  readonly edges: readonly Edge[];
  readonly width: number;
  readonly height: number;
}

/** Of the fonts that there are: a monospaced letter is so wide, in parts of its height. */
const LETTER = 0.61;
const FONT = 13;
const HEIGHT = { value: 38, output: 26, removed: 38 } as const;

export function layOut(model: Model, stage: number, func: number, showRemoved: boolean): Layout {
  const graph = new dagre.graphlib.Graph();
  graph.setGraph({
    rankdir: "TB",
    ranker: "tight-tree",
    nodesep: 12,
    ranksep: 32,
    edgesep: 6,
    marginx: 24,
    marginy: 24,
  });
  graph.setDefaultEdgeLabel(() => ({}));
  const nodes = nodesOf(model, stage, func, showRemoved);
  for (const node of nodes) {
    const width = Math.max(66, Math.ceil(node.title.length * FONT * LETTER) + 22);
    graph.setNode(node.id, { width, height: HEIGHT[node.kind] });
  }
  const known = new Set(nodes.map(({ id }) => id));
  for (const node of nodes)
    for (const from of sourcesOf(model, stage, node)) if (known.has(from)) graph.setEdge(from, node.id);
  dagre.layout(graph);
  const { width = 0, height = 0 } = graph.graph();
  const boxes = new Map(nodes.map(({ id }) => [id, boxOf(graph.node(id))]));
  const rows = new Set([...boxes.values()].map(({ y, height }) => Math.round(y + height / 2)));
  const edges = graph.edges().map(({ v, w }: { v: string; w: string }): Edge => {
    const between = (graph.edge(v, w).points ?? [])
      .slice(1, -1)
      .filter(({ y }: Point) => rows.has(Math.round(y)));
    return { from: v, to: w, path: pathOf(boxes.get(v) as Box, between, boxes.get(w) as Box) };
  });
  return { nodes: nodes.map((node) => ({ ...node, ...(boxes.get(node.id) as Box) })), edges, width, height };
}

interface Point {
  readonly x: number;
  readonly y: number;
}

interface Box extends Point {
  readonly width: number;
  readonly height: number;
}

function boxOf({ x = 0, y = 0, width = 0, height = 0 }: Partial<Box>): Box {
  return { x: x - width / 2, y: y - height / 2, width, height };
}

/** From the bottom of one node to the top of another: straight down between the nodes of the rows it crosses, bent in the gaps. */
function pathOf(from: Box, between: readonly Point[], to: Box): string {
  const half = HEIGHT.value / 2;
  let [x, y] = [from.x + from.width / 2, from.y + from.height];
  const bend = (toX: number, toY: number) => {
    const middle = (y + toY) / 2;
    const text = `C${x} ${middle} ${toX} ${middle} ${toX} ${toY}`;
    [x, y] = [toX, toY];
    return text;
  };
  const parts = [`M${x} ${y}`];
  for (const point of between) {
    parts.push(bend(point.x, point.y - half), `V${point.y + half}`);
    y = point.y + half;
  }
  return [...parts, bend(to.x + to.width / 2, to.y)].join("");
}

type Unplaced = Omit<Node, "x" | "y" | "width" | "height">;

function nodesOf(model: Model, stage: number, func: number, showRemoved: boolean): Unplaced[] {
  const { values, outputs } = model.func(stage, func);
  return [
    ...values.map(
      (value, id): Unplaced => ({ id: `v${id}`, kind: "value", place: [func, id], title: operation(value) }),
    ),
    ...outputs.map(
      ({ target, value }, index): Unplaced => ({
        id: `o${index}`,
        kind: "output",
        place: [func, value],
        title: target,
      }),
    ),
    ...(showRemoved ? model.removed(stage, func) : []).map(
      (place): Unplaced => ({
        id: removedId(place),
        kind: "removed",
        place,
        title: operation(model.value(stage - 1, place)),
      }),
    ),
  ];
}

const removedId = ([func, value]: Place) => `r${func} ${value}`;

/** What has an edge to a node. What is no more hangs below what its operands have become. */
function sourcesOf(model: Model, stage: number, { kind, place: [func, value] }: Unplaced): string[] {
  if (kind === "output") return [`v${value}`];
  if (kind === "value") return model.value(stage, [func, value]).args.map((arg) => `v${arg}`);
  return model.value(stage - 1, [func, value]).args.flatMap((arg) => {
    const heirs = model.heirs(stage - 1, [func, arg]);
    return [removedId([func, arg]), ...heirs.map(([, heir]) => `v${heir}`)];
  });
}

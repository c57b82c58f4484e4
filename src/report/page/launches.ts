/** The launches of a step in order. Lengths are bytes to move, which is what a step's time mostly is; no time was measured. */
import type { LaunchData } from "../launches.ts";
import { type Child, h, panel, table } from "./dom.ts";
import { bytes, counted } from "./format.ts";
import type { Model } from "./model.ts";

export function launchesPanel(model: Model, open: (func: number) => void): HTMLElement {
  const { launches, title } = model.data;
  return panel(
    title === "step" ? "Launches" : "Launches of a micro-step",
    "in order; lengths are bytes to move, no times are measured",
    timeline(launches),
    launchTable(model, open),
  );
}

function launchTable(model: Model, open: (func: number) => void): HTMLElement {
  const link = (index: number): Child =>
    h("button", { class: "link", type: "button", onclick: () => open(index) }, labelOf(model, index));
  return table(
    ["launch", "phase", "runs", "#bytes", "waits for", "leaves", "the host before it"],
    model.data.launches.map((launch, index) => [
      index + 1,
      launch.phase,
      list(launch.funcs.map(link)),
      launch.kind === "kernels" ? bytes(bytesOf(launch)) : "–",
      names(launch.waits),
      names(launch.leaves),
      list(launch.host.map(link)),
    ]),
  );
}

function labelOf(model: Model, index: number): string {
  const { kind, name } = model.func(model.last, index);
  return kind === "step" ? "step body" : kind === "scalars" ? `scalars of ${name}` : name;
}

function list(children: readonly Child[]): Child {
  return children.length === 0
    ? "–"
    : h(
        "ul",
        { class: "plain" },
        children.map((child) => h("li", {}, child)),
      );
}

function names(some: readonly string[]): Child {
  return some.length === 0 ? "–" : some.flatMap((name, index) => [index > 0 && ", ", h("code", {}, name)]);
}

function bytesOf({ bytes: parts }: LaunchData): number {
  return parts.reduce((sum, part) => sum + part.bytes, 0);
}

/** A column of the timeline: what the host does, what the device does in between, or a launch of kernels. */
interface Column {
  readonly width: string;
  readonly blocks: readonly { readonly lane: string; readonly element: HTMLElement }[];
}

/** A lane for the host, one for what a device computes in between, and one a class of parameters. */
function timeline(launches: readonly LaunchData[]): HTMLElement {
  const classes = [...new Set(launches.flatMap(({ bytes }) => bytes.map(({ className }) => className)))];
  const most = Math.max(1, ...launches.map(bytesOf));
  const columns = launches.flatMap((launch, index) => columnsOf(launch, index, classes, most));
  const used = new Set(columns.flatMap(({ blocks }) => blocks.map(({ lane }) => lane)));
  const lanes = [...["host", "device"].filter((lane) => used.has(lane)), ...classes];
  const grid = h("div", {
    class: "timeline",
    role: "img",
    "aria-label": "launches in order, as in the table below",
  });
  grid.style.gridTemplateColumns = ["max-content", ...columns.map(({ width }) => width)].join(" ");
  const place = (element: HTMLElement, lane: string, column: string) => {
    element.style.gridArea = `${lanes.indexOf(lane) + 1} / ${column}`;
    grid.append(element);
  };
  for (const lane of lanes) {
    place(h("div", { class: "rule" }), lane, "1 / auto / -1");
    place(h("div", { class: "lane" }, lane), lane, "1");
  }
  columns.forEach(({ blocks }, index) => {
    for (const { lane, element } of blocks) place(element, lane, String(index + 2));
  });
  return grid;
}

const NARROW = "1.5rem";

function columnsOf(launch: LaunchData, index: number, classes: readonly string[], most: number): Column[] {
  const host = { lane: "host", element: block("host", hostTitle(launch)) };
  const before = launch.host.length > 0 ? [{ width: NARROW, blocks: [host] }] : [];
  if (launch.kind === "programs") {
    const title = `launch ${index + 1}: programs on the device\n${waitTitle(launch)}`;
    return [...before, { width: NARROW, blocks: [{ lane: "device", element: block("device", title) }] }];
  }
  const total = bytesOf(launch);
  const blocks = launch.bytes.map(({ className, bytes: size }) => {
    const title = `launch ${index + 1}, ${className}: ${bytes(size)}\n${waitTitle(launch)}`;
    const element = block(`class c${classes.indexOf(className) % 4}`, title);
    element.style.setProperty("--share", String(total === 0 ? 1 : size / total));
    if (size / most > 0.1) element.append(bytes(size));
    return { lane: className, element };
  });
  return [...before, { width: `minmax(3.5rem, ${Math.max(0.02, total / most)}fr)`, blocks }];
}

function block(kind: string, title: string): HTMLElement {
  return h("div", { class: `block ${kind}`, title });
}

function hostTitle({ host, waits }: LaunchData): string {
  return `the host: ${counted(host.length, "program")}${waits.length > 0 ? `, from the totals ${waits.join(", ")}` : ""}`;
}

function waitTitle({ waits }: LaunchData): string {
  return waits.length > 0 ? `waits for ${waits.join(", ")}` : "waits for nothing";
}

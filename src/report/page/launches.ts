/** The launches of a step in order. Lengths are times where they were measured; else bytes to move, which is what time mostly is. */
import type { ReportData } from "../data.ts";
import type { LaunchData } from "../launches.ts";
import { type Child, h, panel, table } from "./dom.ts";
import { bytes, counted, duration, perSecond } from "./format.ts";
import type { Model } from "./model.ts";

export function launchesPanel(
  model: Model,
  profile: ReportData["profile"],
  open: (func: number) => void,
): HTMLElement {
  const { launches, title } = model.data;
  return panel(
    title === "step" ? "Launches" : "Launches of a micro-step",
    isTimed(launches) ? timesText(profile) : "in order; lengths are bytes to move, no times are measured",
    timeline(launches),
    launchTable(model, open),
  );
}

function isTimed(launches: readonly LaunchData[]): boolean {
  return launches.length > 0 && launches.every(({ milliseconds }) => milliseconds !== null);
}

function timesText(profile: ReportData["profile"]): string {
  const rate = profile?.memoryRate ? `; memory moves at ${perSecond(profile.memoryRate)}` : "";
  return `in order; lengths are times, medians of ${counted(profile?.steps ?? 0, "call")}${rate}`;
}

function launchTable(model: Model, open: (func: number) => void): HTMLElement {
  const link = (index: number): Child =>
    h("button", { class: "link", type: "button", onclick: () => open(index) }, labelOf(model, index));
  const { launches } = model.data;
  const timed = isTimed(launches);
  return table(
    [
      ...["launch", "phase", "runs", "#bytes"],
      ...(timed ? ["#time", "#moved at"] : []),
      ...["waits for", "leaves", "the host before it"],
    ],
    launches.map((launch, index) => [
      index + 1,
      launch.phase,
      list(launch.funcs.map(link)),
      launch.kind === "kernels" ? bytes(bytesOf(launch)) : "–",
      ...(timed ? [duration(launch.milliseconds ?? 0), rateOf(launch)] : []),
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

function rateOf(launch: LaunchData): string {
  const size = bytesOf(launch);
  return launch.milliseconds && size > 0 ? perSecond((1000 * size) / launch.milliseconds) : "–";
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
  const lengthOf = isTimed(launches) ? ({ milliseconds }: LaunchData) => milliseconds ?? 0 : bytesOf;
  const most = Math.max(Number.MIN_VALUE, ...launches.map(lengthOf));
  const columns = launches.flatMap((launch, index) =>
    columnsOf(launch, index, classes, lengthOf(launch) / most),
  );
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

/** `share`: of the longest launch. */
function columnsOf(launch: LaunchData, index: number, classes: readonly string[], share: number): Column[] {
  const host = { lane: "host", element: block("host", hostTitle(launch)) };
  const before = launch.host.length > 0 ? [{ width: NARROW, blocks: [host] }] : [];
  if (launch.kind === "programs") {
    const title = `launch ${index + 1}: programs on the device${timeTitle(launch)}\n${waitTitle(launch)}`;
    return [...before, { width: NARROW, blocks: [{ lane: "device", element: block("device", title) }] }];
  }
  const total = bytesOf(launch);
  const blocks = launch.bytes.map(({ className, bytes: size }) => {
    const title = `launch ${index + 1}, ${className}: ${bytes(size)}${timeTitle(launch)}\n${waitTitle(launch)}`;
    const element = block(`class c${classes.indexOf(className) % 4}`, title);
    element.style.setProperty("--share", String(total === 0 ? 1 : size / total));
    if ((share * size) / total > 0.1) element.append(labelOfBlock(launch, size));
    return { lane: className, element };
  });
  return [...before, { width: `minmax(3.5rem, ${Math.max(0.02, share)}fr)`, blocks }];
}

/** What several classes share of a launch's time is not known: there it says bytes. */
function labelOfBlock({ bytes: parts, milliseconds: time }: LaunchData, size: number): string {
  return time !== null && parts.length === 1 ? duration(time) : bytes(size);
}

function timeTitle({ milliseconds: time }: LaunchData): string {
  return time === null ? "" : `, ${duration(time)}`;
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

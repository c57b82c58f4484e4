/** A step at a glance: launches, bytes, and what else the compiler has to say. */
import type { ReportData } from "../data.ts";
import { bytesPanel } from "./bytes.ts";
import { type Child, h, panel, table } from "./dom.ts";
import { bytes, counted, digits, times, whole } from "./format.ts";
import { launchesPanel } from "./launches.ts";
import type { Model } from "./model.ts";

export function overview(
  data: ReportData,
  models: readonly Model[],
  open: (module: number, func: number) => void,
): HTMLElement {
  return h(
    "div",
    { class: "stack" },
    models.map((model, index) => [
      launchesPanel(model, data.profile, (func) => open(index, func)),
      bytesPanel(model),
    ]),
    h("div", { class: "columns" }, kernelsPanel(data), notesPanel(data)),
    parametersPanel(data),
  );
}

function kernelsPanel({ explanation: { classes, kernels, bytes: moved } }: ReportData): HTMLElement {
  return panel(
    "Classes and kernels",
    "a class is all parameters with the same flags and dtype",
    table(
      ["class", "#parameters", "#elements", "#bytes an element", "#at least"],
      classes.map(({ name, parameters, elements }, index) => [
        name,
        whole(parameters),
        whole(elements),
        digits(moved[index]?.moved ?? 0),
        digits(moved[index]?.ideal ?? 0),
      ]),
    ),
    table(
      ["kernel", "phase", "#values", "#arithmetic", "tensors"],
      kernels.map(({ name, phase, ops, arithmetic, tensors }) => [
        name,
        phase,
        ops,
        arithmetic,
        h(
          "span",
          { class: "names" },
          tensors.map((tensor) => h("code", {}, tensor)),
        ),
      ]),
    ),
  );
}

const WHY_SEVERAL =
  "a launch waits for the totals that those before it leave, and reads again what it needs: see the table above";

function notesPanel({ explanation, counts }: ReportData): HTMLElement {
  const { state, copies, scales, launches, device } = explanation;
  const notes: [title: string, said: Child][] = [
    [
      "calls",
      counts.steps === 0
        ? "no step was taken yet"
        : `${counted(counts.steps, "step")}; the last call took ${digits(counts.milliseconds)} ms of the host's time`,
    ],
    [
      "state",
      state.length === 0
        ? "none yet"
        : state.map((slot, index) => [index > 0 && ", ", h("code", {}, slot.name), ` ${bytes(slot.bytes)}`]),
    ],
    ["copies", copiesOf(copies)],
    ...(device ? [["device", deviceOf(device)] as [string, Child]] : []),
    ...scales.map(({ factors, parameters }): [string, Child] => [
      "scaled",
      `${Object.entries(factors)
        .map(([name, factor]) => `${name} × ${factor}`)
        .join(", ")}: ${counted(parameters.length, "parameter")}`,
    ]),
    ["launches", launches === 1 ? "all work is in one" : WHY_SEVERAL],
  ];
  return panel(
    "Notes",
    "",
    h(
      "dl",
      { class: "notes" },
      notes.map(([title, said]) => [h("dt", {}, title), h("dd", {}, said)]),
    ),
  );
}

function copiesOf(copies: ReportData["explanation"]["copies"]): Child {
  if (copies.length === 0) return "none";
  const total = copies.reduce((sum, copy) => sum + copy.bytes, 0);
  return h(
    "details",
    {},
    h(
      "summary",
      {},
      `${bytes(total)} a step: ${counted(copies.length, "tensor")} outside the backend's memory`,
    ),
    h(
      "ul",
      { class: "plain" },
      copies.map(({ what, parameter, bytes: size }) =>
        h("li", {}, `${what} `, h("code", {}, parameter), ` ${bytes(size)}`),
      ),
    ),
  );
}

function deviceOf({
  dispatches,
  copied,
  bound,
  copies,
  bytes: size,
  rule,
}: NonNullable<ReportData["explanation"]["device"]>): string {
  if (copied.length + bound.length === 0)
    return `${counted(dispatches, "dispatch", "dispatches")}, all tensors in arenas`;
  return `${counted(dispatches, "dispatch", "dispatches")}; ${counted(copied.length, "parameter")} copied (${counted(copies, "copy", "copies")}, ${bytes(size)}), ${whole(bound.length)} bound: ${rule}`;
}

function parametersPanel({ parameters }: ReportData): HTMLElement {
  const most = Math.max(1, ...parameters.map(({ moved }) => moved));
  const sorted = [...parameters].sort((a, b) => b.moved - a.moved);
  const element = panel(
    "Parameters",
    "by bytes a step",
    table(
      ["parameter", "shape", "class", "#group", "#elements", "#moved", "#× least", ""],
      sorted.map(({ name, shape, className, group, elements, moved, ideal }) => [
        h("code", { class: "long" }, name),
        h("code", {}, `[${shape.join(", ")}]`),
        className,
        group,
        whole(elements),
        bytes(moved),
        times(moved, ideal),
        h("i", { class: "share", "--share": moved / most }),
      ]),
    ),
  );
  element.classList.add("parameters");
  return element;
}

/** What was traced, compiled and planned, when and why. */

import type { StepEvent } from "../../step/events.ts";
import type { ReportData } from "../data.ts";
import { h, panel, table } from "./dom.ts";
import { counted } from "./format.ts";

export function eventsView({ events, counts }: ReportData): HTMLElement {
  const occasions = new Map<string, StepEvent[]>();
  for (const event of events) {
    const key = `${event.step} ${event.reason}`;
    occasions.set(key, [...(occasions.get(key) ?? []), event]);
  }
  return h(
    "div",
    { class: "stack" },
    h("p", { class: `verdict ${counts.recompiled > 0 ? "warn" : "good"}` }, verdict(counts)),
    [...occasions.values()].map(occasion),
  );
}

function verdict({ recompiled, steps }: ReportData["counts"]): string {
  if (recompiled > 0) return `${counted(recompiled, "kernel")} compiled after the first step.`;
  return steps === 0
    ? "Compiled; no step was taken yet."
    : `Nothing was compiled after the first step, in ${counted(steps, "step")}.`;
}

function occasion(events: readonly StepEvent[]): HTMLElement {
  const [{ step, reason, changes }] = events as [StepEvent];
  const total = events.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  const changed = table(
    ["what the plan depends on", "before", "after", "because"],
    changes.map(({ part, before, after, because }) => [
      part,
      side(before, "old"),
      side(after, "new"),
      because ?? "",
    ]),
  );
  return panel(
    `Before step ${step + 1}`,
    `${counted(events.length, "event")}, ${total.toFixed(1)} ms`,
    h("p", { class: "reason" }, reason),
    changes.length > 0 &&
      (step === 0 ? h("details", {}, h("summary", {}, "what it was compiled for"), changed) : changed),
    table(
      ["event", "kernel", "#milliseconds"],
      events.map(({ kind, kernel, milliseconds }) => [
        h("span", { class: `kind ${kind}` }, kind),
        kernel ?? "",
        milliseconds.toFixed(3),
      ]),
    ),
  );
}

function side(value: string | undefined, kind: string) {
  return value === undefined ? h("span", { class: "none" }, "–") : h("code", { class: kind }, value);
}

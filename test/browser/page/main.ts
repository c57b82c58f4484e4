/** Trains in this page and shows what it took. */
import { type Growth, type Outcome, type Setup, train } from "./training.ts";

export interface Report {
  readonly isolated: boolean;
  /** Threads that may work on a step. */
  readonly threads: number;
  /** AdamW; AdamW again, on one thread; the page's own optimizer; that one again, on one thread. */
  readonly runs: readonly { readonly setup: Setup; readonly threads: number; readonly outcome: Outcome }[];
}

declare global {
  /** For the console, and for the test. */
  var stepjit: { readonly report: Promise<Report>; readonly train: typeof train };
}

const isolated = crossOriginIsolated;
const threads = isolated ? navigator.hardwareConcurrency : 1;

async function trainAll(): Promise<Report> {
  const runs = [];
  for (const setup of ["AdamW", "Damped"] as const) {
    runs.push({ setup, threads, outcome: await train(setup, { grow: setup === "AdamW" }) });
    runs.push({ setup, threads: 1, outcome: await train(setup, { threads: 1 }) });
  }
  return { isolated, threads, runs };
}

function show({ runs }: Report): void {
  element("#setting").textContent = [
    `Cross-origin isolated: ${isolated ? "yes" : "no"}`,
    `threads: ${threads}`,
    `backend: ${runs[0]?.outcome.backend}`,
  ].join(" · ");
  showTable(
    [
      "optimizer",
      "threads",
      "ms a step",
      "traces",
      "kernels compiled",
      "launches a step",
      "parameters (SHA-256)",
    ],
    runs.map(({ setup, threads, outcome }) => [
      setup,
      threads,
      outcome.milliseconds.toFixed(2),
      outcome.traces,
      outcome.kernels,
      outcome.launches,
      outcome.parameters.slice(0, 12),
    ]),
  );
  element("#growth").textContent = growthText(runs.find(({ outcome }) => outcome.growth)?.outcome.growth);
  element("#refusal").textContent = runs[0]?.outcome.refusal ?? "";
}

function showTable(head: readonly string[], rows: readonly (readonly (string | number)[])[]): void {
  const table = element("#runs") as HTMLTableElement;
  const addRow = (tag: "th" | "td", cells: readonly (string | number)[]) => {
    const row = table.insertRow();
    for (const text of cells) row.appendChild(document.createElement(tag)).textContent = String(text);
  };
  addRow("th", head);
  for (const row of rows) addRow("td", row);
}

function growthText(growth: Growth | undefined): string {
  if (!growth) return "";
  const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  return (
    `Memory grew between two steps, from ${mebibytes(growth.before)} to ${mebibytes(growth.after)}: ` +
    `older views ${growth.detached ? "were cut off" : "stayed"}, tensor.data ${growth.intact ? "is right" : "is WRONG"}.`
  );
}

function element(selector: string): Element {
  return document.querySelector(selector) as Element;
}

const report = trainAll();
globalThis.stepjit = { report, train };
show(await report);

/** What was compiled since the page was opened: the counters, and a line for every event with its reason. */
import type { StepEvent } from "stepjit";
import type { CompiledOptimizer } from "stepjit/tfjs";
import { element } from "./element.ts";

const COUNTERS = ["traces", "kernels", "plans"] as const;

export class Journal {
  readonly #before = { traces: 0, kernels: 0, plans: 0 };
  #optimizer: CompiledOptimizer | undefined;
  #label = "";
  #seen = 0;

  /** Goes on with another optimizer; what the one before had counted stays. */
  follow(label: string, optimizer: CompiledOptimizer): void {
    const stats = this.#optimizer?.step?.stats;
    for (const counter of COUNTERS) this.#before[counter] += stats?.[counter] ?? 0;
    this.#optimizer = optimizer;
    this.#label = label;
    this.#seen = 0;
  }

  /** Shows what is new, and says whether anything is. */
  update(): boolean {
    const { events, stats } = this.#optimizer?.step ?? {};
    const added = events?.slice(this.#seen) ?? [];
    this.#seen += added.length;
    for (const event of added) element("log").prepend(line(this.#label, event));
    for (const counter of COUNTERS) count(element(counter), this.#before[counter] + (stats?.[counter] ?? 0));
    return added.length > 0;
  }
}

function line(label: string, { kind, kernel, step, reason, milliseconds }: StepEvent): HTMLLIElement {
  const item = document.createElement("li");
  const what = document.createElement("b");
  what.textContent = `${label}, step ${step}: ${kind}${kernel === undefined ? "" : ` ${kernel}`}`;
  item.append(what, ` ${reason} `, `(${milliseconds.toFixed(2)} ms)`);
  return item;
}

/** A number that has changed lights up. */
function count(target: HTMLElement, value: number): void {
  if (target.textContent === String(value)) return;
  target.textContent = String(value);
  target.animate({ backgroundColor: ["var(--flash)", "transparent"] }, { duration: 1200, easing: "ease-in" });
}

/**
 * stepjit/report: a compiled step as one HTML file, to be opened from disk. Needs Node, for the page and for lines of source.
 *
 * @module stepjit/report
 */
import { readFileSync } from "node:fs";
import type { Step } from "../compile.ts";
import { StepjitError } from "../error.ts";
import { engineOf } from "../step/engines.ts";
import { reportData } from "./data.ts";
import { fillPage } from "./fill.ts";

/** Built beside this file; tests, which run on the sources, find it there too. */
const PAGE = new URL("../../dist/report/page.html", import.meta.url);

/**
 * The HTML of a report on a step as it is now: the graph after each pass, kernels, launches, bytes, and events with their reasons. It
 * asks for nothing from outside. Throws `invalid-option` for what is no step, or one that was disposed.
 *
 * @example
 * ```ts
 * import { report } from "stepjit/report";
 * writeFileSync("step.html", report(step));
 * ```
 */
export function report(step: Step): string {
  const engine = typeof step === "function" ? engineOf(step) : undefined;
  if (!engine)
    throw new StepjitError(
      "invalid-option",
      "report takes a step, which is what compileStep(optimizer) gives",
    );
  try {
    return fillPage(readFileSync(PAGE, "utf8"), reportData(engine));
  } catch (error) {
    if (!(error instanceof StepjitError) || error.code !== "disposed") throw error;
    throw new StepjitError("invalid-option", `report takes a step that is in use: ${error.message}`, {
      cause: error,
    });
  }
}

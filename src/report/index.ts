/**
 * stepjit/report: a compiled step as one HTML file, to be opened from disk. Needs Node, for the page and for lines of source.
 *
 * @module stepjit/report
 */
import { readFileSync } from "node:fs";
import type { Step } from "../compile.ts";
import { StepjitError } from "../error.ts";
import type { Profile } from "../inspect/profile.ts";
import { engineOf } from "../step/engines.ts";
import { reportData } from "./data.ts";
import { fillPage } from "./fill.ts";

/** Built beside this file; tests, which run on the sources, find it there too. */
const PAGE = new URL("../../dist/report/page.html", import.meta.url);

/**
 * The HTML of a report on a step as it is now: the graph after each pass, kernels, launches, bytes, and events with their reasons; with a
 * profile of the step, how long its launches take. It asks for nothing from outside. Throws `invalid-option` for what is no step, or
 * one that was disposed, and for a profile of another one.
 *
 * @example
 * ```ts
 * import { report } from "stepjit/report";
 * writeFileSync("step.html", report(step, await step.profile(() => step(gradients))));
 * ```
 */
export function report(step: Step, profile?: Profile): string {
  const engine = typeof step === "function" ? engineOf(step) : undefined;
  if (!engine)
    throw new StepjitError(
      "invalid-option",
      "report takes a step, which is what compileStep(optimizer) gives",
    );
  if (profile && profile.optimizer !== engine.optimizer.definition.name)
    throw new StepjitError(
      "invalid-option",
      `report was given a profile of ${profile.optimizer} for a step of ${engine.optimizer.definition.name}`,
    );
  try {
    return fillPage(readFileSync(PAGE, "utf8"), reportData(engine, profile));
  } catch (error) {
    if (!(error instanceof StepjitError) || error.code !== "disposed") throw error;
    throw new StepjitError("invalid-option", `report takes a step that is in use: ${error.message}`, {
      cause: error,
    });
  }
}

import type { Module } from "../ir/module.ts";
import { verifyModule } from "../ir/verify.ts";
import { batch } from "./batch.ts";
import { eliminateCommonSubexpressions } from "./cse.ts";
import { eliminateDeadCode } from "./dce.ts";
import { fuse } from "./fuse.ts";
import { hoist } from "./hoist.ts";
import { schedule } from "./schedule.ts";
import { simplify } from "./simplify.ts";

export interface Pass {
  readonly name: string;
  readonly run: (module: Module) => Module;
}

/** The passes in order. `fused` names what comes out before kernels are cut, `kernels` what backends print. */
export const PASSES = [
  { name: "simplify", run: simplify },
  { name: "cse", run: eliminateCommonSubexpressions },
  { name: "dce", run: eliminateDeadCode },
  { name: "hoist", run: hoist },
  { name: "schedule", run: schedule },
  { name: "fuse", run: fuse },
  { name: "batch", run: batch },
] as const satisfies readonly Pass[];

/** The passes by name, in order. */
export type PassName = (typeof PASSES)[number]["name"];

/** Runs all passes; `after` sees what each one left, and what it began with. Every pass leaves a module that verifies. */
export function runPasses(
  module: Module,
  after?: (pass: Pass, module: Module, before: Module) => void,
): Module {
  return PASSES.reduce((before: Module, pass) => {
    const result = pass.run(before);
    verifyModule(result);
    after?.(pass, result, before);
    return result;
  }, module);
}

/** What one of the passes leaves of a module; the pass before it left what it began with. */
export function moduleAfter(name: PassName, module: Module): Module {
  const results = new Map<string, Module>();
  runPasses(module, (pass, result) => results.set(pass.name, result));
  return results.get(name) as Module;
}

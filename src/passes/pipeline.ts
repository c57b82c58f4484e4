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
export const PASSES: readonly Pass[] = [
  { name: "simplify", run: simplify },
  { name: "cse", run: eliminateCommonSubexpressions },
  { name: "dce", run: eliminateDeadCode },
  { name: "hoist", run: hoist },
  { name: "schedule", run: schedule },
  { name: "fuse", run: fuse },
  { name: "batch", run: batch },
];

/** Runs all passes; `after` sees the module after each one. Every pass leaves a module that verifies. */
export function runPasses(module: Module, after?: (pass: Pass, module: Module) => void): Module {
  return PASSES.reduce((before, pass) => {
    const result = pass.run(before);
    verifyModule(result);
    after?.(pass, result);
    return result;
  }, module);
}

import { StepjitError } from "../error.ts";
import type { Module } from "../ir/module.ts";
import { printModule } from "../ir/print.ts";
import { show } from "../optim/hyper.ts";
import { moduleAfter, PASSES, type PassName } from "../passes/pipeline.ts";
import type { Compiled } from "../step/cache.ts";
import { counted } from "../step/counted.ts";
import type { Engine } from "../step/engine.ts";
import { modulesOf, type Planned } from "../step/planner.ts";

/**
 * - `module`: as traced; then, in order, what each pass leaves of it: `simplify`, `cse`, `dce`, `hoist`, `schedule`, `fuse`, `batch`
 * - `fused`: after all of them, with what the backend wants done besides; `kernels`: only what the backend prints
 * - `text`: what the backend compiles, WAT or WGSL; `plan`: which tensors are touched, by which kernels, in which chunks
 */
export type DumpStage = "module" | PassName | "fused" | "kernels" | "text" | "plan";

const STAGES: Stages<DumpStage> = {
  module: ({ planned }) => print(planned, ({ traced }) => traced),
  ...stagesOfPasses(),
  fused: ({ planned }) => print(planned, ({ module }) => module),
  kernels: ({ planned }) => print(planned, ({ module }) => onlyKernels(module)),
  text: ({ planned }) => {
    const kernels = modulesOf(planned).flatMap(({ kernels }) => kernels);
    return [...new Set(kernels.map(({ text }) => text))].join("\n\n");
  },
  plan: dumpPlan,
};

export const STAGE_NAMES = Object.keys(STAGES) as readonly DumpStage[];

export function dump(engine: Engine, stage: DumpStage): string {
  if (!Object.hasOwn(STAGES, stage))
    throw new StepjitError(
      "invalid-option",
      `dump: no stage ${show(stage)}; there are ${STAGE_NAMES.join(", ")}`,
    );
  return STAGES[stage](engine);
}

type Stages<Stage extends string> = Readonly<Record<Stage, (engine: Engine) => string>>;

function stagesOfPasses(): Stages<PassName> {
  const stages = PASSES.map(({ name }) => [
    name,
    ({ planned }: Engine) => print(planned, ({ traced }) => moduleAfter(name, traced)),
  ]);
  return Object.fromEntries(stages);
}

/** The step's module, and the micro-step's where there is one. */
function print(planned: Planned, pick: (compiled: Compiled) => Module): string {
  return modulesOf(planned)
    .map(({ compiled }) => printModule(pick(compiled)))
    .join("\n\n");
}

function onlyKernels(module: Module): Module {
  return { ...module, funcs: module.funcs.filter(({ kind }) => kind === "kernel") };
}

function dumpPlan({ planned, optimizer }: Engine): string {
  const { plan } = planned;
  const { layouts } = planned.compiled;
  const classes = layouts.map(
    ({ name, roles, scalarTypes }, index) =>
      `class ${index} "${name}": ${roles.join(", ")}; ${scalarTypes.length} scalars`,
  );
  const width = Math.max(...optimizer.parameters.map(({ name }) => name.length));
  const tensors = optimizer.parameters.map(
    ({ name, elements, classIndex, group, tensor }, index) =>
      `tensor ${index} ${name.padEnd(width)} [${tensor.shape}] ${elements} elements, class ${classIndex}, group ${group}`,
  );
  const size = `${counted(plan.chunkCount, "chunk")}, ${counted(plan.launches, "launch", "launches")}`;
  return [...classes, ...tensors, size].join("\n");
}

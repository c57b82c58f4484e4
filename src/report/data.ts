/** What a report shows, as plain data: the page of `src/report/page` reads nothing else. */
import type { Explanation } from "../inspect/explain.ts";
import { explain } from "../inspect/explain.ts";
import type { Profile } from "../inspect/profile.ts";
import type { Engine } from "../step/engine.ts";
import type { StepEvent } from "../step/events.ts";
import { modulesOf, type PlannedModule } from "../step/planner.ts";
import { type LaunchData, launchesOf, type TimeOf, timesIn } from "./launches.ts";
import { linesOf, type TextData } from "./lines.ts";
import { type SourceLines, sourceLines } from "./sources.ts";
import { type StageData, stagesOf } from "./stages.ts";
import { type TensorBytes, tensorBytes } from "./traffic.ts";

export interface ReportData {
  readonly explanation: Omit<Explanation, "toString">;
  readonly counts: {
    readonly steps: number;
    /** Milliseconds of the last call, on the host's clock; 0 before the first. */
    readonly milliseconds: number;
    readonly bytesCopied: number;
    /** Kernels that had to be compiled after the first step. */
    readonly recompiled: number;
    readonly elements: number;
  };
  /** The step, and the micro-step where calls only add up gradients. */
  readonly modules: readonly ModuleData[];
  readonly parameters: readonly ParameterData[];
  /** What launches were timed in; null where they were not. */
  readonly profile: { readonly steps: number; readonly memoryRate: number | null } | null;
  readonly events: readonly StepEvent[];
  /** The lines that made the modules' values, where their files could be read. */
  readonly sources: SourceLines;
}

export interface ModuleData {
  readonly title: string;
  readonly stages: readonly StageData[];
  readonly texts: readonly TextData[];
  readonly launches: readonly LaunchData[];
  readonly bytes: readonly TensorBytes[];
}

export interface ParameterData {
  readonly name: string;
  readonly shape: readonly number[];
  readonly className: string;
  readonly group: number;
  readonly elements: number;
  readonly moved: number;
  readonly ideal: number;
}

export function reportData(engine: Engine, profile?: Profile): ReportData {
  const { planned, events } = engine;
  const modules = modulesOf(planned);
  const stages = modules.map(({ compiled }) => stagesOf(compiled));
  return {
    explanation: { ...explain(engine) },
    counts: countsOf(engine),
    modules: modules.map((module, index) => {
      const title = index === 0 ? "step" : "micro-step";
      const own = stages[index] as readonly StageData[];
      return { title, ...dataOf(engine, module, own, timesIn(profile, title)) };
    }),
    parameters: parametersOf(engine),
    profile: profile?.clock ? { steps: profile.steps.length, memoryRate: profile.memoryRate } : null,
    events: [...events],
    sources: sourceLines(stages.flat()),
  };
}

function countsOf({ steps, milliseconds, bytesCopied, events, optimizer }: Engine): ReportData["counts"] {
  return {
    steps,
    milliseconds,
    bytesCopied,
    recompiled: events.filter(({ kind, step }) => kind === "kernel" && step > 0).length,
    elements: optimizer.parameters.reduce((sum, { elements }) => sum + elements, 0),
  };
}

function dataOf(engine: Engine, module: PlannedModule, stages: readonly StageData[], timeOf: TimeOf) {
  const { compiled, kernels } = module;
  const bytes = tensorBytes(engine, module);
  return {
    stages,
    texts: kernels.map((text) => linesOf(text, compiled.module, compiled.layouts)),
    launches: launchesOf(module, bytes, timeOf),
    bytes,
  };
}

function parametersOf({ optimizer, planned }: Engine): ParameterData[] {
  const { compiled, traffic } = planned;
  return optimizer.parameters.map(({ name, tensor, classIndex, group, elements, dims }) => ({
    name,
    shape: [...tensor.shape],
    className: compiled.layouts[classIndex]?.name ?? "",
    group,
    elements,
    moved: traffic[classIndex]?.moved(dims) ?? 0,
    ideal: traffic[classIndex]?.ideal(dims) ?? 0,
  }));
}

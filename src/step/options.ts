import type { Backend, Numerics } from "../backends/backend.ts";
import type { GradScaler } from "../optim/grad-scaler.ts";
import type { TransformDefinition } from "../trace/definition.ts";
import type { StepEvent } from "./events.ts";
import type { Log } from "./log.ts";

/** What to do when a kernel has to be compiled after the first step. */
export type OnRecompile = "warn" | "error" | ((event: StepEvent) => void);

export interface EngineOptions {
  readonly backend: Backend;
  readonly threads: number;
  readonly numerics: Numerics;
  readonly transforms: readonly TransformDefinition[];
  /** Of calls that only add up gradients; undefined where every call is a step. */
  readonly micro: readonly TransformDefinition[] | undefined;
  readonly scaler: GradScaler | undefined;
  readonly zeroGrad: boolean;
  readonly onRecompile: OnRecompile | undefined;
  readonly log: Log;
}

/**
 * Torch's learning-rate schedulers, for any hyperparameter. None of them ever makes a step compile.
 *
 * @module stepjit/schedulers
 */
export { ChainedScheduler } from "./chained.ts";
export {
  CosineAnnealingLR,
  type CosineAnnealingLROptions,
  CosineAnnealingWarmRestarts,
  type CosineAnnealingWarmRestartsOptions,
} from "./cosine.ts";
export type { CycledMomentumOptions } from "./cycled.ts";
export { CyclicLR, type CyclicLROptions } from "./cyclic.ts";
export { ExponentialLR, type ExponentialLROptions, PolynomialLR, type PolynomialLROptions } from "./decay.ts";
export { ConstantLR, type ConstantLROptions, LinearLR, type LinearLROptions } from "./factor.ts";
export { LambdaLR, type LambdaLROptions, MultiplicativeLR } from "./lambda.ts";
export type { LRScheduler, SchedulerOptions } from "./lr-scheduler.ts";
export { OneCycleLR, type OneCycleLROptions } from "./one-cycle.ts";
export { ReduceLROnPlateau, type ReduceLROnPlateauOptions } from "./plateau.ts";
export type { SchedulerStateDict } from "./saved.ts";
export type { EpochScheduler, Scheduler } from "./scheduler.ts";
export { SequentialLR, type SequentialLROptions } from "./sequential.ts";
export { MultiStepLR, type MultiStepLROptions, StepLR, type StepLROptions } from "./step.ts";
export { SWALR, type SWALROptions } from "./swa.ts";
export { type WarmupCosineOptions, warmupCosine } from "./warmup-cosine.ts";

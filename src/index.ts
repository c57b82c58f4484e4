/**
 * The public face of stepjit.
 *
 * @module stepjit
 */
export type { Backend, FloatArray, Numerics } from "./backends/backend.ts";
export { reference } from "./backends/reference/reference.ts";
export { type WasmBackend, type WasmOptions, wasm } from "./backends/wasm/index.ts";
export { type CompileOptions, compileStep, type Step, type StepStats } from "./compile.ts";
export { type ErrorCode, StepjitError } from "./error.ts";
export type { DumpStage } from "./inspect/dump.ts";
export type { Explanation } from "./inspect/explain.ts";
export type { Fusion } from "./inspect/fusion.ts";
export type { Profile, ProfiledEvent, ProfiledLaunch, ProfiledStep } from "./inspect/profile.ts";
export type { TraceEvent, TraceFile, TraceName, TraceSpan } from "./inspect/trace-event.ts";
export type { Extent } from "./ir/extent.ts";
export type { FloatType } from "./ir/type.ts";
export { type TensorData, tensor } from "./make-tensor.ts";
export { AdaBelief } from "./optim/adabelief.ts";
export { Adadelta } from "./optim/adadelta.ts";
export { Adafactor } from "./optim/adafactor.ts";
export { Adagrad } from "./optim/adagrad.ts";
export { Adam } from "./optim/adam.ts";
export { Adamax } from "./optim/adamax.ts";
export { AdamW } from "./optim/adamw.ts";
export { Adan } from "./optim/adan.ts";
export { ASGD } from "./optim/asgd.ts";
export { GradScaler, type GradScalerOptions, type GradScalerState } from "./optim/grad-scaler.ts";
export type { ParamGroup } from "./optim/group.ts";
export type {
  HookHandle,
  LoadStateDictPostHook,
  LoadStateDictPreHook,
  StateDictPostHook,
  StateDictPreHook,
  StepPostHook,
  StepPreHook,
} from "./optim/hooks.ts";
export { type HyperInput, type Scalar, scalar } from "./optim/hyper.ts";
export { LAMB } from "./optim/lamb.ts";
export { LARS } from "./optim/lars.ts";
export { Lion } from "./optim/lion.ts";
export type { LeftOut, LoadReport } from "./optim/load-report.ts";
export type { LoadOptions } from "./optim/load-state.ts";
export { NAdam } from "./optim/nadam.ts";
export {
  defineOptimizer,
  type GroupOptions,
  Optimizer,
  type OptimizerClass,
  type OptimizerOptions,
  type Params,
  type TypedOptimizer,
} from "./optim/optimizer.ts";
export type { ParamGroupInput, ParamList, TensorLike } from "./optim/parameter.ts";
export { RAdam } from "./optim/radam.ts";
export { RMSprop } from "./optim/rmsprop.ts";
export { Rprop } from "./optim/rprop.ts";
export { loadSafetensors, saveSafetensors } from "./optim/safetensors.ts";
export type { Scale, ScaleMatch } from "./optim/scales.ts";
export { ScheduleFreeAdamW } from "./optim/schedule-free.ts";
export { SGD } from "./optim/sgd.ts";
export type { SavedGroup, SavedState, SavedTensor, StateDict } from "./optim/state-dict.ts";
export type { PassName } from "./passes/pipeline.ts";
export type { SwaOptions } from "./step/around.ts";
export type { KeyChange, StepEvent } from "./step/events.ts";
export type { Gradient, Gradients } from "./step/gradients.ts";
export type { LogTopic } from "./step/log.ts";
export type { OnRecompile } from "./step/options.ts";
export type { Tensor, TensorDType } from "./tensor.ts";
export {
  type AnyDefinition,
  type AverageContext,
  count,
  type FlagValues,
  type HyperMember,
  type HyperNumbers,
  type HyperSpec,
  type HyperValue,
  type HyperValues,
  type OptimizerDefinition,
  type StateSpec,
  type UpdateContext,
  type Widened,
  type WidenedOrNull,
} from "./trace/definition.ts";

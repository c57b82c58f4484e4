/**
 * TensorFlow.js in and out: its optimizers compiled, and stepjit's optimizers with the face of a tf.Optimizer.
 *
 * @module stepjit/tfjs
 */
import type {
  AdadeltaOptimizer,
  AdagradOptimizer,
  AdamaxOptimizer,
  AdamOptimizer,
  MomentumOptimizer,
  RMSPropOptimizer,
  Optimizer as TfOptimizer,
} from "@tensorflow/tfjs-core";
import type { OptimizerClass, OptimizerOptions } from "../optim/optimizer.ts";
import type { HyperValues } from "../trace/definition.ts";
import type { StepOptions } from "./binding.ts";
import { type AnyOptimizerClass, faceOf } from "./faces.ts";
import { CompiledOptimizer } from "./optimizer.ts";

export type { StepOptions } from "./binding.ts";
export type { NamedTensor } from "./home.ts";
export type { CompiledOptimizer, VariableGradients } from "./optimizer.ts";
export { registerWebGpu, type WebGpuBackendClass } from "./register.ts";

/** Settings that Adam and Adamax have in common. */
export interface Betas {
  /** Decay of the first moment. */
  beta1: number;
  /** Decay of the second. */
  beta2: number;
  /** What keeps the division finite. */
  epsilon: number;
}

/** What can be read and assigned on a compiled optimizer of TensorFlow.js, by its class. */
export type TfSettings<O> = O extends AdamOptimizer
  ? Betas
  : O extends AdamaxOptimizer
    ? Betas & { decay: number }
    : O extends MomentumOptimizer
      ? { momentum: number; useNesterov: boolean }
      : O extends RMSPropOptimizer
        ? { decay: number; momentum: number; epsilon: number; centered: boolean }
        : O extends AdadeltaOptimizer
          ? { rho: number; epsilon: number }
          : O extends AdagradOptimizer
            ? { initialAccumulatorValue: number }
            : unknown;

/**
 * Compiles an optimizer of TensorFlow.js: same maths, same defaults, same weights, in one launch for all variables.
 *
 *     const optimizer = compileStep(tf.train.adam(1e-3));
 *     optimizer.minimize(() => loss(predict(xs), ys));
 *     optimizer.learningRate = 5e-4; // compiles nothing
 *
 * It works on the tfjs backends cpu, wasm and webgpu, in place, on float32 variables; state belongs to a variable's name. On webgpu a
 * step reads nothing back, and is not waited for. The optimizer given is disposed together with the compiled one. Throws `unsupported`
 * for other optimizers, `invalid-state` for one that has taken steps.
 */
export function compileStep<O extends TfOptimizer>(
  optimizer: O,
  options: StepOptions = {},
): CompiledOptimizer & TfSettings<O> {
  return new CompiledOptimizer(faceOf(optimizer), options, optimizer) as CompiledOptimizer & TfSettings<O>;
}

/**
 * Gives one of stepjit's optimizers, or one of your own from `defineOptimizer`, the face of a tf.Optimizer.
 *
 *     model.compile({ optimizer: compileOptimizer(AdamW, { lr: 1e-3, weightDecay: 0.05 }), loss });
 *
 * Options and defaults are the definition's own; each is a property of the result. Throws `invalid-hyperparameter`.
 */
export function compileOptimizer<H extends HyperValues, F extends string>(
  Optimizer: OptimizerClass<H, F>,
  options: OptimizerOptions<H, F> = {} as never,
  stepOptions: StepOptions = {},
): CompiledOptimizer & { -readonly [K in keyof H]: H[K] } & { [K in F]: boolean } {
  const { name, hyper, flags } = Optimizer.definition;
  const face = {
    className: name,
    optimizer: Optimizer as unknown as AnyOptimizerClass,
    options: options as Record<string, unknown>,
    shown: [...Object.keys(hyper), ...Object.keys(flags ?? {})],
    running: {},
  };
  return new CompiledOptimizer(face, stepOptions) as never;
}

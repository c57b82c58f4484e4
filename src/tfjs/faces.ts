/** What a compiled optimizer shows of itself to TensorFlow.js, and how a tf.Optimizer becomes that. */
import { engine, type Optimizer as TfOptimizer } from "@tensorflow/tfjs-core";
import { StepjitError } from "../error.ts";
import { show } from "../optim/hyper.ts";
import type { OptimizerClass } from "../optim/optimizer.ts";
import type { HyperValue, HyperValues } from "../trace/definition.ts";
import { Adadelta, Adagrad, Adam, Adamax, Momentum, RmsProp, Sgd } from "./definitions.ts";

export type AnyOptimizerClass = OptimizerClass<HyperValues, string>;
export type Settings = Readonly<Record<string, HyperValue | boolean>>;

/** A hyperparameter that tfjs advances by itself at every step of the optimizer. */
export interface Running {
  next(value: number, settings: Settings): number;
  /** Its value after a checkpoint of this many steps. */
  at(iterations: number, settings: Settings): number;
}

export interface Face {
  /** Under which tfjs serializes the optimizer. */
  readonly className: string;
  readonly optimizer: AnyOptimizerClass;
  readonly options: Readonly<Record<string, unknown>>;
  /** Settings that can be read and assigned, and make up the config. */
  readonly shown: readonly string[];
  readonly running: Readonly<Record<string, Running>>;
}

interface Known {
  readonly optimizer: unknown;
  readonly running?: Face["running"];
  readonly hidden?: () => Record<string, number>;
}

/** By tfjs's class name. */
const KNOWN: Readonly<Record<string, Known>> = {
  SGD: { optimizer: Sgd },
  Momentum: { optimizer: Momentum },
  RMSProp: { optimizer: RmsProp },
  Adagrad: { optimizer: Adagrad, hidden: () => ({ epsilon: engine().backend.epsilon() }) },
  Adadelta: { optimizer: Adadelta },
  Adam: { optimizer: Adam, running: { beta1Power: powerOf("beta1"), beta2Power: powerOf("beta2") } },
  Adamax: { optimizer: Adamax, running: { beta1Power: powerOf("beta1"), iteration: iteration() } },
};

/** tfjs multiplies its powers up in f32, which after some hundred steps is not what `**` gives. */
function powerOf(base: string): Running {
  const beta = (settings: Settings) => Math.fround(settings[base] as number);
  return {
    next: (value, settings) => Math.fround(value * beta(settings)),
    at: (iterations, settings) => Math.fround(beta(settings) ** (iterations + 1)),
  };
}

function iteration(): Running {
  return { next: (value) => value + 1, at: (iterations) => iterations };
}

/** Throws `unsupported` for what is not one of TensorFlow.js's own optimizers, `invalid-state` for one that has stepped. */
export function faceOf(optimizer: TfOptimizer): Face {
  const className = optimizer?.getClassName?.();
  const known = Object.hasOwn(KNOWN, className) ? KNOWN[className] : undefined;
  if (!known)
    throw new StepjitError(
      "unsupported",
      `compileStep: the optimizers of TensorFlow.js can be compiled (${Object.keys(KNOWN).join(", ")}), got ` +
        `${show(className ?? optimizer)}. For a definition of stepjit there is compileOptimizer(AdamW, { lr }).`,
    );
  if (optimizer.iterations > 0)
    throw new StepjitError(
      "invalid-state",
      `compileStep: this ${className} has taken ${optimizer.iterations} steps, and its state would be lost. Compile a new one and ` +
        "hand the state over: compiled.setWeights(await optimizer.getWeights())",
    );
  const config = optimizer.getConfig() as Record<string, number | boolean>;
  return {
    className,
    optimizer: known.optimizer as AnyOptimizerClass,
    options: { ...config, ...known.hidden?.() },
    shown: Object.keys(config),
    running: known.running ?? {},
  };
}

/** What compileStep's options put around the update, and in which order. */
import { StepjitError } from "../error.ts";
import { meanGradient, sumGradients } from "../optim/around/accumulate.ts";
import { exponentialAverage, stochasticAverage } from "../optim/around/average.ts";
import { clipByValue } from "../optim/around/clip-value.ts";
import { unscale } from "../optim/around/unscale.ts";
import { zeroGradients } from "../optim/around/zero-grad.ts";
import { clipByGlobalNorm } from "../optim/clip.ts";
import type { GradScaler } from "../optim/grad-scaler.ts";
import type { Scalar } from "../optim/hyper.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import { count, type TransformDefinition } from "../trace/definition.ts";

/** Which of a parameter's steps t are averaged: those with t > start that are a multiple of every. */
export interface SwaOptions {
  /** Default 0. */
  readonly start?: number | Scalar;
  /** Default 1. */
  readonly every?: number | Scalar;
}

/**
 * All that happens around the update, in one kernel with it. The numbers may be scalars; changing one never compiles anything.
 * Gradients go through accumulation, unscaling, `clipValue` and `clipNorm`, in this order.
 */
export interface AroundOptions {
  /** Scales all gradients so that their global norm is at most this. Default: no clipping. */
  readonly clipNorm?: number | Scalar;
  /** Clamps every element of every gradient to [-clipValue, clipValue], before `clipNorm`. Default: no clipping. */
  readonly clipValue?: number | Scalar;
  /**
   * Unscales the gradients by the scaler's scale, and skips the whole step where one of them is not finite: nothing is written then,
   * and no step counted. The scaler adapts after each step. A device tells later whether it skipped a step: the scaler adapts, and
   * `stats.skipped` counts, at the end of a later step or in `finished()`. Of several steps skipped under one scale, the first lowers it.
   */
  readonly scaler?: GradScaler;
  /**
   * Calls that make one step: its gradient is the mean over them (torch's users divide the loss instead). A call that does not
   * complete the step only adds up gradients; loading a state dict starts over. Default 1.
   */
  readonly accumulate?: number | Scalar;
  /** Keeps an exponential moving average of the weights, with this decay, as state `average`. Default: none. */
  readonly ema?: number | Scalar;
  /** Keeps the mean of the weights over some or all steps (stochastic weight averaging), as state `average`. Default: none. */
  readonly swa?: boolean | SwaOptions;
  /**
   * Zeroes the gradients once they have been used, also in a call that only adds them up or is skipped; no two parameters may share
   * one. Default false.
   */
  readonly zeroGrad?: boolean;
}

type Numbers = Readonly<Record<string, number | Scalar>>;

interface Around<T> {
  readonly transform: TransformDefinition;
  /** What stands for it in a call that only adds up gradients. */
  readonly micro?: TransformDefinition;
  /** The transform's hyperparameters. */
  readonly numbers: (value: T) => Numbers;
}

type Value<K extends keyof AroundOptions> = Exclude<NonNullable<AroundOptions[K]>, false>;

/** In the order in which gradients, and then weights, go through them. */
const AROUND: { readonly [K in keyof Required<AroundOptions>]: Around<Value<K>> } = {
  accumulate: { transform: meanGradient, micro: sumGradients, numbers: (accumulate) => ({ accumulate }) },
  scaler: { transform: unscale, numbers: ({ scale }) => ({ scale }) },
  clipValue: { transform: clipByValue, numbers: (clipValue) => ({ clipValue }) },
  clipNorm: { transform: clipByGlobalNorm, numbers: (clipNorm) => ({ clipNorm }) },
  ema: { transform: exponentialAverage, numbers: (ema) => ({ ema }) },
  swa: { transform: stochasticAverage, numbers: (swa) => (swa === true ? {} : { ...swa }) },
  zeroGrad: { transform: zeroGradients, micro: zeroGradients, numbers: () => ({}) },
};

/** What some options ask for. */
export interface Arrangement {
  readonly transforms: readonly TransformDefinition[];
  /** Of a call that only adds up gradients; undefined where every call is a step. */
  readonly micro: readonly TransformDefinition[] | undefined;
  /** Step-level hyperparameters by transform and name. */
  readonly numbers: Numbers;
}

/** Throws `invalid-option` for options that exclude each other, and where the optimizer has a slot of its own by the same name. */
export function arrange({ definition }: Optimizer, options: AroundOptions): Arrangement {
  const asked = (Object.keys(AROUND) as (keyof AroundOptions)[]).flatMap((option) => {
    const value = options[option];
    return value === undefined || value === false ? [] : [{ ...(AROUND[option] as Around<unknown>), value }];
  });
  if (options.ema !== undefined && options.swa)
    refuse("ema and swa both keep the average of a parameter: give one of them");
  for (const { transform } of asked)
    for (const slot of slotsOf(transform))
      if (Object.hasOwn(definition.state ?? {}, slot))
        refuse(`${definition.name} has a state ${slot} of its own, which ${transform.name} would need`);
  return {
    transforms: asked.map(({ transform }) => transform),
    micro: options.accumulate === undefined ? undefined : asked.flatMap(({ micro }) => micro ?? []),
    numbers: Object.fromEntries(
      asked.flatMap(({ transform, numbers, value }) =>
        Object.entries(numbers(value)).map(([name, number]) => [`${transform.name}.${name}`, number]),
      ),
    ),
  };
}

function slotsOf({ state = {}, buffers = [] }: TransformDefinition): string[] {
  return [...Object.keys(state).filter((name) => state[name] !== count), ...buffers];
}

function refuse(message: string): never {
  throw new StepjitError("invalid-option", `compileStep: ${message}`);
}

/** Options that are one number, by the name of its hyperparameter. */
export const NUMBERS = {
  clipNorm: "clip.clipNorm",
  clipValue: "clipValue.clipValue",
  accumulate: "accumulate.accumulate",
  ema: "ema.ema",
} as const;

/** Every optimizer that stepjit has, and what tests of all of them have to know of each. */
import type { Optimizer } from "stepjit";
import * as stepjit from "stepjit";
import type { AnyDefinition } from "../../src/trace/definition.ts";

/** A class of any of the optimizers: what their types tell apart is checked in types.test-d.ts. */
export interface AnyOptimizerClass {
  new (params: object, options?: object): Optimizer;
  readonly definition: AnyDefinition;
}

export interface Subject {
  /** With which the convex problem of training.ts is solved in 40 steps. Momentum is above 0: raising it from there compiles. */
  readonly options: Readonly<Record<string, unknown>>;
  /** How a second group differs: numbers and, where there are some, flags. */
  readonly second: Readonly<Record<string, unknown>>;
  /** Launches a step over parameters of mixed shapes; default 1: all is element-wise. */
  readonly launches?: number;
  /**
   * How many of them leave reductions to a level, which a device finishes in a dispatch of its own: over mixed shapes, and with clipNorm.
   * Default: all but the last.
   */
  readonly finished?: readonly [plain: number, clipped: number];
}

/** Dispatches a step on a device: launches, and what goes in between. */
export function dispatchesOf(
  { launches = 1, finished = [launches - 1, launches] }: Subject,
  clipped = false,
): number {
  return launches + (clipped ? 1 : 0) + finished[clipped ? 1 : 0];
}

/** By name. An optimizer that is missing here fails tests: see matrix.test.ts. */
export const SUBJECTS: Readonly<Record<string, Subject>> = {
  AdaBelief: { options: { lr: 0.1 }, second: { lr: 0.15, betas: [0.8, 0.99], amsgrad: true } },
  Adadelta: { options: { lr: 20 }, second: { lr: 15, rho: 0.8, eps: 1e-5 } },
  Adafactor: {
    options: { lr: 0.2, d: 1.5 },
    second: { lr: 0.1, beta2Decay: -0.5, eps: [1e-10, 1e-2], factorLargest: true },
    launches: 4,
    finished: [2, 3],
  },
  Adagrad: {
    options: { lr: 0.5, lrDecay: 1e-3, initialAccumulatorValue: 0.1 },
    second: { lr: 0.4, lrDecay: 1e-2, eps: 1e-6 },
  },
  Adam: { options: { lr: 0.1 }, second: { lr: 0.2, betas: [0.8, 0.99], amsgrad: true } },
  AdamW: { options: { lr: 0.1 }, second: { lr: 0.2, betas: [0, 0.99], eps: 1e-4, amsgrad: true } },
  Adamax: { options: { lr: 0.1 }, second: { lr: 0.2, betas: [0.8, 0.99] } },
  Adan: {
    options: { lr: 0.1, betas: [0.95, 0.9, 0.98] },
    second: { lr: 0.05, betas: [0.9, 0.8, 0.95], noProx: true },
  },
  ASGD: { options: { lr: 0.2, t0: 5 }, second: { lr: 0.1, lambd: 1e-2, alpha: 0.5, t0: 0 } },
  LAMB: {
    options: { lr: 0.1, betas: [0.8, 0.95] },
    second: { lr: 0.05, betas: [0.8, 0.99], adaptive: false },
    launches: 2,
  },
  LARS: {
    options: { lr: 50, momentum: 0.5, dampening: 0.1 },
    second: { lr: 0.1, momentum: 0.8, dampening: 0, nesterov: true, adaptive: false },
    launches: 2,
  },
  Lion: { options: { lr: 0.05, betas: [0.8, 0.95] }, second: { lr: 0.04, betas: [0.5, 0.9] } },
  NAdam: { options: { lr: 0.1 }, second: { lr: 0.15, betas: [0.8, 0.99], momentumDecay: 0.01 } },
  RAdam: { options: { lr: 0.1 }, second: { lr: 0.15, betas: [0.8, 0.9], decoupledWeightDecay: true } },
  RMSprop: {
    options: { lr: 0.02, momentum: 0.5, alpha: 0.9 },
    second: { lr: 0.03, momentum: 0, alpha: 0.8, centered: true },
  },
  Rprop: { options: { lr: 0.05 }, second: { lr: 0.02, etas: [0.4, 1.3], stepSizes: [1e-5, 1] } },
  ScheduleFreeAdamW: {
    options: { lr: 0.2, warmupSteps: 3, r: 0.5 },
    second: { lr: 0.3, betas: [0.8, 0.99], warmupSteps: 0, weightLrPower: 1 },
  },
  SGD: {
    options: { lr: 0.1, momentum: 0.5, dampening: 0.1 },
    second: { lr: 0.2, momentum: 0.8, dampening: 0, nesterov: true },
  },
};

/** All that `src/index.ts` exports and that has a definition. */
export const OPTIMIZERS: ReadonlyMap<string, AnyOptimizerClass> = new Map(
  Object.entries(stepjit).flatMap(([name, value]): [string, AnyOptimizerClass][] =>
    typeof value === "function" && "definition" in value ? [[name, value as never]] : [],
  ),
);

/** Name, class and subject of all that are in the table. */
export const CASES = [...OPTIMIZERS].flatMap(([name, make]) => {
  const subject = SUBJECTS[name];
  return subject ? [{ name, make, subject }] : [];
});

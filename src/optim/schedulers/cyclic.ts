import type { Optimizer } from "../optimizer.ts";
import { CycledLR, type CycledMomentumOptions, cycledMomentumRules } from "./cycled.ts";
import type { Point } from "./lr-scheduler.ts";
import { fn, number, oneOf, optional, perGroup, whole } from "./options.ts";
import type { SchedulerStateDict } from "./saved.ts";

export interface CyclicLROptions extends CycledMomentumOptions {
  /** The lower bound and initial value, one or one for each param group. */
  readonly baseLr: number | readonly number[];
  /** The upper bound, one or one for each param group. */
  readonly maxLr: number | readonly number[];
  /** Epochs (batches) of the rising half. Default 2000. */
  readonly stepSizeUp?: number;
  /** Of the falling half. Default `stepSizeUp`. */
  readonly stepSizeDown?: number;
  /** How the cycle's height changes: not at all, by half each cycle, by gamma each epoch. Default `triangular`. */
  readonly mode?: "triangular" | "triangular2" | "exp_range";
  /** Of `exp_range`. Default 1. */
  readonly gamma?: number;
  /** The height as a function of `scaleMode`, in place of `mode`. Not saved. */
  readonly scaleFn?: (x: number) => number;
  /** What `scaleFn` is given: the cycle (1, 2 …, the default) or the epoch. */
  readonly scaleMode?: "cycle" | "iterations";
}

const RULES = {
  baseLr: perGroup(number()),
  maxLr: perGroup(number()),
  stepSizeUp: optional(whole(1), 2000),
  stepSizeDown: optional(whole(1)),
  mode: optional(oneOf("triangular", "triangular2", "exp_range"), "triangular"),
  gamma: optional(number(), 1),
  scaleFn: optional(fn),
  scaleMode: optional(oneOf("cycle", "iterations"), "cycle"),
  ...cycledMomentumRules(0.8, 0.9),
};

/** The height of a cycle, by its number (1, 2 …) and the epoch. */
const HEIGHTS: Record<
  "triangular" | "triangular2" | "exp_range",
  (cycle: number, epoch: number, gamma: number) => number
> = {
  triangular: () => 1,
  triangular2: (cycle) => 1 / 2 ** (cycle - 1),
  exp_range: (_, epoch, gamma) => gamma ** epoch,
};

/**
 * Up and down between two bounds, momentum the other way.
 *
 *     value(e) = baseLr + (maxLr - baseLr) · triangle(e) · height,   momentum(e) = maxMomentum - (maxMomentum - baseMomentum) · triangle(e) · height
 *
 * triangle goes from 0 to 1 in `stepSizeUp` epochs and back in `stepSizeDown`; height is 1 (`triangular`), 1 / 2^(cycle - 1)
 * (`triangular2`), gamma^e (`exp_range`) or `scaleFn`. Defaults: momentum between 0.8 and 0.9.
 *
 * Source: torch/optim/lr_scheduler.py, CyclicLR; Smith, Cyclical learning rates for training neural networks (2017).
 */
export class CyclicLR extends CycledLR<typeof RULES> {
  /** Throws `invalid-option`, and the group's error where a value is refused. */
  constructor(optimizer: Optimizer, options: CyclicLROptions) {
    super("CyclicLR", optimizer, options, RULES);
    this.begins(this.options.baseLr);
  }

  protected next({ epoch, group, base }: Point): number {
    const max = this.options.maxLr[group] as number;
    const { triangle, height } = this.#shape(epoch);
    return base + (max - base) * triangle * height;
  }

  protected momentum({ epoch, group }: Point): number {
    const base = this.options.baseMomentum[group] as number;
    const max = this.options.maxMomentum[group] as number;
    const { triangle, height } = this.#shape(epoch);
    return max - (max - base) * triangle * height;
  }

  #shape(epoch: number): { triangle: number; height: number } {
    const { stepSizeUp, stepSizeDown = stepSizeUp, mode, gamma, scaleFn, scaleMode } = this.options;
    const total = stepSizeUp + stepSizeDown;
    const peak = stepSizeUp / total;
    const cycle = Math.floor(1 + epoch / total);
    const x = 1 + epoch / total - cycle;
    return {
      triangle: x <= peak ? x / peak : (x - 1) / (peak - 1),
      height: scaleFn ? scaleFn(scaleMode === "cycle" ? cycle : epoch) : HEIGHTS[mode](cycle, epoch, gamma),
    };
  }

  /** As every scheduler's, with torch's `_scale_fn_custom`, null: functions are not saved. */
  override stateDict(): SchedulerStateDict {
    return { ...super.stateDict(), _scale_fn_custom: null };
  }
}

import type { Optimizer } from "../optimizer.ts";
import { LRScheduler, type Point, type SchedulerOptions } from "./lr-scheduler.ts";
import { fn, perGroup } from "./options.ts";
import type { SchedulerStateDict } from "./saved.ts";

export interface LambdaLROptions extends SchedulerOptions {
  /** Gives the factor for an epoch (0, 1, 2 …): one function, or one for each param group. */
  readonly lrLambda: ((epoch: number) => number) | readonly ((epoch: number) => number)[];
}

const RULES = { lrLambda: perGroup(fn) };

abstract class FunctionLR extends LRScheduler<typeof RULES> {
  protected factor({ epoch, group }: Point): number {
    return (this.options.lrLambda[group] as (epoch: number) => number)(epoch);
  }

  /** As every scheduler's, with torch's `lr_lambdas`, nulls: functions are not saved. */
  override stateDict(): SchedulerStateDict {
    return { ...super.stateDict(), lr_lambdas: this.options.lrLambda.map(() => null) };
  }
}

/**
 * The initial value times a function of the epoch.
 *
 *     value(e) = base · lrLambda(e)
 *
 * Source: torch/optim/lr_scheduler.py, LambdaLR. Functions are not saved.
 */
export class LambdaLR extends FunctionLR {
  /** Throws `invalid-option`, and the group's error where a value is refused. */
  constructor(optimizer: Optimizer, options: LambdaLROptions) {
    super("LambdaLR", optimizer, options, RULES);
    this.begins();
  }

  protected next(point: Point): number {
    return point.base * this.factor(point);
  }
}

/**
 * The present value times a function of the epoch.
 *
 *     value(e) = value(e - 1) · lrLambda(e),   value(0) = base
 *
 * At a SequentialLR's milestone it takes the present value up, times lrLambda(0), as in torch.
 *
 * Source: torch/optim/lr_scheduler.py, MultiplicativeLR. Functions are not saved.
 */
export class MultiplicativeLR extends FunctionLR {
  /** Throws `invalid-option`, and the group's error where a value is refused. */
  constructor(optimizer: Optimizer, options: LambdaLROptions) {
    super("MultiplicativeLR", optimizer, options, RULES);
    this.begins();
  }

  protected next(point: Point): number {
    return point.initial ? point.value : point.value * this.factor(point);
  }

  /** @internal */
  override restart(): void {
    this.restartFromHere();
  }
}

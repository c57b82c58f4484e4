import { StepjitError } from "../../error.ts";
import type { ParamGroup } from "../group.ts";
import { show } from "../hyper.ts";
import { Optimizer } from "../optimizer.ts";
import { refuse } from "./options.ts";
import type { SchedulerStateDict } from "./saved.ts";
import { schedulable } from "./values.ts";

/** What every scheduler has: one hyperparameter of an optimizer's param groups, and how far the schedule is. */
export abstract class Scheduler {
  /** Whose hyperparameter it is. */
  readonly optimizer: Optimizer;
  /** What is scheduled: `lr`, `weightDecay`, `betas.0` … */
  readonly hyper: string;
  protected readonly name: string;
  protected readonly groups: readonly ParamGroup[];

  /** @internal Throws `invalid-option`. */
  constructor(name: string, optimizer: Optimizer, hyper: string) {
    if (!(optimizer instanceof Optimizer))
      refuse(`${name} takes one of stepjit's optimizers, got ${show(optimizer)}`);
    const known = schedulable(optimizer.definition);
    if (!known.includes(hyper))
      refuse(
        `${name}: hyper is one of ${known.join(", ")} of ${optimizer.definition.name}, got ${show(hyper)}`,
      );
    this.name = name;
    this.optimizer = optimizer;
    this.hyper = hyper;
    this.groups = [...optimizer.paramGroups];
  }

  /** Epochs that are done: 0 right after construction. An epoch is whatever lies between two calls of `step`. */
  abstract get lastEpoch(): number;

  /** The value that this scheduler set last, one for each param group. */
  abstract getLastLr(): number[];

  /**
   * The progress, with torch's key names. Options and functions are not part of it, and neither are the hyperparameters: these are
   * in the optimizer's state dict. To resume, make optimizer and scheduler as at the start, then load both.
   */
  abstract stateDict(): SchedulerStateDict;

  /** Takes a state dict back. Everything is checked before anything is touched. Throws `invalid-state`. */
  loadStateDict(saved: SchedulerStateDict): void {
    this.prepareLoad(saved)();
  }

  /** @internal Checks, and gives what carries it out. */
  abstract prepareLoad(saved: unknown): () => void;

  /** Throws `invalid-parameters` where groups were added since: nothing says from where and how they would join. */
  protected checkGroups(): void {
    const { length } = this.groups;
    if (this.optimizer.paramGroups.length !== length)
      throw new StepjitError(
        "invalid-parameters",
        `${this.name} was made for ${length} param group(s), and param group ${length} was added since: make a new scheduler`,
      );
  }
}

/** A scheduler that goes by epochs alone, so that it can be one of several. */
export abstract class EpochScheduler extends Scheduler {
  /**
   * Sets the values of the next epoch; to be called after the optimizer's step. Where a value is refused, the group's error is thrown
   * (`invalid-hyperparameter`) and nothing has changed.
   */
  abstract step(): void;

  /** @internal Back to the values from before any scheduler. */
  abstract reset(): void;

  /** @internal The initial step. */
  abstract begin(): void;

  /** @internal Epoch 0 again: what a SequentialLR does at a milestone. */
  abstract restart(): void;

  /** @internal Gives what takes back whatever follows. */
  abstract snapshot(): () => void;
}

/** Carries out a change of a scheduler that takes several writes: all of it, or nothing. */
export function attempt(scheduler: EpochScheduler, change: () => void): void {
  const undo = scheduler.snapshot();
  try {
    change();
  } catch (error) {
    undo();
    throw error;
  }
}

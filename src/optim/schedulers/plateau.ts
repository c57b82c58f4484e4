import { show } from "../hyper.ts";
import { snakeCase } from "../names.ts";
import type { Optimizer } from "../optimizer.ts";
import {
  number,
  oneOf,
  optional,
  perGroup,
  readOptions,
  refuse,
  type Settled,
  text,
  whole,
} from "./options.ts";
import { Saved, type SchedulerStateDict } from "./saved.ts";
import { Scheduler } from "./scheduler.ts";
import { assignAll, readMember } from "./values.ts";

/** What `ReduceLROnPlateau` takes. */
export interface ReduceLROnPlateauOptions {
  /** The hyperparameter to schedule, by name, or one number of several (`betas.0`). Default `lr`. */
  readonly hyper?: string;
  /** Whether the metric should fall or rise. Default `min`. */
  readonly mode?: "min" | "max";
  /** What the value is multiplied with, at least 0 and below 1. Default 0.1. */
  readonly factor?: number;
  /** Epochs without improvement that are put up with. Default 10. */
  readonly patience?: number;
  /** What an improvement has to exceed. Default 1e-4. */
  readonly threshold?: number;
  /** `rel`: best · (1 ∓ threshold); `abs`: best ∓ threshold. Default `rel`. */
  readonly thresholdMode?: "rel" | "abs";
  /** Epochs after a reduction in which none counts as bad. Default 0. */
  readonly cooldown?: number;
  /** The lower bound, one or one for each param group. Default 0. */
  readonly minLr?: number | readonly number[];
  /** A reduction by no more than this is not made. Default 1e-8. */
  readonly eps?: number;
}

const RULES = {
  hyper: optional(text, "lr"),
  mode: optional(oneOf("min", "max"), "min"),
  factor: optional(number({ min: 0, below: 1 }), 0.1),
  patience: optional(whole(0), 10),
  threshold: optional(number(), 1e-4),
  thresholdMode: optional(oneOf("rel", "abs"), "rel"),
  cooldown: optional(whole(0), 0),
  minLr: optional(perGroup(number()), 0),
  eps: optional(number({ min: 0 }), 1e-8),
};

interface Progress {
  readonly epoch: number;
  readonly best: number;
  readonly badEpochs: number;
  readonly cooldown: number;
  readonly last: readonly number[];
}

/** What the metric has to pass to be better than the best so far. */
const BETTER = {
  min: { rel: (best: number, by: number) => best * (1 - by), abs: (best: number, by: number) => best - by },
  max: { rel: (best: number, by: number) => best * (by + 1), abs: (best: number, by: number) => best + by },
};

/**
 * Reduces the value when a metric has stopped improving.
 *
 *     value = max(value · factor, minLr)   after more than `patience` epochs without improvement
 *
 * Source: torch/optim/lr_scheduler.py, ReduceLROnPlateau. A metric of NaN is no improvement.
 */
export class ReduceLROnPlateau extends Scheduler {
  readonly #options: Settled<typeof RULES>;
  #progress: Progress;

  /** Throws `invalid-option`. */
  constructor(optimizer: Optimizer, options: ReduceLROnPlateauOptions = {}) {
    super("ReduceLROnPlateau", optimizer, options?.hyper ?? "lr");
    this.#options = readOptions(this.name, options, RULES, this.groups.length);
    this.#progress = { epoch: 0, best: this.#worst, badEpochs: 0, cooldown: 0, last: this.#current() };
  }

  get lastEpoch(): number {
    return this.#progress.epoch;
  }

  getLastLr(): number[] {
    return [...this.#progress.last];
  }

  /** Takes the epoch's metric. Throws `invalid-option` where it is no number. */
  step(metric: number): void {
    if (typeof metric !== "number")
      refuse(`${this.name}: step() takes the metric, a number, got ${show(metric)}`);
    this.checkGroups();
    const { patience, cooldown } = this.#options;
    const before = this.#progress;
    const better = this.#isBetter(metric);
    const cooling = before.cooldown > 0;
    const badEpochs = better || cooling ? 0 : before.badEpochs + 1;
    const reduces = badEpochs > patience;
    const values = reduces ? this.#reduced() : this.#current();
    if (reduces)
      assignAll(
        this.name,
        this.groups,
        values.map((value) => ({ [this.hyper]: value })),
      );
    this.#progress = {
      epoch: before.epoch + 1,
      best: better ? metric : before.best,
      badEpochs: reduces ? 0 : badEpochs,
      cooldown: reduces ? cooldown : cooling ? before.cooldown - 1 : 0,
      last: values,
    };
  }

  #current(): readonly number[] {
    return this.groups.map((group) => readMember(group, this.hyper));
  }

  #reduced(): readonly number[] {
    const { factor, minLr, eps } = this.#options;
    return this.#current().map((value, group) => {
      const reduced = Math.max(value * factor, minLr[group] as number);
      return value - reduced > eps ? reduced : value;
    });
  }

  #isBetter(metric: number): boolean {
    const { mode, threshold, thresholdMode } = this.#options;
    const bound = BETTER[mode][thresholdMode](this.#progress.best, threshold);
    return mode === "min" ? metric < bound : metric > bound;
  }

  get #worst(): number {
    return this.#options.mode === "min" ? Infinity : -Infinity;
  }

  stateDict(): SchedulerStateDict {
    const { epoch, best, badEpochs, cooldown } = this.#progress;
    return {
      hyper: snakeCase(this.hyper),
      last_epoch: epoch,
      best,
      num_bad_epochs: badEpochs,
      cooldown_counter: cooldown,
      _last_lr: this.getLastLr(),
    };
  }

  /** @internal */
  prepareLoad(given: unknown): () => void {
    const saved = new Saved(this.name, given);
    saved.checkHyper(this.hyper);
    const progress = {
      epoch: saved.whole("last_epoch", 0),
      best: saved.number("best", this.#worst),
      badEpochs: saved.whole("num_bad_epochs", 0),
      cooldown: saved.whole("cooldown_counter", 0),
      last: saved.perGroup("_last_lr", this.groups.length),
    };
    return () => {
      this.#progress = progress;
    };
  }
}

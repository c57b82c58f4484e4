import type { Optimizer } from "../optimizer.ts";
import { CycledLR, type CycledMomentumOptions, cycledMomentumRules } from "./cycled.ts";
import type { Point } from "./lr-scheduler.ts";
import { flag, number, oneOf, optional, perGroup, refuse, whole } from "./options.ts";

export interface OneCycleLROptions extends CycledMomentumOptions {
  /** The highest value, one or one for each param group. */
  readonly maxLr: number | readonly number[];
  /** Steps of the whole cycle; or give `epochs` and `stepsPerEpoch`. */
  readonly totalSteps?: number;
  /** Epochs of the whole cycle, with `stepsPerEpoch`. */
  readonly epochs?: number;
  /** Steps of an epoch, with `epochs`. */
  readonly stepsPerEpoch?: number;
  /** The part of the cycle in which the value rises, between 0 and 1. Default 0.3. */
  readonly pctStart?: number;
  /** Default `cos`. */
  readonly annealStrategy?: "cos" | "linear";
  /** The initial value is maxLr / divFactor. Default 25. */
  readonly divFactor?: number;
  /** The last value is the initial one / finalDivFactor. Default 1e4. */
  readonly finalDivFactor?: number;
  /** Back to the initial value as slowly as up, and only then to the last. Default false. */
  readonly threePhase?: boolean;
}

const RULES = {
  maxLr: perGroup(number()),
  totalSteps: optional(whole(1)),
  epochs: optional(whole(1)),
  stepsPerEpoch: optional(whole(1)),
  pctStart: optional(number({ min: 0, max: 1 }), 0.3),
  annealStrategy: optional(oneOf("cos", "linear"), "cos"),
  divFactor: optional(number({ above: 0 }), 25),
  finalDivFactor: optional(number({ above: 0 }), 1e4),
  threePhase: optional(flag, false),
  ...cycledMomentumRules(0.85, 0.95),
};

/** From `start` to `end` as `part` goes from 0 to 1. One step past the end is allowed: a line stays, not to go below it. */
const ANNEAL = {
  cos: (start: number, end: number, part: number) =>
    end + ((start - end) / 2) * (Math.cos(Math.PI * part) + 1),
  linear: (start: number, end: number, part: number) => (end - start) * Math.min(1, part) + start,
};

type Level = "initial" | "max" | "min";

/** What a phase ends with: the level of the value, and that of momentum. */
interface Phase {
  readonly end: number;
  readonly level: Level;
  readonly momentum: "baseMomentum" | "maxMomentum";
}

/**
 * One cycle over the whole training: up to `maxLr`, then down to almost nothing, momentum the other way.
 *
 *     initial = maxLr / divFactor,   min = initial / finalDivFactor
 *     two phases:    initial → max until step pctStart · totalSteps - 1, → min until totalSteps - 1
 *     three phases:  initial → max as above, → initial until 2 · pctStart · totalSteps - 2, → min until totalSteps - 1
 *
 * each along half a cosine (`cos`: end + (start - end) / 2 · (cos(π part) + 1)) or a line; momentum is `maxMomentum` at the ends and
 * `baseMomentum` at the peak, by default 0.95 and 0.85. `step` throws `invalid-option` after `totalSteps` steps.
 *
 * Source: torch/optim/lr_scheduler.py, OneCycleLR; Smith & Topin, Super-convergence (2018). An initial value that an earlier scheduler
 * recorded stays for those that follow; torch overwrites it.
 */
export class OneCycleLR extends CycledLR<typeof RULES> {
  /** Throws `invalid-option`, and the group's error where a value is refused. */
  constructor(optimizer: Optimizer, options: OneCycleLROptions) {
    super("OneCycleLR", optimizer, options, RULES);
    this.begins(this.options.maxLr.map((max) => max / this.options.divFactor));
  }

  /** Steps of the whole cycle. */
  get totalSteps(): number {
    const { totalSteps, epochs, stepsPerEpoch } = this.options;
    if (totalSteps !== undefined) return totalSteps;
    if (epochs !== undefined && stepsPerEpoch !== undefined) return epochs * stepsPerEpoch;
    return refuse(`${this.name}: give totalSteps, or epochs and stepsPerEpoch`);
  }

  get #phases(): readonly Phase[] {
    const { totalSteps } = this;
    const { pctStart, threePhase } = this.options;
    const rise: Phase = { end: pctStart * totalSteps - 1, level: "max", momentum: "baseMomentum" };
    const fall: Phase = { end: 2 * pctStart * totalSteps - 2, level: "initial", momentum: "maxMomentum" };
    const last: Phase = { end: totalSteps - 1, level: "min", momentum: "maxMomentum" };
    return threePhase ? [rise, fall, last] : [rise, last];
  }

  protected next(point: Point): number {
    const { from, to, part } = this.#phaseAt(point.epoch);
    return ANNEAL[this.options.annealStrategy](
      this.#level(from.level, point),
      this.#level(to.level, point),
      part,
    );
  }

  protected momentum({ epoch, group }: Point): number {
    const { from, to, part } = this.#phaseAt(epoch);
    const { annealStrategy, [from.momentum]: start, [to.momentum]: end } = this.options;
    return ANNEAL[annealStrategy](start[group] as number, end[group] as number, part);
  }

  #level(level: Level, { group, base }: Point): number {
    if (level === "max") return this.options.maxLr[group] as number;
    return level === "initial" ? base : base / this.options.finalDivFactor;
  }

  #phaseAt(epoch: number): { from: Phase; to: Phase; part: number } {
    if (epoch > this.totalSteps)
      refuse(
        `${this.name}: step ${epoch} of a cycle of ${this.totalSteps} steps (totalSteps, or epochs · stepsPerEpoch)`,
      );
    const phases = this.#phases;
    const reached = phases.findIndex(({ end }) => epoch <= end);
    const at = reached < 0 ? phases.length - 1 : reached;
    const from = phases[at - 1] ?? { end: 0, level: "initial", momentum: "maxMomentum" };
    const to = phases[at] as Phase;
    // A rise of no length is over at once.
    return { from, to, part: to.end > from.end ? (epoch - from.end) / (to.end - from.end) : 1 };
  }
}

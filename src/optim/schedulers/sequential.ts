import type { Optimizer } from "../optimizer.ts";
import { CompositeScheduler, STAGES } from "./composite.ts";
import { readOptions, refuse, wholes } from "./options.ts";
import { Saved, type SchedulerStateDict } from "./saved.ts";
import { attempt, type EpochScheduler } from "./scheduler.ts";

/** What `SequentialLR` takes. */
export interface SequentialLROptions {
  /** In order, all of this optimizer and of one hyperparameter. */
  readonly schedulers: readonly EpochScheduler[];
  /** The epochs at which the second, the third … takes over: rising, one fewer than schedulers. */
  readonly milestones: readonly number[];
}

const RULES = { schedulers: STAGES, milestones: wholes(1) };

/**
 * One scheduler after another. The first starts from the initial values, at construction; the others at their milestones, from the
 * initial values too (MultiplicativeLR and SWALR, which have no closed form: from the present ones).
 *
 *     value(e) = schedulerₙ(e - milestoneₙ)
 *
 * Source: torch/optim/lr_scheduler.py, SequentialLR.
 */
export class SequentialLR extends CompositeScheduler {
  /** The epochs at which the next scheduler takes over. */
  readonly milestones: readonly number[];
  #epoch = 0;

  /** Throws `invalid-option`, and the group's error where a value is refused. */
  constructor(optimizer: Optimizer, options: SequentialLROptions) {
    const name = "SequentialLR";
    const { milestones, schedulers } = readOptions(name, options, RULES, 1);
    super(name, optimizer, schedulers[0].hyper, schedulers);
    schedulers.forEach(({ hyper }, index) => {
      if (hyper !== this.hyper)
        refuse(
          `${name}: scheduler ${index} schedules ${hyper}, scheduler 0 ${this.hyper}; chain those instead`,
        );
    });
    if (milestones.length !== schedulers.length - 1)
      refuse(
        `${name}: ${schedulers.length} schedulers need ${schedulers.length - 1} milestones, got [${milestones}]`,
      );
    if (milestones.some((epoch, index) => epoch <= (milestones[index - 1] ?? 0)))
      refuse(`${name}: milestones rise, got [${milestones}]`);
    this.milestones = [...milestones];
    attempt(this, () => this.restart());
  }

  get lastEpoch(): number {
    return this.#epoch;
  }

  getLastLr(): number[] {
    return this.#active(this.#epoch).getLastLr();
  }

  step(): void {
    const epoch = this.#epoch + 1;
    attempt(this, () => {
      if (this.milestones.includes(epoch)) this.#active(epoch).restart();
      else this.#active(epoch).step();
    });
    this.#epoch = epoch;
  }

  #active(epoch: number): EpochScheduler {
    return this.schedulers[
      this.milestones.filter((milestone) => milestone <= epoch).length
    ] as EpochScheduler;
  }

  /** @internal */
  begin(): void {
    this.#active(0).begin();
    this.#epoch = 0;
  }

  /** @internal */
  override snapshot(): () => void {
    const undo = super.snapshot();
    const epoch = this.#epoch;
    return () => {
      undo();
      this.#epoch = epoch;
    };
  }

  stateDict(): SchedulerStateDict {
    return {
      last_epoch: this.#epoch,
      _schedulers: this.schedulers.map((one) => one.stateDict()),
      _last_lr: this.getLastLr(),
    };
  }

  /** @internal */
  prepareLoad(given: unknown): () => void {
    const saved = new Saved(this.name, given);
    const epoch = saved.whole("last_epoch", 0);
    const commit = this.prepareSchedulers(saved);
    return () => {
      commit();
      this.#epoch = epoch;
    };
  }
}

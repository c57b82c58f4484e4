import type { Optimizer } from "../optimizer.ts";
import { refuse, rule } from "./options.ts";
import type { Saved } from "./saved.ts";
import { EpochScheduler } from "./scheduler.ts";

/** A scheduler made of others. */
export abstract class CompositeScheduler extends EpochScheduler {
  /** Its schedulers, in order. */
  readonly schedulers: readonly EpochScheduler[];

  /** @internal Throws `invalid-option`. */
  constructor(name: string, optimizer: Optimizer, hyper: string, schedulers: readonly EpochScheduler[]) {
    super(name, optimizer, hyper);
    this.schedulers = [...schedulers];
    schedulers.forEach((scheduler, index) => {
      if (scheduler.optimizer !== optimizer) refuse(`${name}: scheduler ${index} is of another optimizer`);
    });
  }

  /** @internal */
  reset(): void {
    for (const scheduler of this.schedulers) scheduler.reset();
  }

  /** @internal */
  restart(): void {
    this.reset();
    this.begin();
  }

  /** @internal */
  snapshot(): () => void {
    const undos = this.schedulers.map((scheduler) => scheduler.snapshot());
    return () => {
      for (const undo of undos) undo();
    };
  }

  /** What loads the schedulers' own state dicts, all checked. */
  protected prepareSchedulers(saved: Saved): () => void {
    const dicts = saved.list("_schedulers", this.schedulers.length);
    const commits = this.schedulers.map((scheduler, index) => scheduler.prepareLoad(dicts[index]));
    return () => {
      for (const commit of commits) commit();
    };
  }
}

/** At least one, and all step by epochs alone. */
export const STAGES = rule(
  "a list of at least one scheduler, none that steps by a metric",
  (value): value is readonly [EpochScheduler, ...EpochScheduler[]] =>
    Array.isArray(value) && value.length > 0 && value.every((one) => one instanceof EpochScheduler),
);

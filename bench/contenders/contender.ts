import type { Problem } from "../problem.ts";

/** One way to take an optimizer step, set up for one problem. */
export interface Contender {
  step(): void;
  /** Where step() only queues a step: resolves once all are done. */
  finished?(): Promise<unknown>;
  /** Called before each of its turns, outside the time. */
  enter?(): Promise<unknown>;
  /** The parameters as they are now, a tensor after the other. The memory floor computes none. */
  parameters?(): Float32Array[];
  /** What it says about its last step. */
  details?(): Readonly<Record<string, number>>;
  dispose(): void;
}

export interface Entry {
  readonly name: string;
  readonly threads: number;
  /** Why it cannot take part in this problem; undefined where it can. */
  refuses?(problem: Problem): string | undefined;
  make(problem: Problem): Contender | Promise<Contender>;
}

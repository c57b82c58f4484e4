/** Two networks from the same weights on the same data, one trained by stepjit, one by tf.train.adam, in turns. */
import * as tf from "@tensorflow/tfjs-core";
import type { CompiledOptimizer } from "stepjit/tfjs";
import { Contender } from "./contender.ts";
import { type Choice, tfAdam } from "./optimizers.ts";
import { allPoints } from "./spirals.ts";
import { Stopwatch } from "./stopwatch.ts";

const STEPS_A_TURN = 2;

export interface Turn {
  /** Steps taken so far. */
  readonly step: number;
  readonly loss: Pair;
  /** Milliseconds an update. */
  readonly time: Pair;
}

export interface Pair {
  readonly ours: number;
  readonly theirs: number;
}

type Side = keyof Pair;

export class Race {
  readonly ours: Contender<CompiledOptimizer>;
  readonly #contenders: Record<Side, Contender>;
  readonly #stopwatches: { ours: Stopwatch<CompiledOptimizer>; theirs: Stopwatch };
  readonly #batch = allPoints();
  #turns = 0;

  constructor({ make }: Choice, learningRate: number) {
    this.ours = new Contender("ours", make(learningRate));
    this.#contenders = { ours: this.ours, theirs: new Contender("theirs", tfAdam(learningRate)) };
    this.#stopwatches = {
      ours: new Stopwatch("ours, timed", make(0), this.#batch),
      theirs: new Stopwatch("theirs, timed", tfAdam(0), this.#batch),
    };
  }

  get steps(): number {
    return this.#turns * STEPS_A_TURN;
  }

  set learningRate(learningRate: number) {
    for (const { optimizer } of Object.values(this.#contenders)) optimizer.learningRate = learningRate;
  }

  setFlag(name: string, value: boolean): void {
    for (const { optimizer } of [this.ours, this.#stopwatches.ours])
      Object.assign(optimizer, { [name]: value });
  }

  /** Some steps of both, then some updates of both by the clock. Who begins changes from turn to turn. */
  async turn(): Promise<Turn> {
    const order: Side[] = this.#turns % 2 === 0 ? ["ours", "theirs"] : ["theirs", "ours"];
    const loss = { ours: Number.NaN, theirs: Number.NaN };
    const time = { ...loss };
    for (const side of order) loss[side] = await this.#contenders[side].train(STEPS_A_TURN, this.#batch);
    if (this.#turns === 0) for (const side of order) await this.#stopwatches[side].time(); // the first is no measure
    for (const side of order) time[side] = await this.#stopwatches[side].time();
    this.#turns++;
    return { step: this.steps, loss, time };
  }

  dispose(): void {
    const contenders: { dispose(): void }[] = Object.values(this.#contenders);
    for (const one of [...contenders, ...Object.values(this.#stopwatches)]) one.dispose();
    tf.dispose(this.#batch as unknown as tf.TensorContainer);
  }
}

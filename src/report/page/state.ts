/** What is looked at: one module at one stage, one function of it, and values of that. */

import type { Place } from "../lineage.ts";
import type { Model } from "./model.ts";

export interface View {
  readonly module: number;
  readonly stage: number;
  readonly func: number;
  /** The value whose details are shown. */
  readonly selected: number | undefined;
  /** Values that are marked together: those of one line of source. */
  readonly marked: readonly number[];
}

export class State {
  readonly models: readonly Model[];
  #view: View;
  readonly #listeners: (() => void)[] = [];

  constructor(models: readonly Model[]) {
    this.models = models;
    this.#view = opening(models, 0);
  }

  get view(): View {
    return this.#view;
  }

  get model(): Model {
    return this.models[this.#view.module] as Model;
  }

  listen(listener: () => void): void {
    this.#listeners.push(listener);
  }

  set(change: Partial<View>): void {
    this.#view = { ...this.#view, ...change };
    for (const listener of this.#listeners) listener();
  }

  select(selected: number | undefined): void {
    this.set({ selected, marked: [] });
  }

  /** To a module's beginning. */
  openModule(module: number): void {
    this.set(opening(this.models, module));
  }

  openFunction(func: number): void {
    this.set({ func, selected: undefined, marked: [] });
  }

  /** To the first argument or user; from nowhere, to the first value. */
  walk(to: "arguments" | "users"): void {
    const { stage, func, selected } = this.#view;
    if (selected === undefined) {
      this.select(0);
      return;
    }
    const place = [func, selected] as const;
    const near = to === "users" ? this.model.users(stage, place) : this.model.value(stage, place).args;
    if (near[0] !== undefined) this.select(near[0]);
  }

  goTo(stage: number, [func, value]: Place): void {
    this.set({ stage, func, selected: value, marked: [] });
  }

  /** To another stage, with the value and the function that are looked at, as far as they are there. */
  goToStage(stage: number): void {
    const { model } = this;
    const { stage: from, func, selected } = this.#view;
    if (stage < 0 || stage > model.last || stage === from) return;
    const followed = selected === undefined ? [] : model.follow([func, selected], from, stage);
    const kernelFirst = [...followed].sort(([a], [b]) => rank(model, stage, a) - rank(model, stage, b));
    const place = followed.find(([owner]) => owner === this.#heirOf(stage)) ?? kernelFirst[0];
    if (place) this.goTo(stage, place);
    else this.set({ stage, func: this.#heirOf(stage), selected: undefined, marked: [] });
  }

  /** The function of another stage that has most of this one's values. */
  #heirOf(stage: number): number {
    const { model } = this;
    const { stage: from, func } = this.#view;
    const votes = (model.stages[stage]?.funcs ?? []).map(() => 0);
    model.func(from, func).values.forEach((_, value) => {
      for (const [owner] of model.follow([func, value], from, stage)) votes[owner] = (votes[owner] ?? 0) + 1;
    });
    return Math.max(0, votes.indexOf(Math.max(...votes)));
  }
}

/** A module as it was traced, at the maths of its first class. */
function opening(models: readonly Model[], module: number): View {
  const body = models[module]?.stages[0]?.funcs.findIndex(({ kind }) => kind === "body") ?? 0;
  return { module, stage: 0, func: Math.max(0, body), selected: undefined, marked: [] };
}

/** A value in several functions is looked at in a kernel. */
function rank(model: Model, stage: number, func: number): number {
  return model.func(stage, func).kind === "kernel" ? 0 : 1;
}

/** Hooks around steps and state dicts, with torch.optim.Optimizer's semantics. */
import { DISPOSE } from "../dispose.ts";
import { StepjitError } from "../error.ts";
import type { Gradients } from "../tensor.ts";
import { show } from "./hyper.ts";
import type { Optimizer } from "./optimizer.ts";
import type { StateDict } from "./state-dict.ts";

/** Takes a hook away again; doing it twice is fine. */
export interface HookHandle {
  /** The hook is called no more. */
  remove(): void;
  /** `remove()`, for `using`. */
  [DISPOSE](): void;
}

/** Runs before a step, and may change hyperparameters. Gradients that it returns take the place of those given. */
export type StepPreHook = (optimizer: Optimizer, gradients: Gradients | undefined) => Gradients | undefined;
/** Runs after a step, with the gradients that the step took. */
export type StepPostHook = (optimizer: Optimizer, gradients: Gradients | undefined) => void;
/** Runs before `stateDict()` looks at the state. */
export type StateDictPreHook = (optimizer: Optimizer) => void;
/** Runs on what `stateDict()` made, and may change it in place; what it returns takes its place. */
export type StateDictPostHook = (optimizer: Optimizer, stateDict: StateDict) => StateDict | undefined;
/** Runs on a shallow copy of what `loadStateDict()` was given, before anything is checked; what it returns takes its place. */
export type LoadStateDictPreHook = (optimizer: Optimizer, stateDict: StateDict) => StateDict | undefined;
/** Runs when a state dict has been loaded. */
export type LoadStateDictPostHook = (optimizer: Optimizer) => void;

/** Hooks of one kind, in order of registration. `Value` is what they are given beside the optimizer. */
class HookList<Value = undefined> {
  /** Replaced, never changed: a hook may remove itself while the list is walked. */
  #entries: readonly { readonly hook: (optimizer: Optimizer, value: Value) => unknown }[] = [];

  get length(): number {
    return this.#entries.length;
  }

  /** Throws `invalid-option`. */
  add(hook: (optimizer: Optimizer, value: Value) => unknown): HookHandle {
    if (typeof hook !== "function")
      throw new StepjitError("invalid-option", `a hook is a function, got ${show(hook)}`);
    const entry = { hook };
    this.#entries = [...this.#entries, entry];
    const remove = () => {
      this.#entries = this.#entries.filter((one) => one !== entry);
    };
    return { remove, [DISPOSE]: remove };
  }

  notify(optimizer: Optimizer, value: Value): void {
    for (const { hook } of this.#entries) hook(optimizer, value);
  }

  /** The value that the last hook leaves: what a hook returns takes its place, unless that is nothing. */
  replace(optimizer: Optimizer, value: Value): Value {
    let current = value;
    for (const { hook } of this.#entries)
      current = (hook(optimizer, current) as Value | null | undefined) ?? current;
    return current;
  }
}

/** All hooks of one optimizer. */
export class Hooks {
  readonly stepPre = new HookList<Gradients | undefined>();
  readonly stepPost = new HookList<Gradients | undefined>();
  readonly statePre = new HookList();
  readonly statePost = new HookList<StateDict>();
  readonly loadPre = new HookList<StateDict>();
  readonly loadPost = new HookList();
}

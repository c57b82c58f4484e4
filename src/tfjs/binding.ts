/** The variables of one optimizer, bound to the memory of one TensorFlow.js backend, and the step compiled for it. */
import type { Tensor as TfTensor, Variable } from "@tensorflow/tfjs-core";
import { type CompileOptions, compileStep, type Step } from "../compile.ts";
import { StepjitError } from "../error.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import { type SavedState, type StateDict, savedGroups, visibleStateDict } from "../optim/state-dict.ts";
import type { Gradient } from "../step/gradients.ts";
import { Tensor } from "../tensor.ts";
import type { FlagValues } from "../trace/definition.ts";
import type { AnyOptimizerClass } from "./faces.ts";
import { type Home, type NamedTensor, variableOf } from "./home.ts";

/** Options of stepjit's `compileStep` but for the backend, which is TensorFlow.js's. */
export type StepOptions = Omit<CompileOptions, "backend">;

/** State by variable name. */
export type States = ReadonlyMap<string, SavedState>;

interface Bound {
  readonly index: number;
  readonly shape: readonly number[];
  readonly read: (gradient: TfTensor) => Gradient;
}

export class Binding {
  readonly home: Home;
  readonly optimizer: Optimizer;
  readonly step: Step;
  readonly #bound = new Map<string, Bound>();
  readonly #gradients: Gradient[] = [];

  constructor(
    home: Home,
    variables: readonly Variable[],
    Optimizer: AnyOptimizerClass,
    options: object,
    stepOptions: StepOptions,
  ) {
    this.home = home;
    this.optimizer = new Optimizer(this.#bind(variables), options) as Optimizer;
    this.step = compileStep(this.optimizer, { ...stepOptions, backend: home.backend });
  }

  get names(): string[] {
    return [...this.#bound.keys()];
  }

  /** Adds variables that are not bound yet, with these flags. Throws `invalid-parameters` for one whose shape is not what it was. */
  add(variables: readonly Variable[], flags: FlagValues): void {
    for (const { name, shape } of variables) {
      const known = this.#bound.get(name);
      if (known && !sameShape(known.shape, shape))
        throw new StepjitError(
          "invalid-parameters",
          `variable "${name}" has shape [${shape}], its optimizer state [${known.shape}]: a new variable of another shape needs ` +
            "another name, or another optimizer",
        );
    }
    const added = variables.filter(({ name }) => !this.#bound.has(name));
    if (added.length > 0) this.optimizer.addParamGroup({ params: this.#bind(added), ...flags });
  }

  /** Steps these variables, and no others. */
  apply(gradients: readonly NamedTensor[]): void {
    for (const { name } of gradients) this.home.adopt(variableOf(name) as Variable);
    this.#gradients.fill(null);
    for (const { name, tensor } of gradients) {
      const { index, read } = this.#bound.get(name) as Bound;
      this.#gradients[index] = read(tensor);
    }
    try {
      this.step(this.#gradients);
    } finally {
      this.home.written(gradients.map(({ name }) => name));
    }
  }

  /** Copies of what has been filled, as it is now. */
  async readStates(): Promise<States> {
    return this.#byName(await this.optimizer.stateDict());
  }

  /** Whether `states` can be had at once: not from a device's memory, nor while steps are under way there. */
  get hasVisibleStates(): boolean {
    const { parameters, settle } = this.optimizer;
    const slots = parameters.flatMap((parameter) => [...parameter.slots.values()]);
    return settle === undefined && slots.every(({ live, storage }) => !live || storage.visible);
  }

  get states(): States {
    return this.#byName(visibleStateDict(this.optimizer));
  }

  /** Replaces all state; a variable without an entry starts afresh. Throws `invalid-state` before anything has changed. */
  set states(states: States) {
    const state = Object.fromEntries(
      [...this.#bound].map(([name, { index }]) => [index, states.get(name) ?? {}]),
    );
    this.optimizer.loadStateDict({ param_groups: savedGroups(this.optimizer), state });
  }

  dispose(): void {
    this.step.dispose();
    this.optimizer.dispose();
    for (const name of this.names) this.home.release(name);
  }

  #byName({ state }: StateDict): States {
    return new Map([...this.#bound].map(([name, { index }]) => [name, state[index] ?? {}]));
  }

  #bind(variables: readonly Variable[]): [string, Tensor][] {
    const { home } = this;
    return variables.map((variable) => {
      const { name, shape } = variable;
      home.adopt(variable);
      this.#bound.set(name, {
        index: this.#bound.size,
        shape: [...shape],
        read: home.gradientReader(variable),
      });
      this.#gradients.push(null);
      return [name, new Tensor(home.storage(variable), shape)];
    });
  }
}

export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, axis) => size === b[axis]);
}

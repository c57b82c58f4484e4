import { DISPOSE } from "../dispose.ts";
import { StepjitError } from "../error.ts";
import type { Tensor } from "../tensor.ts";
import type {
  AnyDefinition,
  FlagValues,
  HyperValues,
  OptimizerDefinition,
  WidenedOrNull,
} from "../trace/definition.ts";
import { averagedParameters } from "./average.ts";
import { ParamGroup } from "./group.ts";
import {
  type HookHandle,
  Hooks,
  type LoadStateDictPostHook,
  type LoadStateDictPreHook,
  type StateDictPostHook,
  type StateDictPreHook,
  type StepPostHook,
  type StepPreHook,
} from "./hooks.ts";
import { type HyperInput, inNumbers, show } from "./hyper.ts";
import type { LoadReport } from "./load-report.ts";
import { type LoadOptions, loadStateDict } from "./load-state.ts";
import {
  type NormalizedGroup,
  normalizeGroup,
  normalizeParams,
  Parameter,
  type ParamGroupInput,
  type ParamList,
  StepCounts,
} from "./parameter.ts";
import { checkScalesMatch, readScales, type Scale, type ScaleRule } from "./scales.ts";
import { type StateDict, stateDict } from "./state-dict.ts";
import { type TorchOptions, withoutTorchOptions } from "./torch-options.ts";

/** Options of a group: hyperparameters (numbers, scalars, tensors of one element) and flags, all optional. */
export type GroupOptions<H extends HyperValues, F extends string> = {
  readonly [K in keyof H]?: HyperInput<H[K]>;
} & { readonly [K in F]?: boolean } & TorchOptions;

/** Options of an optimizer: those of a group, and scales. */
export type OptimizerOptions<H extends HyperValues, F extends string> = GroupOptions<H, F> & {
  /**
   * Factors on hyperparameters for parameters by name, in all groups: `scales: [{ match: /bias|norm/, weightDecay: 0 }]`. A factor
   * multiplies the group's value at every step, so schedules go on applying; where several scales match, all do. Factors are finite
   * and at least 0; a scaled value is not checked again. They are no part of the state dict.
   */
  readonly scales?: readonly Scale<H>[];
};

/** What an optimizer's constructor takes as parameters. */
export type Params<H extends HyperValues, F extends string> =
  | ParamList
  | readonly ParamGroupInput<GroupOptions<H, F>>[];

/** A class of optimizers, as `defineOptimizer` gives it. */
export interface OptimizerClass<H extends HyperValues, F extends string> {
  new (params: Params<H, F>, options?: OptimizerOptions<H, F>): TypedOptimizer<H, F>;
  /** What `defineOptimizer` was given. */
  readonly definition: AnyDefinition;
}

/** An optimizer whose hyperparameters and flags are known by type. */
export interface TypedOptimizer<H extends HyperValues, F extends string> extends Optimizer {
  readonly paramGroups: readonly (ParamGroup & { -readonly [K in keyof H]: H[K] } & { [K in F]: boolean })[];
  addParamGroup(group: ParamGroupInput<GroupOptions<H, F>>): void;
}

/**
 * A definition bound to parameters in param groups, as in torch.optim. It holds hyperparameters and state; `compileStep` gives the
 * function that steps it.
 */
export class Optimizer {
  /** What `defineOptimizer` was given. */
  readonly definition: AnyDefinition;
  /** True where parameters were given with names. */
  readonly named: boolean;
  /** @internal Changes whenever parameters or state are added or replaced from outside a step. */
  revision = 0;
  /** @internal The step that ran last: another one has to look at everything afresh. */
  driver: object | undefined;
  /** @internal Set while steps are ahead of what the host knows: brings counts, numbers and the user's own arrays up to date. */
  settle: (() => Promise<void>) | undefined;
  /** @internal State dicts that were loaded: what the host knows then counts again, whatever a device has not told yet. */
  loads = 0;
  /** @internal Why a step failed half-way, if one did: parameters and state may be mixed. */
  poison: unknown;
  /** @internal Calls since the last step that only added up gradients. */
  microSteps = 0;
  /** @internal */
  readonly counts = new StepCounts();
  /** @internal */
  readonly hooks = new Hooks();
  readonly #defaults: Record<string, unknown>;
  readonly #scales: readonly ScaleRule[];
  readonly #groups: ParamGroup[] = [];
  readonly #parameters: Parameter[] = [];
  #disposed = false;

  /** Throws `invalid-parameters` and `invalid-hyperparameter`. */
  constructor(definition: AnyDefinition, params: unknown, options: object = {}) {
    const { scales = [], ...defaults } = { ...options } as { scales?: unknown };
    this.definition = definition;
    this.#defaults = withoutTorchOptions(defaults, definition, definition.name);
    this.#scales = readScales(definition, scales);
    const groups = normalizeParams(params, definition.name);
    this.named = groups[0]?.entries[0]?.name !== undefined;
    if (this.#scales.length > 0 && !this.named)
      refuse(
        `${definition.name}: scales go by name, and its parameters have none: give a record, or pairs [name, tensor]`,
      );
    new ParamGroup(definition, 0, [], this.#defaults); // the defaults are checked even if every group overrides them
    for (const group of groups) this.#add(group);
    checkScalesMatch(
      this.#scales,
      this.#parameters.map(({ name }) => name),
    );
  }

  /** The groups: `optimizer.paramGroups[0].lr = 5e-4`. */
  get paramGroups(): readonly ParamGroup[] {
    return this.#groups;
  }

  /** @internal In order of addition: torch's packed ids. */
  get parameters(): readonly Parameter[] {
    return this.#parameters;
  }

  /** Adds a group to a running optimizer; nothing compiles unless its flags or dtypes are new. Throws as the constructor does. */
  addParamGroup(group: ParamGroupInput<object>): void {
    this.checkUsable();
    this.#add(normalizeGroup(group, `${this.definition.name}, param group ${this.#groups.length}`));
  }

  /**
   * The state in torch's layout and with torch's key names, as copies: plain objects, numbers and typed arrays, fit for
   * structuredClone and IndexedDB. JSON does not keep typed arrays, NaN and infinities: for files there is `saveSafetensors`.
   *
   * It is the state as of the call; where steps run on a device, that waits first for what `step.finished()` waits for.
   */
  async stateDict(): Promise<StateDict> {
    this.checkUsable();
    this.hooks.statePre.notify(this, undefined);
    if (this.settle) await this.#settled();
    const dict = await stateDict(this);
    this.#checkSound(); // a device may have told of an error meanwhile
    return this.hooks.statePost.replace(this, dict);
  }

  /**
   * Takes a state dict back, one of ours or torch's. Hyperparameters come from the saved group at the same place, state by the
   * parameters' names across all groups; where either side has no names, by order, group by group. Everything is checked before
   * anything is touched. Throws `invalid-state` where something does not fit; with `strict: false` what fits is loaded and the rest
   * is reported and keeps what it had (a parameter's state is taken whole or not at all; state that was saved as empty fits, and
   * starts afresh). What is no state dict at all is refused either way.
   */
  loadStateDict(saved: StateDict, options: LoadOptions = {}): LoadReport {
    this.checkUsable();
    const { loadPre, loadPost } = this.hooks;
    const report = loadStateDict(
      this,
      loadPre.length > 0 ? loadPre.replace(this, { ...saved }) : saved,
      options,
    );
    this.microSteps = 0;
    this.revision++;
    this.loads++;
    loadPost.notify(this, undefined);
    return report;
  }

  /** Before every compiled step of this optimizer, before its gradients are read. Throws `invalid-option`, as all of these do. */
  registerStepPreHook(hook: StepPreHook): HookHandle {
    return this.hooks.stepPre.add(hook);
  }

  /** After every compiled step. */
  registerStepPostHook(hook: StepPostHook): HookHandle {
    return this.hooks.stepPost.add(hook);
  }

  /** Before `stateDict()` looks at the state. */
  registerStateDictPreHook(hook: StateDictPreHook): HookHandle {
    return this.hooks.statePre.add(hook);
  }

  /** On what `stateDict()` made; what the hook returns takes its place. */
  registerStateDictPostHook(hook: StateDictPostHook): HookHandle {
    return this.hooks.statePost.add(hook);
  }

  /** On what `loadStateDict()` was given, before it is checked; what the hook returns takes its place. */
  registerLoadStateDictPreHook(hook: LoadStateDictPreHook): HookHandle {
    return this.hooks.loadPre.add(hook);
  }

  /** After a state dict was loaded. */
  registerLoadStateDictPostHook(hook: LoadStateDictPostHook): HookHandle {
    return this.hooks.loadPost.add(hook);
  }

  /**
   * The averaged weights, to evaluate with, where the optimizer keeps an average (ScheduleFreeAdamW): new tensors in ordinary memory
   * by parameter name, of the parameters' shapes and dtypes. A parameter that has not stepped yet gives a copy of itself. Throws
   * `unsupported` where no average is kept.
   */
  async averagedParameters(): Promise<Record<string, Tensor>> {
    this.checkUsable();
    if (this.settle) await this.#settled();
    const averages = await averagedParameters(this);
    this.#checkSound();
    return averages;
  }

  /** Frees the state. Parameters are the user's own and stay. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const { slots } of this.#parameters) {
      for (const { storage } of slots.values()) storage.free();
      slots.clear();
    }
  }

  /** `dispose()`, for `using`. */
  [DISPOSE](): void {
    this.dispose();
  }

  /** @internal */
  checkUsable(): void {
    if (this.#disposed)
      throw new StepjitError("disposed", `${this.definition.name} was used after dispose()`);
    this.#checkSound();
  }

  #checkSound(): void {
    const { poison: cause } = this;
    if (cause === undefined) return;
    const why = cause instanceof StepjitError ? ` (${cause.message})` : "";
    throw new StepjitError(
      "poisoned",
      `${this.definition.name}: an earlier step failed half-way${why}, so parameters and state may be mixed. ` +
        "Make a new optimizer and load the last state dict.",
      { cause },
    );
  }

  /** Steps may go on while the host catches up: then there is more to catch up with. */
  async #settled(): Promise<void> {
    while (this.settle) await this.settle();
    this.checkUsable();
  }

  #add({ entries, options }: NormalizedGroup): void {
    const index = this.#groups.length;
    const own = withoutTorchOptions(
      options,
      this.definition,
      `${this.definition.name}, param group ${index}`,
    );
    const parameters = entries.map(({ name, tensor }, offset) => {
      if ((name !== undefined) !== this.named)
        refuse(
          `${this.definition.name}: either all parameters have names or none; parameter ${show(name ?? offset)} of group ${index} differs`,
        );
      const id = this.#parameters.length + offset;
      return new Parameter(name ?? String(id), tensor, id, index, this.counts);
    });
    const seen = new Set<unknown>(this.#parameters.flatMap(identities));
    for (const parameter of parameters)
      for (const identity of identities(parameter)) {
        if (seen.has(identity))
          refuse(`${this.definition.name}: parameter ${show(parameter.name)} appears more than once`);
        seen.add(identity);
      }
    const settings = { ...this.#defaults, ...own };
    this.#groups.push(new ParamGroup(this.definition, index, parameters, settings, this.#scales));
    this.#parameters.push(...parameters);
    this.counts.grow(this.#parameters.length);
    this.revision++;
  }
}

/** What may not appear twice: the name, the tensor, and the memory behind it. */
function identities({ name, tensor }: Parameter): unknown[] {
  const { storage, size } = tensor;
  return [name, tensor, ...(size > 0 ? [storage.visible ? storage.view() : storage] : [])];
}

function refuse(message: string): never {
  throw new StepjitError("invalid-parameters", message);
}

/** What options, scales and groups hold besides hyperparameters and flags. */
const RESERVED: ReadonlySet<string> = new Set([
  "scales",
  "match",
  "index",
  ...Object.getOwnPropertyNames(ParamGroup.prototype),
]);
const DIRECTIVE = /["']use stepjit["']/;

/**
 * Makes an optimizer class from its maths. Throws `not-transformed` where `update` still carries its directive, since the operators
 * in it would then compute on objects, and `invalid-option` for names that cannot be printed and flags that do not exist.
 */
export function defineOptimizer<
  H extends HyperValues,
  F extends string = never,
  D extends FlagValues = Record<never, boolean>,
  S extends string = never,
>(definition: OptimizerDefinition<H, F, D, S>): OptimizerClass<{ [K in keyof H]: WidenedOrNull<H>[K] }, F> {
  const { name } = definition;
  const erased = definition as unknown as AnyDefinition;
  checkDefinition(erased);
  const made = class extends Optimizer {
    static readonly definition = erased;
    constructor(params: unknown, options?: object) {
      super(erased, params, options);
    }
  };
  Object.defineProperty(made, "name", { value: name });
  return made as never;
}

function checkDefinition({
  name,
  hyper,
  flags = {},
  derive,
  matrix,
  state = {},
  update,
}: AnyDefinition): void {
  if (DIRECTIVE.test(Function.prototype.toString.call(update)))
    throw new StepjitError(
      "not-transformed",
      `${name}: update is marked "use stepjit" but was not transformed. Add stepjit/plugin to your bundler ` +
        '(import stepjit from "stepjit/plugin"; plugins: [stepjit.vite()]) or run node --import stepjit/register; ' +
        "or write the maths by name with stepjit/ops and without the directive.",
    );
  if (!/^\w[\w .+-]*$/.test(name))
    invalid(`an optimizer's name is of letters, digits and " _.+-", got ${show(name)}`);
  for (const word of [...Object.keys(hyper), ...Object.keys(flags), ...Object.keys(state)])
    if (!/^[A-Za-z_$][\w$]*$/.test(word))
      invalid(`${name}: ${show(word)} is no name for a hyperparameter, flag or slot`);
  const reserved = [...Object.keys(hyper), ...Object.keys(flags)].find((word) => RESERVED.has(word));
  if (reserved)
    invalid(
      `${name}: ${show(reserved)} is no name for a hyperparameter or flag: it stands for something else in options and groups`,
    );
  for (const [key, { default: value, nullable }] of Object.entries(hyper))
    if (!nullable && [value].flat().includes(null))
      invalid(`${name}: the default of ${key} is null, which is for hyperparameters that are nullable`);
  const defaults = inNumbers(
    Object.fromEntries(Object.entries(hyper).map(([key, spec]) => [key, spec.default])),
  );
  const known = new Set([...Object.keys(flags), ...Object.keys(derive?.(defaults, flags) ?? {})]);
  if (matrix) known.add("matrix");
  for (const [slot, spec] of Object.entries(state))
    for (const word of ["when", "unless"] as const) {
      const flag = typeof spec === "object" ? spec[word] : undefined;
      if (flag !== undefined && !known.has(flag))
        invalid(
          `${name}: state.${slot} exists ${word} ${show(flag)}, which is no flag; there are ${[...known].join(", ") || "none"}`,
        );
    }
}

function invalid(message: string): never {
  throw new StepjitError("invalid-option", message);
}

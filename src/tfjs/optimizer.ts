import {
  Optimizer as BaseOptimizer,
  type NamedTensorMap,
  type Optimizer as TfOptimizer,
  tensor,
  scalar as tfScalar,
  type Variable,
} from "@tensorflow/tfjs-core";
import type { Step } from "../compile.ts";
import { StepjitError } from "../error.ts";
import { withAverage } from "../optim/around/average.ts";
import { ParamGroup } from "../optim/group.ts";
import { type Member, Scalar, show } from "../optim/hyper.ts";
import { readScales } from "../optim/scales.ts";
import type { SavedState, SavedTensor } from "../optim/state-dict.ts";
import { withoutTorchOptions } from "../optim/torch-options.ts";
import { Tensor } from "../tensor.ts";
import { type AnyDefinition, count, type FlagValues, type StateSpecs } from "../trace/definition.ts";
import { Binding, type States, type StepOptions, sameShape } from "./binding.ts";
import type { Face, Settings } from "./faces.ts";
import { type Home, type NamedTensor, variableOf } from "./home.ts";
import { currentHome } from "./homes.ts";

type TfConfig = ReturnType<TfOptimizer["getConfig"]>;

/** What `applyGradients` takes: by variable name. A null stands for a variable that is not updated. */
export type VariableGradients = NamedTensorMap | NamedTensor[];

/**
 * A compiled step as a tf.Optimizer: for `model.compile({ optimizer })`, `minimize` and `applyGradients`. Every setting is a
 * property, and assigning it compiles nothing, flags aside. Variables are updated in place: read a copy
 * (`variable.dataSync().slice()`) to keep what they hold. State belongs to a variable's name.
 */
export class CompiledOptimizer extends BaseOptimizer {
  /** Also under the definition's own name: `lr`. */
  declare learningRate: number;
  readonly #face: Face;
  readonly #stepOptions: StepOptions;
  readonly #original: TfOptimizer | undefined;
  /** What every param group is made from. Its hyperparameters are scalars, so that all groups have them in common. */
  readonly #options: Record<string, unknown>;
  readonly #settings: ParamGroup;
  readonly #scales: unknown;
  #binding: Binding | undefined;
  #disposed = false;

  /** @internal Use `compileStep` or `compileOptimizer`. */
  constructor(face: Face, stepOptions: StepOptions, original?: TfOptimizer) {
    super();
    this.#face = face;
    this.#stepOptions = stepOptions;
    this.#original = original;
    const { definition } = face.optimizer;
    const { scales = [], ...options } = withoutTorchOptions(face.options, definition, definition.name);
    readScales(definition, scales); // whether they match is seen when there are variables
    this.#scales = scales;
    const { settings } = new ParamGroup(definition, 0, [], options);
    this.#options = { ...settings, ...options };
    for (const name of Object.keys(definition.hyper)) this.#options[name] = shared(this.#options[name]);
    this.#settings = new ParamGroup(definition, 0, [], this.#options);
    for (const name of new Set([...face.shown, "learningRate"])) {
      const setting = name === "learningRate" ? this.#learningRateName : name;
      Object.defineProperty(this, name, {
        enumerable: true,
        get: () => this.#settings.settings[setting],
        set: (value: unknown) => this.#assign({ [setting]: value }),
      });
    }
    this.#restart(0);
  }

  /** The compiled step, with its `stats`, `events`, `dump`, `explain` and `profile`; undefined before the first gradients. */
  get step(): Step | undefined {
    return this.#binding?.step;
  }

  /** Sets `learningRate`, under the name that Keras callbacks use. */
  setLearningRate(learningRate: number): void {
    this.learningRate = learningRate;
  }

  override getClassName(): string {
    return this.#face.className;
  }

  override getConfig(): TfConfig {
    const { settings } = this.#settings;
    return Object.fromEntries(this.#face.shown.map((name) => [name, settings[name]])) as TfConfig;
  }

  /**
   * Updates the variables for which there is a gradient. Gradients stay the caller's to dispose. Everything is checked first: throws
   * `invalid-gradient`, `invalid-parameters`, `disposed`, `unsupported` and `out-of-memory` with all variables as they were.
   */
  override applyGradients(variableGradients: VariableGradients): void {
    this.#checkUsable();
    const home = currentHome();
    const gradients = listOf(variableGradients).filter(({ tensor }) => tensor != null);
    const variables = gradients.map((gradient) => this.#checkGradient(gradient));
    const twice = variables.find(({ name }, index) => variables.findIndex((v) => v.name === name) < index);
    if (twice) this.#refuse("invalid-gradient", `two gradients for variable "${twice.name}"`);
    if (variables.length > 0) this.#bindingFor(home, variables).apply(gradients);
    this.incrementIterations();
    const { settings } = this.#settings;
    for (const [name, { next }] of Object.entries(this.#face.running))
      this.#assign({ [name]: next(settings[name] as number, settings) });
  }

  /** The number of steps and the state, as copies named as TensorFlow.js names them: yours to dispose. */
  override async getWeights(): Promise<NamedTensor[]> {
    this.#checkUsable();
    const [iterations, states] = await Promise.all([
      this.saveIterations(),
      this.#binding?.readStates() ?? new Map<string, SavedState>(),
    ]);
    const weights = [iterations];
    for (const slot of Object.keys(this.#specs))
      for (const [name, state] of states) {
        const value = state[slot];
        if (value !== undefined && value !== null)
          weights.push({ name: `${name}/${slot}`, tensor: asTfTensor(value, this.#isCount(slot)) });
      }
    return weights;
  }

  /**
   * Takes the weights of an optimizer of the same kind, TensorFlow.js's own included. The variables have to be there. Throws
   * `invalid-state` before anything has changed.
   */
  override async setWeights(weights: NamedTensor[]): Promise<void> {
    this.#checkUsable();
    const [first, ...rest] = weights;
    const iterations = (await first?.tensor.data())?.[0];
    if (iterations === undefined || !Number.isSafeInteger(iterations) || iterations < 0)
      return this.#refuse(
        "invalid-state",
        `the first weight is the number of steps, got ${show(first?.name)}`,
      );
    const states = await this.#readStates(rest);
    const variables = [...states.keys()].map((name) => this.#checkVariable(name, "invalid-state"));
    if (variables.length > 0) this.#bindingFor(currentHome(), variables, states);
    else if (this.#binding) this.#binding.states = states;
    this.iterations_ = iterations;
    this.#restart(iterations);
  }

  /**
   * The weights to evaluate with, by variable name, as new tensors: yours to dispose. What `ema` or `swa` keeps, or the optimizer itself
   * (ScheduleFreeAdamW). Throws `unsupported` where no average is kept; there is none before the first gradients.
   */
  async averagedWeights(): Promise<NamedTensorMap> {
    this.#checkUsable();
    const averages = Object.entries((await this.#binding?.optimizer.averagedParameters()) ?? {});
    return Object.fromEntries(
      averages.map(([name, { data, shape }]) => [name, tensor(data as Float32Array, [...shape])]),
    );
  }

  /** Frees the state, and the tensors of the optimizer that was compiled. Variables stay as they are. */
  override dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#binding?.dispose();
    this.#original?.dispose();
  }

  get #definition(): AnyDefinition {
    return this.#face.optimizer.definition;
  }

  get #specs(): StateSpecs {
    return withAverage(this.#definition.state);
  }

  get #learningRateName(): string {
    return "learningRate" in this.#definition.hyper ? "learningRate" : "lr";
  }

  get #flags(): FlagValues {
    const { settings } = this.#settings;
    return Object.fromEntries(
      Object.keys(this.#definition.flags ?? {}).map((name) => [name, settings[name] as boolean]),
    );
  }

  #isCount(slot: string): boolean {
    return this.#specs[slot] === count;
  }

  #assign(settings: Record<string, unknown>): void {
    for (const group of [this.#settings, ...(this.#binding?.optimizer.paramGroups ?? [])])
      group.assign(settings);
  }

  /** Sets what runs along with the steps to what it is after this many. */
  #restart(iterations: number): void {
    const settings: Settings = this.#settings.settings;
    for (const [name, { at }] of Object.entries(this.#face.running))
      this.#assign({ [name]: at(iterations, settings) });
  }

  /**
   * The binding for this home, these variables included, and with this state. Another backend of TensorFlow.js means another memory:
   * without `states`, state moves there.
   */
  #bindingFor(home: Home, variables: readonly Variable[], states?: States): Binding {
    const old = this.#binding;
    if (old?.home === home) {
      old.add(variables, this.#flags);
      if (states) old.states = states;
      return old;
    }
    if (old && !states && !old.hasVisibleStates)
      this.#refuse(
        "device-memory",
        "its state is in GPU memory, from where a step on another backend of TensorFlow.js cannot fetch it. Move it first: " +
          "await optimizer.setWeights(await optimizer.getWeights())",
      );
    const moved = states ?? old?.states;
    const kept = (old?.names ?? []).flatMap((name) => variableOf(name) ?? []);
    const all = [...new Set([...kept, ...variables])];
    const options = { ...this.#options, ...this.#flags, scales: this.#scales };
    const binding = new Binding(home, all, this.#face.optimizer, options, this.#stepOptions);
    try {
      if (moved) binding.states = moved;
    } catch (error) {
      binding.dispose();
      throw error;
    }
    old?.dispose();
    this.#binding = binding;
    return binding;
  }

  #checkGradient({ name, tensor }: NamedTensor): Variable {
    const variable = this.#checkVariable(name, "invalid-gradient");
    if (tensor.isDisposed) this.#refuse("disposed", `the gradient of variable "${name}" was disposed`);
    if (tensor.dtype !== "float32" || !sameShape(tensor.shape, variable.shape))
      this.#refuse(
        "invalid-gradient",
        `the gradient of variable "${name}" is ${tensor.dtype} of shape [${tensor.shape}], the variable float32 of shape [${variable.shape}]`,
      );
    return variable;
  }

  #checkVariable(name: string, code: "invalid-gradient" | "invalid-state"): Variable {
    const variable = variableOf(name);
    if (!variable)
      return this.#refuse(
        this.#binding?.names.includes(name) ? "disposed" : code,
        `there is no variable ${show(name)}: it was disposed, or never made`,
      );
    if (variable.dtype !== "float32")
      this.#refuse("unsupported", `variable "${name}" is ${variable.dtype}; only float32 is allowed`);
    return variable;
  }

  /** `dense/kernel/m` is the state m of the variable dense/kernel. */
  async #readStates(weights: readonly NamedTensor[]): Promise<States> {
    const specs = this.#specs;
    const states = new Map<string, Record<string, number | SavedTensor>>();
    for (const { name, tensor } of weights) {
      const [, variable, slot] = /^(.*)\/([^/]*)$/.exec(name) ?? [];
      const spec = slot !== undefined && Object.hasOwn(specs, slot) ? specs[slot] : undefined;
      if (variable === undefined || slot === undefined || !spec)
        return this.#refuse(
          "invalid-state",
          `weight ${show(name)} belongs to no state; there are ${
            Object.keys(this.#definition.state ?? {})
              .map((state) => `<variable>/${state}`)
              .join(", ") || "none"
          }`,
        );
      const data = await tensor.data<"float32">();
      const isNumber = spec === count || spec.extent === "param";
      const value = isNumber
        ? (data[0] as number)
        : ({ dtype: "float32", shape: tensor.shape, data: Float32Array.from(data) } as const);
      states.set(variable, { ...states.get(variable), [slot]: value });
    }
    return states;
  }

  #checkUsable(): void {
    if (this.#disposed) this.#refuse("disposed", "it was used after dispose()");
  }

  #refuse(code: ConstructorParameters<typeof StepjitError>[0], message: string): never {
    throw new StepjitError(code, `${this.#face.className}: ${message}`);
  }
}

function listOf(gradients: VariableGradients): NamedTensor[] {
  if (Array.isArray(gradients)) return gradients;
  return Object.entries(gradients).map(([name, tensor]) => ({ name, tensor }));
}

/** A hyperparameter as scalars that several groups can share; scalars and tensors of the user's own stay theirs. */
function shared(value: unknown): Exclude<Member, number> | Exclude<Member, number>[] {
  if (Array.isArray(value)) return value.map((member) => shared(member) as Exclude<Member, number>);
  return value instanceof Scalar || value instanceof Tensor
    ? value
    : new Scalar((value as number | null) ?? Number.NaN);
}

function asTfTensor(value: number | SavedTensor, isCount: boolean): NamedTensor["tensor"] {
  if (typeof value === "number") return tfScalar(value, isCount ? "int32" : "float32");
  return tensor(value.data as Float32Array, [...value.shape]);
}

/** The engine of one compiled step: keeps a plan that fits the optimizer, and runs it. */
import type { Backend, ClassLayout, Numerics, Storage } from "../backends/backend.ts";
import { StepjitError } from "../error.ts";
import { HyperCell, type Scalar } from "../optim/hyper.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import type { Parameter } from "../optim/parameter.ts";
import { layoutOf } from "../plan/layout.ts";
import { bytesPerElement, type KernelText, kernelTexts, Plan } from "../plan/plan.ts";
import { memberNames, type TransformDefinition } from "../trace/definition.ts";
import { type Compiled, compiledModule, pipelinesOf } from "./cache.ts";
import { classify } from "./classes.ts";
import { diffKeys, type Key, reasonOf, type StepEvent } from "./events.ts";
import { GradientReader, type Gradients } from "./gradients.ts";
import { fillNewState, hasNewState, placeState } from "./state.ts";

/** What to do when a kernel has to be compiled after the first step. */
export type OnRecompile = "warn" | "error" | ((event: StepEvent) => void);

export interface EngineOptions {
  readonly backend: Backend;
  readonly threads: number;
  readonly numerics: Numerics;
  readonly transforms: readonly TransformDefinition[];
  readonly onRecompile: OnRecompile | undefined;
}

/** A parameter that kernels cannot reach: copied in before and out after every step. */
interface CopiedParameter {
  readonly parameter: Parameter;
  readonly mirror: Storage;
}

/** All that follows from the optimizer's structure; replaced as a whole. */
interface Planned {
  readonly key: Key;
  readonly revision: number;
  readonly compiled: Compiled;
  readonly kernels: readonly KernelText[];
  readonly layouts: readonly ClassLayout[];
  readonly plan: Plan;
  readonly gradients: GradientReader;
  readonly copied: readonly CopiedParameter[];
  /** Parameters whose memory may move between steps. */
  readonly moving: readonly number[];
  /** Bytes an element, by class. */
  readonly traffic: readonly { moved: number; ideal: number }[];
}

export class Engine {
  readonly optimizer: Optimizer;
  readonly options: EngineOptions;
  readonly events: StepEvent[] = [];
  /** Step-level hyperparameters, by transform and name. */
  readonly stepHyper: ReadonlyMap<string, HyperCell>;
  steps = 0;
  bytesMoved = 0;
  bytesIdeal = 0;
  bytesCopied = 0;
  milliseconds = 0;
  #planned: Planned | undefined;
  /** Each group's numbers as of the last step, to say which one crossed zero. */
  #numbers: Float64Array[] = [];
  /** Which parameters take part, or are new, differs from what the scalar rows were dealt out for. */
  #rowsAreOld = true;
  #disposed = false;

  constructor(optimizer: Optimizer, options: EngineOptions) {
    this.optimizer = optimizer;
    this.options = options;
    this.stepHyper = new Map(
      options.transforms.flatMap(({ name: transform, hyper }) =>
        Object.entries(hyper).map(([name, spec]) => [`${transform}.${name}`, new HyperCell(name, spec)]),
      ),
    );
  }

  /** What is planned now, after bringing it up to date. */
  get planned(): Planned {
    this.#checkUsable();
    this.#refreshNumbers();
    return this.#upToDate();
  }

  /** Launches a step. */
  get launches(): number {
    return this.#planned?.plan.launches ?? 0;
  }

  setStepHyper(name: string, value: number | Scalar): void {
    const cell = this.stepHyper.get(name) as HyperCell;
    cell.assign(cell.check(value, "compileStep"));
  }

  run(input: Gradients | undefined): void {
    this.#checkUsable();
    const start = performance.now();
    this.#refreshNumbers();
    const planned = this.#upToDate();
    const { changed, commit } = planned.gradients.prepare(input);

    // All checks are done: from here on, things are written.
    commit();
    this.#takeGradients(planned, changed);
    this.#takeNewState(planned);
    this.bytesCopied = planned.gradients.copyIn();
    this.#bindMoving(planned);
    for (const { parameter, mirror } of planned.copied) {
      mirror.view().set(parameter.tensor.data as Float32Array);
      this.bytesCopied += 2 * parameter.tensor.data.byteLength;
    }
    this.#launch(planned);
    for (const { parameter, mirror } of planned.copied)
      (parameter.tensor.data as Float64Array).set(mirror.view());
    this.steps++;
    this.milliseconds = performance.now() - start;
  }

  dispose(): void {
    this.#disposed = true;
    if (this.#planned) release(this.#planned);
    this.#planned = undefined;
  }

  #checkUsable(): void {
    if (this.#disposed)
      throw new StepjitError(
        "disposed",
        `a step of ${this.optimizer.definition.name} was used after dispose()`,
      );
    this.optimizer.checkUsable();
    for (const { name, tensor } of this.optimizer.parameters)
      if (tensor.disposed)
        throw new StepjitError(
          "disposed",
          `${this.optimizer.definition.name}: parameter "${name}" was disposed`,
        );
  }

  #refreshNumbers(): void {
    for (const group of this.optimizer.paramGroups) group.refresh();
    for (const cell of this.stepHyper.values())
      for (const number of cell.numbers) cell.checkNumber(number, "compileStep");
  }

  #takeGradients(planned: Planned, changed: readonly number[]): void {
    const { parameters } = this.optimizer;
    for (const index of changed) {
      const parameter = parameters[index] as Parameter;
      const storage = planned.gradients.source(index);
      if (storage) planned.plan.bind(index, "grad", storage);
      if (parameter.active !== (storage !== undefined)) this.#rowsAreOld = true;
      parameter.active = storage !== undefined;
    }
  }

  /** Fills the state of parameters that step for the first time; they are new for this one step. */
  #takeNewState(planned: Planned): void {
    const { definition, parameters, paramGroups } = this.optimizer;
    if (!this.#rowsAreOld) return;
    let anyFirst = false;
    parameters.forEach((parameter) => {
      const layout = planned.layouts[parameter.classIndex] as ClassLayout;
      parameter.first = parameter.active && hasNewState(definition, parameter, layout);
      if (!parameter.first) return;
      anyFirst = true;
      fillNewState(
        definition,
        parameter,
        layout,
        paramGroups[parameter.group] as (typeof paramGroups)[number],
      );
    });
    planned.plan.assignRows();
    this.#countBytes(planned);
    this.#rowsAreOld = anyFirst;
  }

  #countBytes({ traffic }: Planned): void {
    this.bytesMoved = 0;
    this.bytesIdeal = 0;
    for (const { active, elements, classIndex } of this.optimizer.parameters) {
      if (!active) continue;
      this.bytesMoved += elements * (traffic[classIndex]?.moved ?? 0);
      this.bytesIdeal += elements * (traffic[classIndex]?.ideal ?? 0);
    }
  }

  #bindMoving({ plan, moving, gradients }: Planned): void {
    for (const index of moving) {
      plan.bind(index, "param", (this.optimizer.parameters[index] as Parameter).tensor.storage);
      const gradient = gradients.source(index);
      if (gradient?.moves) plan.bind(index, "grad", gradient);
    }
  }

  #launch({ plan }: Planned): void {
    try {
      plan.run(this.options.threads);
    } catch (error) {
      this.optimizer.poison = error;
      throw error;
    }
  }

  #upToDate(): Planned {
    const { optimizer } = this;
    const old = this.#planned;
    const flags = flagsKey(optimizer);
    if (
      old &&
      old.revision === optimizer.revision &&
      optimizer.driver === this &&
      old.key.get(FLAGS) === flags
    ) {
      for (const [index, { numbers }] of optimizer.paramGroups.entries()) this.#numbers[index]?.set(numbers);
      return old;
    }
    const planned = this.#makePlan(old);
    if (old) release(old);
    this.#planned = planned;
    this.#numbers = optimizer.paramGroups.map(({ numbers }) => numbers.slice());
    this.#rowsAreOld = true;
    optimizer.driver = this;
    for (const group of optimizer.paramGroups) {
      const { flags } = group;
      group.keepDerived(group.derivedNames.filter((name) => flags[name]));
    }
    return planned;
  }

  #makePlan(old: Planned | undefined): Planned {
    const { optimizer, options } = this;
    const { backend, numerics, transforms } = options;
    const key = keyOf(optimizer, options);
    const changes = diffKeys(old?.key ?? new Map(), key, this.#crossings()).filter(
      ({ part }) => part !== FLAGS,
    );
    const reason = old
      ? reasonOf(changes) || "another step of this optimizer was planned in between"
      : "first step";
    const log = (kind: StepEvent["kind"], milliseconds: number, kernel?: string): StepEvent => {
      const event = {
        kind,
        step: this.steps,
        reason,
        changes,
        milliseconds,
        ...(kernel !== undefined && { kernel }),
      };
      this.events.push(event);
      return event;
    };

    const { classes, indices } = classify(optimizer);
    const compiled = compiledModule(optimizer.definition, classes, transforms, (ms) => log("trace", ms));
    const layouts = classes.map(({ name, dtype }) => layoutOf(compiled.module, name, dtype));
    const kernels = kernelTexts(compiled.module, layouts, backend, numerics);
    this.#compileKernels(kernels, reason, log);

    const start = performance.now();
    optimizer.driver = undefined; // until this plan is finished, no plan fits the parameters
    optimizer.parameters.forEach((parameter, index) => {
      placeState(parameter, layouts[indices[index] as number] as ClassLayout, backend);
      parameter.classIndex = indices[index] as number;
      parameter.active = false;
    });
    const cache = pipelinesOf(backend);
    const plan = new Plan(
      {
        module: compiled.module,
        classes,
        parameters: optimizer.parameters,
        groups: optimizer.paramGroups.map(({ numbers }) => numbers),
        hyperNames: Object.entries(optimizer.definition.hyper).flatMap(([name, spec]) =>
          memberNames(name, spec.default),
        ),
        stepHyper: new Map(
          [...this.stepHyper].map(([name, cell]) => [name, () => cell.numbers[0] as number]),
        ),
      },
      backend,
      (phase, classIndex) => {
        const kernel = kernels.find((one) => one.phase === phase && one.classIndex === classIndex);
        return kernel ? (cache.get(kernel.text) ?? null) : null;
      },
    );
    const { copied, moving } = this.#bindTensors(plan);
    log("plan", performance.now() - start);
    return {
      key,
      revision: optimizer.revision,
      compiled,
      kernels,
      layouts,
      plan,
      gradients: new GradientReader(optimizer, backend),
      copied,
      moving,
      traffic: layouts.map((layout) => bytesPerElement(compiled.module, layout)),
    };
  }

  /** Compiles what the backend has not seen. After the first step, `onRecompile` is asked before anything changes. */
  #compileKernels(
    kernels: readonly KernelText[],
    reason: string,
    log: (kind: "kernel", milliseconds: number, kernel: string) => StepEvent,
  ): void {
    const { backend, onRecompile } = this.options;
    const cache = pipelinesOf(backend);
    const missing = kernels.filter(({ text }) => !cache.has(text));
    const isRecompile = this.steps > 0;
    if (isRecompile && missing.length > 0 && onRecompile === "error")
      throw new StepjitError(
        "recompile",
        `${this.optimizer.definition.name}: step ${this.steps + 1} would compile ${missing.length} kernel(s) again: ${reason}`,
      );
    for (const { name, phase, text } of missing) {
      if (cache.has(text)) continue;
      const start = performance.now();
      cache.set(text, backend.compile(text));
      const event = log("kernel", performance.now() - start, `${name}, phase ${phase}`);
      if (!isRecompile) continue;
      if (onRecompile === "warn") console.warn(`stepjit: compiled "${name}" again: ${reason}`);
      else if (typeof onRecompile === "function") onRecompile(event);
    }
  }

  #bindTensors(plan: Plan): { copied: CopiedParameter[]; moving: number[] } {
    const { backend } = this.options;
    const copied: CopiedParameter[] = [];
    const moving: number[] = [];
    this.optimizer.parameters.forEach((parameter, index) => {
      const { storage } = parameter.tensor;
      let place = backend.owns(storage) ? storage : backend.adopt(storage.view());
      if (!place) {
        place = backend.allocate(storage.dtype, storage.length);
        copied.push({ parameter, mirror: place });
      }
      if (place.moves) moving.push(index);
      plan.bind(index, "param", place);
      for (const [name, slot] of parameter.slots) plan.bind(index, `state.${name}`, slot.storage);
    });
    return { copied, moving };
  }

  /** Which hyperparameter left zero, by the key part of the flags that follow from it. */
  #crossings(): Map<string, string> {
    const names = Object.entries(this.optimizer.definition.hyper).flatMap(([name, spec]) =>
      memberNames(name, spec.default),
    );
    const causes = new Map<string, string>();
    for (const group of this.optimizer.paramGroups) {
      const before = this.#numbers[group.index];
      const left = names.flatMap((name, i) =>
        before?.[i] === 0 && group.numbers[i] !== 0 ? [`${name} 0 → ${group.numbers[i]}`] : [],
      );
      if (left.length > 0)
        for (const flag of group.derivedNames) causes.set(flagPart(group.index, flag), left.join(", "));
    }
    return causes;
  }
}

function release({ plan, gradients, copied }: Planned): void {
  plan.dispose();
  gradients.dispose();
  for (const { mirror } of copied) mirror.free();
}

/** The part of the key that is compared at every step; its details are parts of their own. */
const FLAGS = "flags";

function flagsKey(optimizer: Optimizer): string {
  return optimizer.paramGroups.map(({ flagsKey }) => flagsKey).join("|");
}

function flagPart(group: number, flag: string): string {
  return `param group ${group}, ${flag}`;
}

/** All that a plan depends on, as readable parts. */
function keyOf(optimizer: Optimizer, { backend, numerics, transforms }: EngineOptions): Key {
  const parts: [string, string][] = [
    [FLAGS, flagsKey(optimizer)],
    ["optimizer", optimizer.definition.name],
    ["backend", backend.target],
    ["numerics", numerics],
    ["gradient transforms", transforms.map(({ name }) => name).join(", ") || "none"],
    ["parameters", String(optimizer.parameters.length)],
    ["state", `revision ${optimizer.revision}`],
  ];
  for (const group of optimizer.paramGroups) {
    for (const [flag, value] of Object.entries(group.flags))
      parts.push([flagPart(group.index, flag), String(value)]);
    const dtypes = new Set(group.parameters.map(({ tensor }) => tensor.storage.dtype));
    parts.push([`param group ${group.index}, dtypes`, [...dtypes].sort().join(", ")]);
  }
  return new Map(parts);
}

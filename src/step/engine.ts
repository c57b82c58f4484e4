/** The engine of one compiled step: keeps a plan that fits the optimizer, and runs it. */
import type { ClassLayout, Storage } from "../backends/backend.ts";
import { StepjitError } from "../error.ts";
import type { ParamGroup } from "../optim/group.ts";
import { HyperCell, type Scalar, show } from "../optim/hyper.ts";
import { matrixAxes } from "../optim/matrix.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import { GRAD_SUM, type Parameter, type Slot } from "../optim/parameter.ts";
import type { Bytes, Traffic } from "../plan/layout.ts";
import type { Plan } from "../plan/plan.ts";
import { disposedSoFar, Tensor } from "../tensor.ts";
import type { StateSpecs } from "../trace/definition.ts";
import { occasionOf, printEvent, type StepEvent } from "./events.ts";
import type { Gradients } from "./gradients.ts";
import { crossingsOf, flagsKey, keyOf } from "./key.ts";
import { tell } from "./listeners.ts";
import { Mirrors } from "./mirrors.ts";
import type { EngineOptions } from "./options.ts";
import { printPerformance } from "./performance.ts";
import {
  bindNoGradient,
  makePlan,
  modulesOf,
  type Planned,
  type PlannedModule,
  releasePlan,
} from "./planner.ts";
import type { Recorder } from "./recorder.ts";
import { checkResidents } from "./residents.ts";
import { StateShape } from "./state.ts";
import { Verdicts } from "./verdicts.ts";

/** State that a step filled, and what takes it back. */
interface Filled {
  readonly step: number;
  readonly parameter: Parameter;
  readonly undo: () => void;
}

export class Engine {
  readonly optimizer: Optimizer;
  readonly options: EngineOptions;
  readonly events: StepEvent[] = [];
  /** Step-level hyperparameters, by transform and name. */
  readonly stepHyper: ReadonlyMap<string, HyperCell>;
  /** Steps begun; those of them that were given up. */
  steps = 0;
  skipped = 0;
  launches = 0;
  bytesMoved = 0;
  bytesIdeal = 0;
  bytesCopied = 0;
  milliseconds = 0;
  /** While the step is profiled. */
  recorder: Recorder | undefined;
  #planned: Planned | undefined;
  /** Of parameters that kernels cannot reach: they outlive a plan. */
  readonly mirrors: Mirrors;
  /** Each group's numbers as of the last step, to say which one crossed zero. */
  #numbers: Float64Array[] = [];
  /** Calls, those that only added up gradients included. */
  #calls = 0;
  /** The module whose scalar rows fit the parameters as they are: which take part, with a gradient, with a sum, and which are new. */
  #dealt: PlannedModule | undefined;
  /** By plan: which parameters had a gradient and a sum when its rows were dealt out. */
  readonly #marks = new Map<Plan, Uint8Array>();
  /** By parameter: 1 where it takes part, as the rows have it. */
  #active = new Uint8Array(0);
  /** The slots of all transforms. */
  readonly #aroundState: StateSpecs;
  /** Whether a step may be given up. */
  readonly #mayGiveUp: boolean;
  /** State that was filled for steps of which none is known to be committed. */
  #unproven: Filled[] = [];
  readonly #verdicts = new Verdicts();
  /** Tensors disposed, of anyone's, when all parameters were known to be there. */
  #disposals = -1;
  #disposed = false;

  /** Why a step failed, if one did. */
  #failure: unknown;

  readonly #settle = (): Promise<void> => this.finished();

  readonly #fail = (error: unknown): void => {
    this.#failure ??= error;
    this.optimizer.poison ??= error;
  };

  constructor(optimizer: Optimizer, options: EngineOptions) {
    this.optimizer = optimizer;
    this.options = options;
    this.mirrors = new Mirrors(options.backend);
    this.stepHyper = new Map(
      options.transforms.flatMap(({ name: transform, hyper }) =>
        Object.entries(hyper).map(([name, spec]) => [`${transform}.${name}`, new HyperCell(name, spec)]),
      ),
    );
    this.#mayGiveUp = options.transforms.some(({ commit }) => commit);
    this.#aroundState = Object.assign({}, ...options.transforms.map(({ state }) => state));
  }

  /** What is planned now, after bringing it up to date. */
  get planned(): Planned {
    this.checkUsable();
    this.#refreshNumbers();
    return this.#upToDate();
  }

  setStepHyper(name: string, value: number | Scalar): void {
    const cell = this.stepHyper.get(name) as HyperCell;
    if (value instanceof Tensor)
      throw new StepjitError(
        "invalid-option",
        `compileStep: ${cell.name} is a number or a scalar, got ${show(value)}`,
      );
    cell.assign(cell.check(value, "compileStep"));
  }

  run(given: Gradients | undefined): void {
    this.checkUsable();
    const input = this.#beforeStep(given);
    const start = performance.now();
    this.#refreshNumbers();
    const planned = this.#upToDate();
    const { changed, commit } = planned.gradients.prepare(input);

    // All checks are done: from here on, things are written.
    commit();
    this.#takeGradients(planned, changed);
    const micro = planned.micro && !this.#completes() ? planned.micro : undefined;
    this.bytesCopied = planned.gradients.copyIn();
    if (!micro) this.bytesCopied += this.mirrors.copyIn();
    this.#deal(planned, micro ?? planned);
    this.#bindMoving(planned);
    if (micro) this.#addUp(micro);
    else this.#step(planned);
    this.#verdicts.take();
    this.#sayWhetherBehind();
    this.#calls++;
    this.milliseconds = performance.now() - start;
    this.#record(micro ?? planned, start);
    this.options.log.say("perf", () => printPerformance(this));
    const { stepPost } = this.optimizer.hooks;
    if (stepPost.length > 0) stepPost.notify(this.optimizer, input);
  }

  /** The gradients that the hooks leave. */
  #beforeStep(given: Gradients | undefined): Gradients | undefined {
    const { stepPre } = this.optimizer.hooks;
    if (stepPre.length === 0) return given;
    const input = stepPre.replace(this.optimizer, given);
    this.checkUsable(); // a hook may have disposed anything
    return input;
  }

  /** Resolves once all steps so far are done and the host knows what came of them. Rejects where the device failed. */
  async finished(): Promise<void> {
    try {
      await this.options.backend.finished();
      if (this.#failure !== undefined) throw this.#failure;
      await Promise.all([this.#settleCounts(), this.mirrors.land()]);
    } catch (error) {
      this.#fail(error);
      throw error;
    }
    this.#sayWhetherBehind();
  }

  /** What has not come back yet still does. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (this.#isBehind) void this.finished().then(this.#release, this.#release);
    else this.#release();
  }

  readonly #release = (): void => {
    if (this.#planned) releasePlan(this.#planned);
    this.#planned = undefined;
    this.mirrors.dispose();
  };

  /** Takes the verdicts on all steps so far, and the device's counts and numbers, unless a later step has changed them. */
  async #settleCounts(): Promise<void> {
    const verdicts = this.#verdicts;
    const upTo = verdicts.launched;
    while (this.#planned && !verdicts.hasSettled(upTo)) {
      const { plan } = this.#planned;
      const commit = await plan.settle();
      verdicts.take();
      if (this.#hostRules) this.#forgetDevice();
      if (plan !== this.#planned?.plan || verdicts.taken < upTo) continue; // another plan inherits from this one, or did
      if (verdicts.launched > upTo || verdicts.settled >= upTo) return;
      commit();
      this.optimizer.counts.values.set(plan.spec.counts); // which are others where parameters were added
      verdicts.settled = upTo;
      this.#takeBack(plan);
    }
  }

  /** State that was filled for steps that are all known to be given up is as it was before. */
  #takeBack(plan: Plan): void {
    for (const { parameter, undo } of this.#unproven) {
      undo();
      plan.forget(parameter.index);
    }
    if (this.#unproven.length > 0) this.#forgetRows();
    this.#unproven = [];
  }

  /** Whether a state dict was loaded that no plan has seen yet. */
  get #hostRules(): boolean {
    return this.#planned?.loads !== this.optimizer.loads;
  }

  /** What the device knows counts no more. */
  #forgetDevice(): void {
    this.#verdicts.settled = this.#verdicts.launched;
    this.#unproven = [];
  }

  /** Whether steps are ahead of what the host knows. */
  get #isBehind(): boolean {
    return this.mirrors.areAhead || !this.#verdicts.hasSettled(this.#verdicts.launched);
  }

  #sayWhetherBehind(): void {
    const { optimizer } = this;
    if (this.#isBehind) optimizer.settle = this.#settle;
    else if (optimizer.settle === this.#settle) optimizer.settle = undefined;
  }

  /** Throws where a call would: `disposed`, `poisoned`, `device-error`. */
  checkUsable(): void {
    if (this.#disposed)
      throw new StepjitError(
        "disposed",
        `a step of ${this.optimizer.definition.name} was used after dispose()`,
      );
    this.options.backend.check();
    this.optimizer.checkUsable();
    if (this.#disposals === disposedSoFar()) return;
    for (const { name, tensor } of this.optimizer.parameters)
      if (tensor.disposed)
        throw new StepjitError(
          "disposed",
          `${this.optimizer.definition.name}: parameter "${name}" was disposed`,
        );
    this.#disposals = disposedSoFar();
  }

  #refreshNumbers(): void {
    for (const group of this.optimizer.paramGroups) group.refresh();
    checkResidents(this.optimizer, this.options.backend);
    for (const cell of this.stepHyper.values())
      for (const number of cell.numbers) cell.checkNumber(number, "compileStep");
  }

  /** Whether this call completes a step, or only adds up gradients. */
  #completes(): boolean {
    const calls = this.optimizer.microSteps + 1;
    this.stepHyper.get("accumulate.calls")?.assign([calls]);
    return calls >= (this.stepHyper.get("accumulate.accumulate")?.numberAt(0) ?? 1);
  }

  #addUp(micro: PlannedModule): void {
    this.#launch(micro);
    for (const { present, summed, slots } of this.optimizer.parameters) {
      if (!present || summed) continue;
      Object.assign(slots.get(GRAD_SUM) as Slot, { live: true, zeroed: false });
      this.#dealt = undefined;
    }
    this.optimizer.microSteps++;
    if (this.options.zeroGrad) this.#planned?.gradients.zeroCopied();
  }

  #step(planned: Planned): void {
    const close = this.#mayGiveUp ? this.#closing() : () => {};
    const committed = this.#launch(planned);
    if (committed !== false) this.mirrors.copyOut();
    this.steps++;
    if (planned.micro) this.#startCycle();
    if (this.options.zeroGrad) planned.gradients[committed === false ? "zeroAll" : "zeroCopied"]();
    if (planned.plan.remembers) this.#verdicts.open(committed === undefined ? close : undefined);
    if (committed === undefined) return;
    close(committed);
    this.#takeBack(planned.plan);
  }

  /** What follows from whether the coming step is committed. */
  #closing(): (committed: boolean) => void {
    const { scaler } = this.options;
    const scale = scaler?.scale.value;
    const step = this.steps;
    const active = this.#active;
    return (committed) => {
      if (!committed) this.skipped++;
      scaler?.update(!committed, scale);
      if (committed && this.#unproven.length > 0)
        this.#unproven = this.#unproven.filter((one) => one.step > step || !active[one.parameter.index]);
    };
  }

  #startCycle(): void {
    this.optimizer.microSteps = 0;
    for (const { slots, summed } of this.optimizer.parameters) {
      if (!summed) continue;
      (slots.get(GRAD_SUM) as Slot).live = false;
      this.#dealt = undefined;
    }
  }

  #takeGradients(planned: Planned, changed: readonly number[]): void {
    const { parameters } = this.optimizer;
    const modules = modulesOf(planned);
    for (const index of changed) {
      const parameter = parameters[index] as Parameter;
      const storage = planned.gradients.source(index);
      for (const { plan } of modules)
        if (storage) plan.bind(index, "grad", storage);
        else bindNoGradient(plan, parameter);
      if (parameter.present !== (storage !== undefined)) this.#dealt = undefined;
      parameter.present = storage !== undefined;
    }
  }

  /**
   * Says which parameters take part and deals out the scalar rows, where that is not as it was. Fills the state of parameters that
   * step for the first time; they are new for this one step.
   */
  #deal(planned: Planned, module: PlannedModule): void {
    if (this.#dealt === module) return;
    this.#dealt = module;
    const isStep = module === planned;
    const { parameters } = this.optimizer;
    const marks = Uint8Array.from(parameters, (parameter) => {
      const { present, summed } = parameter;
      parameter.active = present || (isStep && summed);
      parameter.first = false;
      return Number(present) + 2 * Number(summed);
    });
    this.#active = Uint8Array.from(parameters, ({ active }) => Number(active));
    this.#countBytes(module);
    const known = this.#marks.get(module.plan);
    if (known?.every((mark, index) => mark === marks[index])) return;
    const anyNew = isStep && this.#fillState(planned);
    module.plan.assignRows();
    this.#marks.set(module.plan, marks);
    if (anyNew) this.#forgetRows();
  }

  #forgetRows(): void {
    this.#dealt = undefined;
    this.#marks.clear();
  }

  /** True where something was new. */
  #fillState({ compiled: { layouts }, places }: Planned): boolean {
    const { definition, parameters, paramGroups } = this.optimizer;
    const shapes = new Map<string, [own: StateShape, around: StateShape]>();
    let anyNew = false;
    for (const parameter of parameters) {
      const { classIndex, group } = parameter;
      const key = `${classIndex} ${group}`;
      const shapeOf = (specs: StateSpecs) => {
        const owner = paramGroups[group] as ParamGroup;
        const matrix = matrixAxes(definition, parameter, owner.flags) !== undefined;
        return new StateShape(specs, layouts[classIndex] as ClassLayout, owner, { ...owner.flags, matrix });
      };
      const [own, around] = shapes.get(key) ?? [shapeOf(definition.state ?? {}), shapeOf(this.#aroundState)];
      shapes.set(key, [own, around]);
      if (!parameter.active) continue;
      parameter.first = own.isNewFor(parameter);
      for (const shape of [own, around]) {
        if (!shape.isNewFor(parameter)) continue;
        anyNew = true;
        if (this.#mayGiveUp)
          this.#unproven.push({ step: this.steps, parameter, undo: shape.undoFor(parameter) });
        shape.fill(parameter, places[parameter.index] as Storage);
      }
    }
    return anyNew;
  }

  #countBytes({ traffic }: PlannedModule): void {
    this.bytesMoved = 0;
    this.bytesIdeal = 0;
    for (const { active, dims, classIndex } of this.optimizer.parameters) {
      if (!active) continue;
      const { moved, ideal } = traffic[classIndex] as Traffic;
      this.bytesMoved += moved(dims);
      this.bytesIdeal += ideal(dims);
    }
  }

  #record(module: PlannedModule, begin: number): void {
    if (!this.recorder) return;
    this.recorder.called({
      step: this.steps,
      isMicroStep: module !== this.#planned,
      begin,
      end: begin + this.milliseconds,
      module: module.compiled.module,
      bytes: this.#bytesByPhase(module),
    });
  }

  #bytesByPhase({ traffic }: PlannedModule): number[] {
    const bytes: number[] = [];
    for (const { active, dims, classIndex } of this.optimizer.parameters) {
      if (!active) continue;
      (traffic[classIndex] as Traffic).phases.forEach((moved: Bytes | undefined, phase) => {
        if (moved) bytes[phase] = (bytes[phase] ?? 0) + moved(dims);
      });
    }
    return bytes;
  }

  #bindMoving(planned: Planned): void {
    for (const { plan } of modulesOf(planned))
      for (const index of planned.moving) {
        plan.bind(index, "param", planned.places[index] as Storage);
        const gradient = planned.gradients.source(index);
        if (gradient?.moves) plan.bind(index, "grad", gradient);
      }
  }

  /** False where the step is not to be, undefined where the device will tell. */
  #launch({ plan }: PlannedModule): boolean | undefined {
    try {
      const committed = plan.run(this.options.threads, this.recorder?.times);
      this.launches = plan.launched;
      return committed;
    } catch (error) {
      this.#fail(error);
      throw error;
    }
  }

  /** The plan, made anew where the optimizer's structure is not what it was made for. */
  #upToDate(): Planned {
    const { optimizer } = this;
    const old = this.#planned;
    if (old && this.#fits(old)) {
      for (const [index, { numbers }] of optimizer.paramGroups.entries()) this.#numbers[index]?.set(numbers);
      return old;
    }
    if (optimizer.settle && optimizer.settle !== this.#settle)
      throw new StepjitError(
        "unsupported",
        `${optimizer.definition.name}: steps of another compiled step have not come back from its device: await step.finished() first`,
      );
    if (this.#hostRules) this.#forgetDevice();
    const isSettled = this.#verdicts.settled === this.#verdicts.launched;
    const key = keyOf(optimizer, this.options);
    const planned = makePlan({
      optimizer,
      options: this.options,
      stepHyper: this.stepHyper,
      mirrors: this.mirrors,
      inherit: isSettled ? undefined : old?.plan,
      key,
      occasion: occasionOf(this.#calls, old?.key, key, crossingsOf(optimizer, this.#numbers)),
      log: (event) => {
        this.events.push(event);
        this.recorder?.heard(event);
        tell(event, optimizer.definition.name);
        this.options.log.say("events", () => printEvent(event));
      },
    });
    if (old) releasePlan(old);
    this.#planned = planned;
    planned.plan.onVerdict = (committed) => this.#verdicts.hear(committed);
    for (const { plan } of modulesOf(planned)) plan.onFailure = this.#fail;
    this.#numbers = optimizer.paramGroups.map(({ numbers }) => numbers.slice());
    this.#forgetRows();
    this.launches = planned.plan.launches;
    optimizer.driver = this;
    for (const group of optimizer.paramGroups)
      group.keepDerived(group.derivedNames.filter((name) => group.flags[name]));
    return planned;
  }

  #fits({ revision, flags }: Planned): boolean {
    const { optimizer } = this;
    return revision === optimizer.revision && optimizer.driver === this && flags === flagsKey(optimizer);
  }
}

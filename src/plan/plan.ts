/**
 * A plan: which tensors a step touches and where, as tables in a backend's memory, and how one step runs over them. Kernels know
 * nothing of it: another plan over the same classes compiles nothing.
 */
import type {
  Backend,
  ClassLayout,
  DeviceReport,
  DeviceRunner,
  DeviceTimer,
  NumberTable,
  PhaseText,
  PhaseWork,
  Pipeline,
  Runner,
  Storage,
} from "../backends/backend.ts";
import type { StepjitError } from "../error.ts";
import { type Dims, sizeOfAxis } from "../ir/dims.ts";
import type { Axis, Level } from "../ir/extent.ts";
import { isInput, type Module, type Value } from "../ir/module.ts";
import type { ParamMask } from "../ir/ops.ts";
import { ELEMENT_BYTES, type FloatType, roundTo } from "../ir/type.ts";
import { phasesOf } from "../passes/batch.ts";
import { chunkTable } from "./chunks.ts";
import { Program, type ReadInput, type Row } from "./program.ts";
import { Totals } from "./totals.ts";
import { sharesOf, worksOf } from "./work.ts";

/** A parameter as the plan sees it. */
export interface PlannedParameter {
  readonly name: string;
  readonly elements: number;
  readonly dims: Dims;
  readonly classIndex: number;
  readonly group: number;
  /** Hyperparameters of its own, where they are not its group's; parameters of a group that share the label share the numbers. */
  readonly scaled: { readonly label: string; readonly numbers: Float64Array } | undefined;
  /** Whether it takes part in the coming step. */
  active: boolean;
  /** Whether a state slot of it is new in the coming step. */
  first: boolean;
  /** Whether it has a gradient in this call. */
  readonly present: boolean;
  /** Whether earlier calls left a sum of its gradients. */
  readonly summed: boolean;
  /** State of one number, by slot. */
  readonly numbers: Map<string, number>;
}

/** What a plan is made from. */
export interface PlanSpec {
  /** Batched: what the last pass gives. */
  readonly module: Module;
  readonly classes: readonly ClassLayout[];
  readonly parameters: readonly PlannedParameter[];
  /** Steps taken, by parameter; the plan advances them. */
  readonly counts: Float64Array;
  /** The hyperparameters of each group, kept up to date by their owner, and the names of the members in order. */
  readonly groups: readonly Float64Array[];
  readonly hyperNames: readonly string[];
  /** What state of one number a parameter is rounded to, by slot; f64 where nothing is said. */
  readonly numberTypes: ReadonlyMap<string, FloatType>;
  /** Step-level hyperparameters by name. */
  readonly stepHyper: ReadonlyMap<string, () => number>;
  /** By group: the hyperparameter members that live on the device, and where. */
  readonly residents?: readonly ReadonlyMap<string, Storage>[];
  /** The plan before, where its device knows of steps what the host has not heard yet. */
  readonly inherit?: Plan | undefined;
}

/** Work of one phase that is handed over at once; programs run on devices only, before the kernels. */
export interface Launch {
  readonly phase: number;
  readonly kind: "programs" | "kernels";
  /** On a device, one for each set of buffers; else 1. */
  readonly dispatches: number;
  /** By performance.now(), before and after: of the launch, or of queueing it where it is queued. */
  readonly begin: number;
  readonly end: number;
}

/** Hears of each launch while somebody measures. */
export interface LaunchListener {
  /** For launches that are queued; undefined where they are not, or where nothing can measure them. */
  readonly timer: DeviceTimer | undefined;
  launched(launch: Launch): void;
}

export class Plan {
  readonly spec: PlanSpec;
  readonly chunkCount: number;
  readonly launches: number;
  /** Launches of the last run: fewer where it was not committed. */
  launched = 0;
  /** Hears of each step whose commit the device decides, in order. */
  onVerdict: (committed: boolean) => void = () => {};
  /** Hears of a step that the device refused. */
  onFailure: (error: StepjitError) => void = () => {};
  readonly #runner: Runner;
  /** The same, where it runs programs itself. */
  readonly #device: DeviceRunner | undefined;
  readonly #numbers: NumberTable;
  /** By parameter: what the device was told to remember. */
  readonly #recorded: readonly Set<string>[];
  readonly #chunks: Uint32Array;
  readonly #totals: Totals;
  readonly #given = new Map<string, number>();
  readonly #phases: readonly PlannedPhase[];
  #rows: Row[] = [];
  /** The parameters that take part. */
  #active: number[] = [];
  /** Classes whose scalar rows cannot be shared: they read something that each parameter has for itself. */
  readonly #ownRows: readonly boolean[];
  /** By class: the state of one number that its scalar programs read. Parameters share a row while theirs is the same. */
  readonly #numberNames: readonly (readonly string[])[];

  constructor(
    spec: PlanSpec,
    backend: Backend,
    texts: readonly PhaseText[],
    pipelineOf: (text: PhaseText) => Pipeline,
  ) {
    this.spec = spec;
    this.#totals = new Totals(spec.groups.length, spec.parameters.length);
    const works = worksOf(spec.module, spec.classes);
    this.#numbers = (works[0] as PhaseWork).numbers;
    this.#recorded = spec.parameters.map(() => new Set());
    this.#phases = this.#planPhases(works);
    this.#ownRows = spec.classes.map(({ name }) => this.remembers || readsOwn(spec.module, name));
    this.#numberNames = spec.classes.map(({ name }) => numbersRead(spec.module, name));
    const { chunks, spans } = chunkTable(
      spec.parameters.map(({ dims, classIndex }) => ({
        dims,
        view: (spec.classes[classIndex] as ClassLayout).view,
      })),
      backend.chunkElements(spec.parameters.reduce((sum, { elements }) => sum + elements, 0)),
    );
    this.#chunks = chunks;
    this.chunkCount = chunks.length / 4;
    this.launches = this.#phases.reduce(
      (sum, { hasKernels, hasPrograms }) => sum + Number(hasKernels) + Number(hasPrograms),
      0,
    );
    const pipelinesOf = (phase: number) => {
      const ofPhase = texts.filter((text) => text.phase === phase);
      const programs = ofPhase.find(({ classes }) => classes.length === 0);
      const kernels = spec.classes.map((_, index) => ofPhase.find(({ classes }) => classes.includes(index)));
      return {
        programs: programs ? pipelineOf(programs) : null,
        pipelines: kernels.map((text) => (text ? pipelineOf(text) : null)),
      };
    };
    this.#runner = backend.prepare({
      classes: spec.classes,
      tensors: spec.parameters,
      groups: spec.groups.length,
      numbers: this.#numbers,
      chunks,
      spans,
      phases: this.#phases.map(({ stride }, phase) => ({ ...pipelinesOf(phase), totals: stride })),
    });
    if (backend.programs === "device") {
      this.#device = this.#runner as DeviceRunner;
      this.#device.onFailure = (error) => this.onFailure(error);
    }
    if (spec.inherit) this.#inherit(spec.inherit);
  }

  bind(tensor: number, role: string, storage: Storage): void {
    const layout = this.spec.classes[this.spec.parameters[tensor]?.classIndex as number] as ClassLayout;
    const index = layout.roles.indexOf(role);
    if (index >= 0) this.#runner.bind(tensor, index, storage);
  }

  /** After a change in which parameters are active, or new: deals out the scalar rows again, one for all that share their inputs. */
  assignRows(): void {
    const rows = new Map<string, number>();
    this.#rows = [];
    this.#active = [];
    this.spec.parameters.forEach((parameter, tensor) => {
      const { active, classIndex, group, first, present, summed, scaled } = parameter;
      const count = this.spec.counts[tensor] as number;
      this.#runner.setActive(tensor, active);
      if (!active) return;
      this.#active.push(tensor);
      const key = this.#ownRows[classIndex]
        ? `tensor ${tensor}`
        : `${classIndex} ${group} ${count} ${first} ${present} ${summed} ${scaled?.label} ${this.#numbersKey(parameter)}`;
      let row = rows.get(key);
      if (row === undefined) {
        row =
          this.#rows.push({
            numbers: scaled?.numbers ?? (this.spec.groups[group] as Float64Array),
            group,
            count: count + 1,
            first,
            present,
            summed,
            tensors: [],
            tensor,
          }) - 1;
        rows.set(key, row);
      }
      this.#rows[row]?.tensors.push(tensor);
      this.#runner.setScalarRow(tensor, row);
    });
    this.#tellDevice();
  }

  /** What a step writes: rows, and their bytes. */
  get scalarTable(): { readonly rows: number; readonly bytes: number } {
    const bytes = this.#rows.map(({ tensor }) => {
      const { classIndex } = this.spec.parameters[tensor] as PlannedParameter;
      const { scalarTypes, dtype } = this.spec.classes[classIndex] as ClassLayout;
      return scalarTypes.length * ELEMENT_BYTES[dtype];
    });
    return { rows: this.#rows.length, bytes: bytes.reduce((sum, one) => sum + one, 0) };
  }

  /** Which rows there are, and what of a parameter is new to the device. */
  #tellDevice(): void {
    const device = this.#device;
    if (!device) return;
    const { parameters, counts } = this.spec;
    device.setRows(
      this.#rows.map((row) => ({
        ...row,
        classIndex: (parameters[row.tensor] as PlannedParameter).classIndex,
      })),
    );
    for (const tensor of this.#active) {
      const recorded = this.#recorded[tensor] as Set<string>;
      for (const name of this.#numbers.records) {
        const value =
          name === "stepcount"
            ? counts[tensor]
            : name === "first"
              ? 0
              : parameters[tensor]?.numbers.get(name);
        if (recorded.has(name) || value === undefined) continue;
        device.writeRecord(tensor, name, value);
        recorded.add(name);
      }
    }
  }

  #inherit(before: Plan): void {
    if (!before.#device) return;
    this.#device?.inherit(before.#device);
    before.#recorded.forEach((names, tensor) => {
      for (const name of names) this.#recorded[tensor]?.add(name);
    });
  }

  /**
   * Runs all phases; counts advance by one for what is active. False where a phase found that the step is not to be: then it ends
   * there, and nothing was written that lasts. Undefined where the device will tell (`onVerdict`): until then counts are what they
   * would be if it said yes. `listener` hears of each launch.
   */
  run(threads: number, listener?: LaunchListener): boolean | undefined {
    const { parameters, counts } = this.spec;
    for (const row of this.#rows) row.count = (counts[row.tensor] as number) + 1;
    this.launched = 0;
    this.#bindHypers();
    for (const [index, phase] of this.#phases.entries()) {
      if (!this.#runStepBody(phase)) return false;
      this.#runScalars(phase);
      if (phase.hasPrograms) this.#launch("programs", index, threads, listener);
      if (!phase.hasKernels) continue;
      this.#launch("kernels", index, threads, listener);
      if (phase.stride > 0 && !this.#device)
        this.#totals.finish(
          phase.shares,
          this.#runner.partials(index),
          phase.stride,
          this.#chunks,
          parameters,
        );
    }
    for (const tensor of this.#active) counts[tensor] = (counts[tensor] as number) + 1;
    return this.#device ? this.#submit(this.#device) : true;
  }

  #launch(kind: Launch["kind"], phase: number, threads: number, listener: LaunchListener | undefined): void {
    const begin = listener ? performance.now() : 0;
    const before = this.launched;
    if (kind === "programs") this.#device?.runPrograms(phase, listener?.timer);
    else this.#runner.launch(phase, threads, listener?.timer);
    this.launched = this.#device?.dispatches ?? before + 1;
    const dispatches = this.launched - before;
    listener?.launched({ phase, kind, dispatches, begin, end: performance.now() });
  }

  #submit(device: DeviceRunner): true | undefined {
    const decides = this.#numbers.records.includes("stepcount");
    if (decides) device.submit((committed) => this.onVerdict(committed));
    else device.submit();
    return decides ? undefined : true;
  }

  /** Whether the device keeps numbers of parameters that the host does not compute. */
  get remembers(): boolean {
    return this.#numbers.records.length > 0;
  }

  /** All verdicts have been heard. Gives what makes counts and state of one number what the device said when this was called. */
  async settle(): Promise<() => void> {
    if (!this.#device || !this.remembers) return () => {};
    const records = await this.#device.settle();
    return () => {
      this.#recorded.forEach((names, tensor) => {
        for (const name of names) {
          const value = records[tensor]?.[name] as number;
          if (name === "stepcount") this.spec.counts[tensor] = value;
          else if (name !== "first") this.spec.parameters[tensor]?.numbers.set(name, value);
        }
      });
    };
  }

  /** What the device remembers of a parameter is out of date: it is told again with the next rows. */
  forget(tensor: number): void {
    this.#recorded[tensor]?.clear();
  }

  /** How a device dispatches the step. */
  get report(): DeviceReport | undefined {
    return this.#device?.report;
  }

  dispose(): void {
    this.#runner.dispose();
  }

  /** Where members live on the device in some group, all groups' numbers are read there. */
  #bindHypers(): void {
    const { groups, hyperNames, residents = [] } = this.spec;
    for (const name of this.#numbers.hypers)
      groups.forEach((numbers, group) => {
        const value = residents[group]?.get(name) ?? (numbers[hyperNames.indexOf(name)] as number);
        this.#device?.bindHyper(group, name, value);
      });
  }

  /** False where the step is not to be. */
  #runStepBody({ step, commit }: PlannedPhase): boolean {
    if (!step) return true;
    step.run(NO_ROW);
    for (const { target, value } of step.outputs) {
      if (!target.startsWith("give.")) continue;
      const [name, number] = [target.slice("give.".length), step.registers[value] as number];
      this.#given.set(name, number);
      this.#device?.writeGive(name, number);
    }
    return commit === undefined || step.registers[commit] !== 0;
  }

  #runScalars({ scalars }: PlannedPhase): void {
    this.#rows.forEach((row, index) => {
      const { classIndex } = this.spec.parameters[row.tensor] as PlannedParameter;
      const planned = scalars[classIndex];
      if (!planned) return;
      planned.program.run(row);
      for (const { slot, value } of planned.slots)
        this.#runner.writeScalar(classIndex, index, slot, planned.program.registers[value] as number);
      for (const { name, value } of planned.state) {
        const dtype = this.spec.numberTypes.get(name) ?? "f64";
        const number = roundTo(dtype, planned.program.registers[value] as number);
        for (const tensor of row.tensors) this.spec.parameters[tensor]?.numbers.set(name, number);
      }
    });
  }

  #numbersKey({ classIndex, numbers }: PlannedParameter): string {
    const names = this.#numberNames[classIndex] as readonly string[];
    return names.map((name) => (Object.is(numbers.get(name), -0) ? "-0" : numbers.get(name))).join(" ");
  }

  #planPhases(works: readonly PhaseWork[]): PlannedPhase[] {
    const bind = (value: Value) => this.#bindInput(value);
    return phasesOf(this.spec.module).map(({ step, scalars, kernels }, phase) => {
      const shares = this.spec.classes.map(({ name }) =>
        kernels.filter((kernel) => kernel.name === name).flatMap(sharesOf),
      );
      return {
        step: step && new Program(step, bind),
        commit: step?.outputs.find(({ target }) => target === "commit")?.value,
        scalars: this.spec.classes.map(({ name }) => {
          const func = scalars.find((candidate) => candidate.name === name);
          return func && planScalars(new Program(func, bind));
        }),
        shares,
        stride: Math.max(0, ...shares.map(({ length }) => length)),
        hasKernels: kernels.length > 0,
        hasPrograms: works[phase]?.programs !== undefined,
      };
    });
  }

  /** Where the inputs of programs come from. */
  #bindInput({ op, attribute, type }: Value): ReadInput {
    const { parameters, hyperNames, stepHyper } = this.spec;
    const name = String(attribute);
    switch (op) {
      case "hyper": {
        const member = hyperNames.indexOf(name);
        return type.extent === "step"
          ? (stepHyper.get(name) as ReadInput)
          : ({ numbers }) => numbers[member] as number;
      }
      case "stepcount":
        return ({ count }) => count;
      case "mask":
        return (row) => Number(row[name as ParamMask]);
      case "numel":
        return ({ tensor }) => (parameters[tensor] as PlannedParameter).elements;
      case "size":
        return ({ tensor }) => sizeOfAxis(name as Axis, (parameters[tensor] as PlannedParameter).dims);
      case "state":
        return ({ tensor }) => (parameters[tensor] as PlannedParameter).numbers.get(name) ?? 0;
      case "given":
        return () => this.#given.get(name) as number;
      case "total": {
        const level = type.extent as Level;
        const numbers = this.#totals.numbers(level, name);
        return ({ group, tensor }) =>
          numbers[level === "step" ? 0 : level === "group" ? group : tensor] as number;
      }
      default:
        throw new RangeError(`${op} is no input of a scalar program`);
    }
  }
}

interface PlannedPhase {
  readonly step: Program | undefined;
  /** The step body's value that says whether the step is to be. */
  readonly commit: number | undefined;
  readonly scalars: readonly (PlannedScalars | undefined)[];
  readonly shares: readonly ReturnType<typeof sharesOf>[];
  readonly stride: number;
  readonly hasKernels: boolean;
  /** On the device. */
  readonly hasPrograms: boolean;
}

interface PlannedScalars {
  readonly program: Program;
  readonly slots: readonly { readonly slot: number; readonly value: number }[];
  readonly state: readonly { readonly name: string; readonly value: number }[];
}

function planScalars(program: Program): PlannedScalars {
  const pick = (pattern: RegExp) =>
    program.outputs.flatMap(({ target, value }) => {
      const name = pattern.exec(target)?.[1];
      return name === undefined ? [] : [{ name, value }];
    });
  return {
    program,
    slots: pick(/^scalar\.(\d+)$/).map(({ name, value }) => ({ slot: Number(name), value })),
    state: pick(/^state\.(.+)'$/),
  };
}

/** True where a class's scalar programs read what each parameter has for itself, and may differ from step to step. */
function readsOwn(module: Module, name: string): boolean {
  return inputsAbove(module, name).some(
    ({ op, type }) => op === "numel" || op === "size" || (op === "total" && type.extent === "param"),
  );
}

function numbersRead(module: Module, name: string): string[] {
  const inputs = inputsAbove(module, name);
  return [...new Set(inputs.filter(({ op }) => op === "state").map(({ attribute }) => String(attribute)))];
}

/** What a class's scalar programs read. */
function inputsAbove({ funcs }: Module, name: string): Value[] {
  const programs = funcs.filter((func) => func.kind === "scalars" && func.name === name);
  return programs.flatMap(({ values }) => values).filter(isInput);
}

const NO_ROW: Row = {
  numbers: new Float64Array(0),
  group: 0,
  count: 0,
  first: false,
  present: false,
  summed: false,
  tensors: [],
  tensor: 0,
};

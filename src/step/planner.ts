/** Makes a plan that fits the optimizer as it is now: trace and kernels from the caches where they are there, then the tables. */
import type { Backend, PhaseText, Pipeline, Storage } from "../backends/backend.ts";
import { StepjitError } from "../error.ts";
import type { Module } from "../ir/module.ts";
import type { FloatType } from "../ir/type.ts";
import { microStep } from "../optim/around/accumulate.ts";
import { type HyperCell, show } from "../optim/hyper.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import { GRAD_SUM, type Parameter } from "../optim/parameter.ts";
import { type Traffic, trafficOf } from "../plan/layout.ts";
import { Plan } from "../plan/plan.ts";
import { DTYPE_NAMES } from "../tensor.ts";
import { type AnyDefinition, count, type TransformDefinition } from "../trace/definition.ts";
import type { ClassSpec } from "../trace/trace.ts";
import { type Compiled, compiledModule, pipelinesOf, textsFor } from "./cache.ts";
import { classify } from "./classes.ts";
import { counted } from "./counted.ts";
import type { Occasion, StepEvent } from "./events.ts";
import { GradientReader } from "./gradients.ts";
import { flagsKey, hyperNames, type Key, residentsOf } from "./key.ts";
import type { Mirrors } from "./mirrors.ts";
import type { EngineOptions } from "./options.ts";
import { checkInitialState } from "./residents.ts";
import { missingSlots, placeState } from "./state.ts";

/** One module, compiled and laid out. */
export interface PlannedModule {
  readonly compiled: Compiled;
  readonly kernels: readonly PhaseText[];
  readonly plan: Plan;
  /** What a step moves, by class. */
  readonly traffic: readonly Traffic[];
}

/** All that follows from the optimizer's structure; replaced as a whole. */
export interface Planned extends PlannedModule {
  readonly key: Key;
  readonly flags: string;
  readonly revision: number;
  readonly loads: number;
  /** What runs in calls that only add up gradients. */
  readonly micro: PlannedModule | undefined;
  readonly gradients: GradientReader;
  /** Where kernels find each parameter: in its own memory, or in a mirror. */
  readonly places: readonly Storage[];
  /** Parameters whose memory may move between steps. */
  readonly moving: readonly number[];
}

/** What is planned, why, and who hears of it. */
export interface Order {
  readonly optimizer: Optimizer;
  readonly options: EngineOptions;
  readonly stepHyper: ReadonlyMap<string, HyperCell>;
  readonly mirrors: Mirrors;
  /** The plan before, where its device knows what the host does not know yet. */
  readonly inherit: Plan | undefined;
  readonly key: Key;
  readonly occasion: Occasion;
  readonly log: (event: StepEvent) => void;
}

/**
 * Nothing is changed until all kernels are compiled. Throws `traced-value`, `unsupported`, `out-of-memory`, and `recompile` where
 * that is not allowed.
 */
export function makePlan(order: Order): Planned {
  const { optimizer, options, mirrors, key, occasion, log } = order;
  const { backend, transforms, micro } = options;
  checkParameters(optimizer, backend);
  checkInitialState(optimizer);
  const { classes, members } = classify(optimizer);
  const whole = compile(order, optimizer.definition, classes, transforms, residentsOf(optimizer));
  const flat = classes.map((spec) => ({ ...spec, view: "vector" as const })); // sums know no rows
  const summing = micro && compile(order, microStep, flat, micro, [], ", micro-step");

  const start = performance.now();
  const modules = summing ? [whole, summing] : [whole];
  const layouts = modules.map(({ compiled }) => compiled.layouts);
  placeState(missingSlots(optimizer, members, layouts, backend), backend);
  optimizer.driver = undefined; // until this plan is finished, no plan fits the parameters
  optimizer.parameters.forEach((parameter, index) => {
    Object.assign(parameter, members[index], { active: false, present: false });
  });
  const step = layOut(order, whole, optimizer.counts.values, order.inherit);
  // A micro-step counts for nothing, so it is given counts to throw away.
  const microPlanned = summing && layOut(order, summing, new Float64Array(optimizer.parameters.length));
  const plans = microPlanned ? [step.plan, microPlanned.plan] : [step.plan];
  const places = placesIn(optimizer, backend, mirrors);
  bindTensors(optimizer, places, plans);
  log({ kind: "plan", ...occasion, milliseconds: performance.now() - start });
  for (const plan of plans) options.log.say("plan", () => printPlan(optimizer, plan));
  return {
    key,
    flags: flagsKey(optimizer),
    revision: optimizer.revision,
    loads: optimizer.loads,
    ...step,
    micro: microPlanned,
    gradients: new GradientReader(optimizer, backend),
    places,
    moving: places.flatMap(({ moves }, index) => (moves ? [index] : [])),
  };
}

function printPlan({ parameters }: Optimizer, { chunkCount, launches }: Plan): string {
  const elements = parameters.reduce((sum, parameter) => sum + parameter.elements, 0);
  return [
    `${counted(parameters.length, "parameter")} of ${counted(elements, "element")}`,
    counted(chunkCount, "chunk"),
    counted(launches, "launch", "launches"),
  ].join(", ");
}

/** The step, and the micro-step where there is one. */
export function modulesOf(planned: Planned): PlannedModule[] {
  return planned.micro ? [planned, planned.micro] : [planned];
}

/** Frees what a plan holds; state stays with the optimizer. */
export function releasePlan(planned: Planned): void {
  for (const { plan } of modulesOf(planned)) plan.dispose();
  planned.gradients.dispose();
}

/** Throws `unsupported` for a parameter of a dtype that the backend does not work on, or in a memory that it does not reach. */
function checkParameters({ definition, parameters }: Optimizer, backend: Backend): void {
  for (const { name, tensor } of parameters) {
    const { storage, dtype } = tensor;
    const refuse = (message: string) => {
      throw new StepjitError("unsupported", `${definition.name}: ${message}`);
    };
    if (!backend.dtypes.includes(storage.dtype)) {
      const known = backend.dtypes.map((one) => DTYPE_NAMES[one]).join(" and ");
      refuse(`${backend.name} works on ${known}; parameter ${show(name)} is ${dtype}`);
    }
    if (!storage.visible && !backend.owns(storage))
      refuse(`parameter ${show(name)} is in a device's memory, which ${backend.name} does not reach`);
  }
}

type CompiledModule = Pick<PlannedModule, "compiled" | "kernels">;

/** `what` is said of the kernels in events. */
function compile(
  order: Order,
  definition: AnyDefinition,
  classes: readonly ClassSpec[],
  transforms: readonly TransformDefinition[],
  hypers: readonly string[],
  what = "",
): CompiledModule {
  const { options, occasion, log } = order;
  const residence = { programs: options.backend.programs, hypers };
  const compiled = compiledModule(definition, classes, transforms, residence, {
    onTrace: (milliseconds) => log({ kind: "trace", ...occasion, milliseconds }),
    onPass: (pass, before, after) =>
      options.log.say("passes", () => `${pass}: ${valuesIn(before)} → ${counted(valuesIn(after), "value")}`),
  });
  const kernels = textsFor(compiled, options.backend, options.numerics);
  compileKernels(order, kernels, what);
  return { compiled, kernels };
}

function valuesIn({ funcs }: Module): number {
  return funcs.reduce((sum, { values }) => sum + values.length, 0);
}

/** Compiles what the backend has not seen. After the first step, `onRecompile` is asked before anything changes. */
function compileKernels(
  { optimizer, options, occasion, log }: Order,
  kernels: readonly PhaseText[],
  what: string,
): void {
  const { backend, onRecompile } = options;
  const { step, reason } = occasion;
  const cache = pipelinesOf(backend);
  const missing = kernels.filter(({ text }) => !cache.has(text));
  if (step > 0 && missing.length > 0 && onRecompile === "error")
    throw new StepjitError(
      "recompile",
      `${optimizer.definition.name}: step ${step + 1} would compile ${missing.length} kernel(s) again: ${reason}`,
    );
  for (const { name, phase, text } of kernels)
    options.log.say("kernels", () => {
      const size = `${text.length} characters for ${backend.target}`;
      return `"${name}", phase ${phase}${what}: ${size}, ${cache.has(text) ? "compiled before" : "to be compiled"}`;
    });
  for (const { name, phase, text } of missing) {
    if (cache.has(text)) continue;
    const start = performance.now();
    cache.set(text, backend.compile(text));
    const milliseconds = performance.now() - start;
    const event: StepEvent = {
      kind: "kernel",
      ...occasion,
      kernel: `${name}, phase ${phase}${what}`,
      milliseconds,
    };
    log(event);
    if (step === 0) continue;
    if (onRecompile === "warn") console.warn(`stepjit: compiled "${name}" again: ${reason}`);
    else if (typeof onRecompile === "function") onRecompile(event);
  }
}

function layOut(
  { optimizer, options: { backend }, stepHyper }: Order,
  { compiled, kernels }: CompiledModule,
  counts: Float64Array,
  inherit?: Plan,
): PlannedModule {
  const { module, layouts } = compiled;
  const cache = pipelinesOf(backend);
  const plan = new Plan(
    {
      module,
      classes: layouts,
      parameters: optimizer.parameters,
      counts,
      groups: optimizer.paramGroups.map(({ numbers }) => numbers),
      hyperNames: hyperNames(optimizer),
      numberTypes: numberTypesOf(optimizer.definition),
      stepHyper: new Map([...stepHyper].map(([name, cell]) => [name, () => cell.numbers[0] as number])),
      residents: optimizer.paramGroups.map(({ residents }) => residents),
      inherit,
    },
    backend,
    kernels,
    ({ text }) => cache.get(text) as Pipeline,
  );
  const traffic = layouts.map((layout) => trafficOf(module, layout));
  return { compiled, kernels, plan, traffic };
}

/** What slots of one number a parameter are rounded to. */
function numberTypesOf({ state }: AnyDefinition): Map<string, FloatType> {
  return new Map(
    Object.entries(state ?? {}).flatMap(([name, spec]) =>
      spec !== count && spec.extent === "param" && spec.dtype ? [[name, spec.dtype] as const] : [],
    ),
  );
}

/** Where kernels find each parameter. */
function placesIn({ parameters }: Optimizer, backend: Backend, mirrors: Mirrors): Storage[] {
  return parameters.map((parameter) => {
    const { storage } = parameter.tensor;
    if (backend.owns(storage)) return storage;
    return backend.adopt(storage.view()) ?? mirrors.storageOf(parameter);
  });
}

/** Says where parameters and state are. */
function bindTensors({ parameters }: Optimizer, places: readonly Storage[], plans: readonly Plan[]): void {
  for (const plan of plans)
    for (const parameter of parameters) {
      const { index, slots } = parameter;
      plan.bind(index, "param", places[index] as Storage);
      for (const [name, slot] of slots) plan.bind(index, `state.${name}`, slot.storage);
      bindNoGradient(plan, parameter);
    }
}

/** A kernel that adds up gradients reads one even where there is none, and lays it aside: it may as well be the sum. */
export function bindNoGradient(plan: Plan, { index, slots }: Parameter): void {
  const sum = slots.get(GRAD_SUM);
  if (sum) plan.bind(index, "grad", sum.storage);
}

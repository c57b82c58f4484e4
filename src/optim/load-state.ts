/** Loading a state dict: everything is checked, then carried out. */
import type { FloatArray } from "../backends/backend.ts";
import { StepjitError } from "../error.ts";
import type { FloatType } from "../ir/type.ts";
import { DTYPE_NAMES, dtypeOf, HostStorage, isFloatArray, sizeOf } from "../tensor.ts";
import { count, exists, type FlagValues, type HyperValues } from "../trace/definition.ts";
import { withAverage } from "./around/average.ts";
import type { ParamGroup } from "./group.ts";
import { inNumbers, show } from "./hyper.ts";
import { LoadIssues, type LoadReport } from "./load-report.ts";
import { longer, pairUp, readGroups } from "./match-state.ts";
import { matrixAxes } from "./matrix.ts";
import { snakeCase } from "./names.ts";
import type { Optimizer } from "./optimizer.ts";
import type { Parameter } from "./parameter.ts";
import { isList, isRecord, ownValue } from "./plain-data.ts";
import { type StateDict, slotShape } from "./state-dict.ts";

/** How a state dict is loaded. */
export interface LoadOptions {
  /** Whether anything that does not fit is refused (the default), or left out and reported. */
  readonly strict?: boolean;
}

/** Checks everything, then carries it out. */
export function loadStateDict(optimizer: Optimizer, saved: StateDict, options: LoadOptions): LoadReport {
  const strict: unknown = options?.strict ?? true;
  if (typeof strict !== "boolean")
    throw new StepjitError(
      "invalid-option",
      `${optimizer.definition.name}: strict is true or false, got ${show(strict)}`,
    );
  const issues = new LoadIssues();
  const commits = prepareLoad(optimizer, saved, issues);
  if (strict) issues.refuseAny();
  for (const commit of commits) commit();
  return issues.report;
}

function prepareLoad(optimizer: Optimizer, saved: StateDict, issues: LoadIssues): (() => void)[] {
  const { name } = optimizer.definition;
  const groups = ownValue(saved, "param_groups");
  const state = ownValue(saved, "state");
  if (!isList(groups) || !isRecord(state)) return refuse(`${name}: a state dict has state and param_groups`);
  const listed = readGroups(groups, name);
  const settings = prepareGroups(optimizer, groups, issues);
  const pairs = pairUp(optimizer, listed, issues);

  const commits = settings.map(({ commit }) => commit);
  for (const [parameter, { id }] of pairs) {
    const group = optimizer.paramGroups[parameter.group] as ParamGroup;
    const { flags } = settings[parameter.group] as PreparedGroup;
    const commit = issues.attempt(`state.${parameter.name}`, () =>
      prepareParameter(optimizer, group, parameter, ownValue(state, String(id)) ?? {}, flags, issues),
    );
    if (commit) commits.push(commit);
  }
  const known = new Set(listed.flat().map(({ id }) => String(id)));
  for (const id of Object.keys(state))
    if (!known.has(id))
      issues.add(
        "unexpected",
        `state.${id}`,
        `${name}: the state dict has state for id ${show(id)}, which no param group lists`,
      );
  return commits;
}

/** A group's settings as they will be. */
interface PreparedGroup {
  readonly commit: () => void;
  readonly flags: FlagValues;
}

/** Each of the optimizer's groups takes the settings of the saved one at its place. */
function prepareGroups(optimizer: Optimizer, saved: readonly unknown[], issues: LoadIssues): PreparedGroup[] {
  const { definition, paramGroups } = optimizer;
  const counts = `${definition.name}: the state dict has ${saved.length} param groups, the optimizer ${paramGroups.length}`;
  longer<unknown>(paramGroups, saved).forEach((_, index) => {
    if (index >= saved.length) issues.add("missing", `param_groups.${index}`, counts);
    if (index >= paramGroups.length) issues.add("unexpected", `param_groups.${index}`, counts);
  });
  return paramGroups.map((group, index) =>
    index < saved.length
      ? prepareGroup(optimizer, group, saved[index], issues)
      : { commit: () => {}, flags: flagsUnder(optimizer, group, {}) },
  );
}

/** The group's settings from the state dict; options that stepjit does not have (foreach, fused …) are torch's business. */
function prepareGroup(
  optimizer: Optimizer,
  group: ParamGroup,
  from: unknown,
  issues: LoadIssues,
): PreparedGroup {
  const place = `param_groups.${group.index}`;
  const options: Record<string, unknown> = {};
  for (const name of Object.keys(group.settings)) {
    const key = snakeCase(name);
    const value = ownValue(from, key);
    if (value !== undefined) options[name] = value;
    else
      issues.add(
        "missing",
        `${place}.${key}`,
        `${optimizer.definition.name}, param group ${group.index}: the state dict lacks ${key}`,
      );
  }
  const commit = issues.attempt(place, () => {
    try {
      return group.prepare(options);
    } catch (error) {
      return refuse(`state dict: ${(error as Error).message}`);
    }
  });
  return commit
    ? { commit, flags: flagsUnder(optimizer, group, options) }
    : { commit: () => {}, flags: flagsUnder(optimizer, group, {}) };
}

/** The flags that the group will have with these options. */
function flagsUnder({ definition }: Optimizer, group: ParamGroup, options: object): FlagValues {
  const settings: Record<string, unknown> = { ...group.settings, ...options };
  const pick = (names: string[]) => Object.fromEntries(names.map((name) => [name, settings[name]]));
  const flags = pick(Object.keys(definition.flags ?? {})) as FlagValues;
  const hyper = inNumbers(pick(Object.keys(group.hyper)) as HyperValues);
  const derived = definition.derive?.(group.withoutResidents(hyper), flags) ?? {};
  return { ...flags, ...derived };
}

function prepareParameter(
  { definition }: Optimizer,
  group: ParamGroup,
  parameter: Parameter,
  saved: unknown,
  flags: FlagValues,
  issues: LoadIssues,
): () => void {
  const where = `${definition.name}, parameter ${show(parameter.name)}`;
  const own = definition.state ?? {};
  const specs = withAverage(own);
  const axes = matrixAxes(definition, parameter, flags);
  const has = { ...flags, matrix: axes !== undefined };
  if (!isRecord(saved)) return refuse(`${where}: its state is an object, got ${show(saved)}`);
  const unexpected = (name: string, reason: string) =>
    issues.add("unexpected", `state.${parameter.name}.${name}`, reason);
  for (const name of Object.keys(saved))
    if (!Object.hasOwn(specs, name))
      unexpected(
        name,
        `${where}: there is no state ${show(name)}; there are ${Object.keys(own).join(", ") || "none"}`,
      );
  const hasState = Object.keys(saved).length > 0;
  let steps = 0;
  const kept: string[] = [];
  const numbers = new Map<string, number>();
  const fills: (() => void)[] = [];
  for (const [name, spec] of Object.entries(specs)) {
    const given = ownValue(saved, name);
    const value = given ?? undefined;
    const wanted = spec === count || exists(spec, has);
    if (value === undefined) {
      if (Object.hasOwn(own, name) && wanted && hasState && given !== null)
        refuse(`${where}: the state dict lacks ${show(name)}`);
    } else if (spec === count) steps = readNumber(value, `${where}: ${name}`, true);
    else {
      if (!wanted && (spec.when === "matrix" || spec.unless === "matrix"))
        refuse(`${where}: a ${axes ? "matrix" : "vector"} has no ${show(name)}`);
      // A slot whose flag is off is kept as in a running optimizer: it goes on where the flag is switched on again.
      if (spec.when && !wanted && group.derivedNames.includes(spec.when)) kept.push(spec.when);
      if (spec.extent === "param") {
        const number = readNumber(value, `${where}: ${name}`, false);
        numbers.set(name, spec.dtype === "f32" ? Math.fround(number) : number);
      } else {
        const dtype = spec.dtype ?? parameter.tensor.storage.dtype;
        const data = readTensor(value, slotShape(spec, parameter, axes), dtype, `${where}: ${name}`);
        fills.push(prepareSlot(parameter, name, data));
      }
    }
  }
  return () => {
    parameter.count = steps;
    if (kept.length > 0) group.keepDerived(kept);
    parameter.numbers.clear();
    for (const [name, number] of numbers) parameter.numbers.set(name, number);
    for (const slot of parameter.slots.values()) Object.assign(slot, { live: false, zeroed: false });
    for (const fill of fills) fill();
  };
}

/** Takes the memory that a new slot needs; gives what fills the slot. */
function prepareSlot(parameter: Parameter, name: string, data: FloatArray): () => void {
  const slot = parameter.slots.get(name);
  if (slot)
    return () => {
      slot.storage.write(data);
      Object.assign(slot, { live: true, zeroed: false });
    };
  const storage = new HostStorage(data.slice());
  return () => parameter.slots.set(name, { storage, live: true, zeroed: false });
}

function readNumber(value: unknown, where: string, counts: boolean): number {
  const data = ownValue(value, "data");
  const number = isFloatArray(data) && data.length === 1 ? data[0] : value;
  if (typeof number !== "number" || (counts && !(Number.isSafeInteger(number) && number >= 0)))
    return refuse(`${where} is ${counts ? "a whole number of steps" : "a number"}, got ${show(value)}`);
  return number;
}

function readTensor(value: unknown, shape: readonly number[], dtype: FloatType, where: string): FloatArray {
  const data = ownValue(value, "data");
  const given = ownValue(value, "shape");
  if (!isFloatArray(data) || !Array.isArray(given))
    return refuse(
      `${where} is a tensor { dtype, shape, data }, got ${show(value)}` +
        (isRecord(data) ? "; JSON does not keep typed arrays: structuredClone and saveSafetensors do" : ""),
    );
  if (
    given.length !== shape.length ||
    shape.some((size, axis) => size !== given[axis]) ||
    data.length !== sizeOf(shape)
  )
    return refuse(
      `${where} has shape ${showShape(given)} and ${data.length} elements in the state dict, ${showShape(shape)} in the optimizer`,
    );
  const expected = DTYPE_NAMES[dtype];
  const actual = DTYPE_NAMES[dtypeOf(data)];
  const named = ownValue(value, "dtype") ?? expected;
  if (actual !== expected || named !== expected)
    return refuse(`${where} is ${actual} in the state dict, ${expected} in the optimizer`);
  return data;
}

/** What is given as a shape, cut short if need be. */
function showShape(shape: readonly unknown[]): string {
  return show(shape).replaceAll(", ", ",");
}

function refuse(message: string): never {
  throw new StepjitError("invalid-state", message);
}

/** A training run as the traced module has it, evaluated value by value: no pass, plan or backend has a part in it. */
import { reference } from "stepjit";
import { placesOf } from "../../src/ir/dims.ts";
import { ELEMENT } from "../../src/ir/extent.ts";
import type { Module } from "../../src/ir/module.ts";
import { type FloatType, roundTo } from "../../src/ir/type.ts";
import { classify } from "../../src/step/classes.ts";
import {
  type AnyDefinition,
  count,
  exists,
  memberNames,
  type StateSpec,
} from "../../src/trace/definition.ts";
import { trace } from "../../src/trace/trace.ts";
import { type OracleParameter, oracleStep } from "../oracle.ts";
import type { Snapshot } from "../properties/scenario.ts";
import type { AnyOptimizerClass } from "./subjects.ts";
import { gradientAt, membersOf, type Run, settingsAt, Trainee } from "./training.ts";

/** A parameter on the oracle, by name, and the state that its class has. */
interface Member extends OracleParameter {
  readonly name: string;
  readonly dtype: FloatType;
  readonly state: readonly (readonly [string, StateSpec])[];
}

/** The first `steps` steps of a run; `alter` may change the traced module first. */
export function trainOnOracle(
  make: AnyOptimizerClass,
  run: Run,
  steps: number,
  alter = (module: Module) => module,
): Snapshot[] {
  const { definition } = make;
  const trainee = new Trainee(make, run, reference());
  const { classes, members: classified } = classify(trainee.optimizer);
  const module = alter(trace(definition, classes, []));
  const members = trainee.optimizer.parameters.map(({ name, group, elements, tensor }, index): Member => {
    const { classIndex, dims } = classified[index] as (typeof classified)[number];
    const { name: className, dtype, flags } = classes[classIndex] as (typeof classes)[number];
    const state = Object.entries(definition.state ?? {}).flatMap(([slot, spec]) =>
      spec !== count && exists(spec, flags) ? [[slot, spec] as const] : [],
    );
    const contents = new Map<string, ArrayLike<number>>([["param", tensor.data.slice()]]);
    return {
      name,
      dtype,
      state,
      className,
      group,
      elements,
      dims,
      contents,
      active: false,
      first: false,
      count: 0,
    };
  });
  trainee.dispose();
  return Array.from({ length: steps }, (_, taken) => {
    const settings = run.groups.map((_, group) => settingsAt(definition, run, group, taken + 1));
    for (const member of members) {
      const values = member.contents.get("param") ?? [];
      const gradient = gradientAt(run, taken + 1, member.name, values, member.dtype === "f64");
      member.active = gradient !== null;
      member.first = member.active && member.count === 0;
      if (gradient) member.contents.set("grad", gradient);
      if (member.first) fillState(member, numbersOf(definition, settings[member.group] ?? {}).shaped);
    }
    oracleStep(module, members, {
      groups: settings.map((values) => numbersOf(definition, values).flat),
    });
    for (const member of members) roundNumbers(member);
    return snapshotOf(members, definition.state?.step === count);
  });
}

/** Settings as the maths has them: null is NaN. By hyperparameter, and by member. */
function numbersOf({ hyper }: AnyDefinition, settings: Readonly<Record<string, unknown>>) {
  const shaped: Record<string, unknown> = {};
  const flat: Record<string, number> = {};
  for (const [name, { default: value }] of Object.entries(hyper)) {
    const numbers = membersOf(settings[name]).map((number) => number ?? Number.NaN);
    shaped[name] = Array.isArray(value) ? numbers : numbers[0];
    memberNames(name, value).forEach((member, i) => {
      flat[member] = numbers[i] as number;
    });
  }
  return { shaped, flat };
}

function fillState({ contents, dims, dtype, state }: Member, hyper: Record<string, unknown>): void {
  for (const [slot, { extent = ELEMENT, init = 0, dtype: own = "f64" }] of state) {
    const initial = typeof init === "function" ? init(hyper as never) : init;
    contents.set(
      `state.${slot}`,
      initial === "param"
        ? (contents.get("param") as ArrayLike<number>)
        : extent === "param"
          ? [roundTo(own, initial)]
          : new Array<number>(placesOf(extent, dims as NonNullable<typeof dims>)).fill(
              roundTo(dtype, initial),
            ),
    );
  }
}

/** State of one number a parameter is kept in the dtype that it declares. */
function roundNumbers({ contents, active, state }: Member): void {
  for (const [slot, { extent, dtype = "f64" }] of state)
    if (active && extent === "param")
      contents.set(`state.${slot}`, [roundTo(dtype, contents.get(`state.${slot}`)?.[0] as number)]);
}

function snapshotOf(members: readonly Member[], keepsCount: boolean): Snapshot {
  const snapshot: Snapshot = new Map();
  for (const { name, dtype, contents, count } of members) {
    const double = dtype === "f64";
    if (keepsCount) snapshot.set(`${name}.step`, { double, numbers: [count] });
    for (const [place, numbers] of contents)
      if (place !== "grad")
        snapshot.set(place.replace("param", name).replace("state", name), { double, numbers });
  }
  return snapshot;
}

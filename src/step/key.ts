/** The key of a step: all that its plan depends on, as parts that people can read. No hyperparameter's value is among them. */
import type { ParamGroup } from "../optim/group.ts";
import { matrixAxes } from "../optim/matrix.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import { memberNames } from "../trace/definition.ts";
import { counted } from "./counted.ts";
import type { EngineOptions } from "./options.ts";

/** A key, part by part. */
export type Key = ReadonlyMap<string, string>;

export function keyOf(optimizer: Optimizer, { backend, numerics, transforms }: EngineOptions): Key {
  const parts: [string, string][] = [
    ["optimizer", optimizer.definition.name],
    ["backend", backend.target],
    ["numerics", numerics],
    ["gradient transforms", transforms.map(({ name }) => name).join(", ") || "none"],
    ["state dicts loaded", String(optimizer.loads)],
    ["hyperparameters on the device", residentsOf(optimizer).join(", ") || "none"],
  ];
  for (const group of optimizer.paramGroups) {
    parts.push([groupPart(group.index), printMembers(optimizer, group)]);
    for (const [flag, value] of Object.entries(group.flags))
      parts.push([flagPart(group.index, flag), String(value)]);
  }
  return new Map(parts);
}

/** What a group's parameters are: `"embed" (float32 matrix), 12 parameters (float32)`. */
function printMembers({ definition }: Optimizer, { parameters, flags }: ParamGroup): string {
  const kinds = new Map<string, string[]>();
  for (const parameter of parameters) {
    const isMatrix = matrixAxes(definition, parameter, flags) !== undefined;
    const kind = `${parameter.tensor.dtype}${isMatrix ? " matrix" : ""}`;
    const names = kinds.get(kind) ?? [];
    names.push(parameter.name);
    kinds.set(kind, names);
  }
  const texts = [...kinds].map(([kind, [first, ...others]]) => {
    const who = others.length === 0 ? `"${first}"` : counted(1 + others.length, "parameter");
    return `${who} (${kind})`;
  });
  return texts.join(", ") || "no parameters";
}

/** The flags of all groups, derived ones included, and residents: the part of the key that can change without a new revision. */
export function flagsKey(optimizer: Optimizer): string {
  const flags = optimizer.paramGroups.map((group) => group.flagsKey).join("|");
  const residents = residentsOf(optimizer);
  return residents.length > 0 ? `${flags} ${residents}` : flags;
}

/** Members of hyperparameters that are on a device in some group, in order. */
export function residentsOf(optimizer: Optimizer): string[] {
  const { paramGroups } = optimizer;
  if (paramGroups.every(({ residents }) => residents.size === 0)) return [];
  return hyperNames(optimizer).filter((name) => paramGroups.some(({ residents }) => residents.has(name)));
}

/** Why a derived flag changed: the hyperparameters that left zero, by the flag's part of the key. */
export function crossingsOf(optimizer: Optimizer, before: readonly Float64Array[]): Map<string, string> {
  const names = hyperNames(optimizer);
  const causes = new Map<string, string>();
  for (const { index, numbers, derivedNames } of optimizer.paramGroups) {
    const left = names.flatMap((name, i) =>
      before[index]?.[i] === 0 && numbers[i] !== 0 ? [`${name} 0 → ${numbers[i]}`] : [],
    );
    if (left.length > 0) for (const flag of derivedNames) causes.set(flagPart(index, flag), left.join(", "));
  }
  return causes;
}

/** The members of all hyperparameters, in the order of a group's numbers. */
export function hyperNames({ definition }: Optimizer): string[] {
  return Object.entries(definition.hyper).flatMap(([name, spec]) => memberNames(name, spec.default));
}

function groupPart(group: number): string {
  return `param group ${group}`;
}

function flagPart(group: number, flag: string): string {
  return `${groupPart(group)}, ${flag}`;
}

/** What a part belongs to: of a group's flag, the group. */
export function ownerOf(part: string): string | undefined {
  return /^(.+), [^,]+$/.exec(part)?.[1];
}

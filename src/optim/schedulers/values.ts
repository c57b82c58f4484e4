/** The numbers that schedulers read and write, by member name: `lr`, `betas.0`. */
import { StepjitError } from "../../error.ts";
import { type AnyDefinition, memberNames } from "../../trace/definition.ts";
import type { ParamGroup } from "../group.ts";
import { isResident, type Member, numberOf } from "../hyper.ts";

/** One group's new numbers. */
export type Assignment = Readonly<Record<string, number>>;

/** All that can be scheduled in an optimizer. */
export function schedulable({ hyper }: AnyDefinition): string[] {
  return Object.entries(hyper).flatMap(([name, spec]) => memberNames(name, spec.default));
}

/** Throws `unsupported` for a number that only a device knows. */
export function readMember(group: ParamGroup, member: string): number {
  const bound = memberOf(group, member);
  if (isResident(bound))
    throw new StepjitError(
      "unsupported",
      `param group ${group.index}: ${member} is a tensor on a device, and schedulers go on from numbers that the host knows: write ` +
        "the tensor yourself, or give a number or a scalar",
    );
  return numberOf(bound);
}

/**
 * Sets the numbers of all groups; numbers that scalars stand for are written into these. Everything is checked before anything is
 * set. Throws what the group throws (`invalid-hyperparameter`), and `invalid-option` where one scalar would get two values.
 */
export function assignAll(
  who: string,
  groups: readonly ParamGroup[],
  assignments: readonly Assignment[],
): void {
  const commits = groups.map((group, index) => group.prepare(settingsOf(group, assignments[index] ?? {})));
  checkShared(who, groups, assignments);
  for (const commit of commits) commit();
}

/** Whole hyperparameters: the members that stay are the group's own, scalars as scalars, so that none is written by the way. */
function settingsOf(group: ParamGroup, assignment: Assignment): Record<string, unknown> {
  const settings: Record<string, unknown> = {};
  for (const [member, value] of Object.entries(assignment)) {
    const [name, index] = split(member);
    if (index === undefined) settings[name] = value;
    else settings[name] = [...((settings[name] as unknown[]) ?? group.members(name))].with(index, value);
  }
  return settings;
}

/** Groups may share a scalar as long as they agree on its value. */
function checkShared(who: string, groups: readonly ParamGroup[], assignments: readonly Assignment[]): void {
  const seen = new Map<Member, { group: number; member: string; value: number }>();
  groups.forEach((group, index) => {
    for (const [member, value] of Object.entries(assignments[index] ?? {})) {
      const bound = memberOf(group, member);
      if (typeof bound === "number") continue;
      const first = seen.get(bound);
      if (first && first.value !== value)
        throw new StepjitError(
          "invalid-option",
          `${who}: ${first.member} of param group ${first.group} and ${member} of param group ${index} are one scalar, which cannot ` +
            `be ${first.value} and ${value}: give each a scalar of its own`,
        );
      seen.set(bound, { group: index, member, value });
    }
  });
}

function memberOf(group: ParamGroup, member: string): Member {
  const [name, index = 0] = split(member);
  return group.members(name)?.[index] as Member;
}

function split(member: string): [name: string, index?: number] {
  const [name, index] = member.split(".") as [string, string?];
  return index === undefined ? [name] : [name, Number(index)];
}

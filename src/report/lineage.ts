/**
 * Lineage: which value of the stage before a value is. Passes number anew whatever they leave, so values are told by what they are: op,
 * type, name and line of source; of several alike, the one is taken that has the same operands, in the same phase if there is one.
 *
 * Functions are cut in pieces on the way (a body becomes a scalar program and kernels, one a phase), and pieces may compute the same
 * thing again: a value is looked for in all functions of its class, and one value may go on as several.
 */
import type { Func, Module, Value } from "../ir/module.ts";
import { printType } from "../ir/type.ts";

/** A value of a module: function and number. */
export type Place = readonly [func: number, value: number];

/** By function and value: the value of the module before that it is; undefined where it is new. */
export type Origins = readonly (readonly (Place | undefined)[])[];

export function originsOf(module: Module, before: Module): Origins {
  return module.funcs.map((func) => originsIn(func, before, candidatesFor(func, before)));
}

/** The values of a class's functions, by what they are. */
function candidatesFor({ name }: Func, before: Module): Map<string, Candidate[]> {
  const candidates = new Map<string, Candidate[]>();
  before.funcs.forEach((func, index) => {
    if (func.name !== name) return;
    func.values.forEach((value, id) => {
      const key = identity(value);
      candidates.set(key, [...(candidates.get(key) ?? []), { place: [index, id], value }]);
    });
  });
  return candidates;
}

interface Candidate {
  readonly place: Place;
  readonly value: Value;
}

function identity({ op, type, attribute, source }: Value): string {
  return [op, printType(type), attribute, source].join(" ");
}

/** In order, so that operands are known first. A value of the stage before is taken once a function. */
function originsIn(func: Func, before: Module, candidates: ReadonlyMap<string, readonly Candidate[]>) {
  const taken = new Set<Candidate>();
  const origins: (Place | undefined)[] = [];
  for (const value of func.values) {
    const free = (candidates.get(identity(value)) ?? []).filter((candidate) => !taken.has(candidate));
    const ranks = free.map((candidate) => likeness(candidate, value, origins, func, before));
    const best = free[ranks.indexOf(Math.max(...ranks))];
    if (best) taken.add(best);
    origins.push(best?.place);
  }
  return origins;
}

/** The same operands say most, then the same phase, then the same kind of function. */
function likeness(
  { place: [owner], value }: Candidate,
  { args }: Value,
  origins: readonly (Place | undefined)[],
  func: Func,
  before: Module,
): number {
  const { phase, kind } = before.funcs[owner] as Func;
  const hasOperands = args.every((arg, position) => {
    const origin = origins[arg];
    return origin?.[0] === owner && origin[1] === value.args[position];
  });
  return 4 * Number(hasOperands) + 2 * Number(phase === func.phase) + Number(kind === func.kind);
}

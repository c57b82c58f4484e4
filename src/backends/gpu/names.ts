/** Names of values in a kernel: a tensor's is its role, any other value's is v and its number. */
import { type Func, tensorName, type Value, type ValueId } from "../../ir/module.ts";

const TENSORS = ["param", "grad", "state", "total"];

export function isTensor({ op }: Value): boolean {
  return TENSORS.includes(op);
}

export interface Names {
  /** Of values, by number. A broadcast of a tensor is called like the tensor. */
  readonly values: readonly string[];
  /** Of the place where a tensor begins, and of several of its numbers, by role. */
  readonly bases: ReadonlyMap<string, string>;
  readonly packs: ReadonlyMap<string, string>;
}

/** `reserved`: what a state slot may not be called. */
export function nameAll(
  kernel: Func,
  roles: readonly string[],
  reserved: ReadonlySet<string>,
  isAlias: (id: ValueId) => boolean,
): Names {
  const wordOf = (role: string) => wordFor(role, reserved);
  const taken = new Set<string>();
  const take = (wanted: string) => {
    let name = wanted;
    while (taken.has(name)) name += "_";
    taken.add(name);
    return name;
  };
  const bases = new Map(roles.map((role) => [role, take(`${wordOf(role)}_at`)]));
  const packs = new Map(roles.map((role) => [role, take(`${wordOf(role)}s`)]));
  const values: string[] = [];
  kernel.values.forEach((value, id) => {
    if (isAlias(id)) values.push(values[value.args[0] as ValueId] as string);
    else values.push(take(isTensor(value) ? wordOf(tensorName(value)) : `v${id}`));
  });
  return { values, bases, packs };
}

/** `grad`, `exp_avg` of state.exp_avg; `state_loop` where the language or our text has another use for the word. */
function wordFor(role: string, reserved: ReadonlySet<string>): string {
  const word = role.replace(/^(state|total)\./, "").replace(/\W/g, "_");
  const isOurs = word === role || !(reserved.has(word) || word.startsWith("_"));
  return isOurs ? word : role.replace(/\W/g, "_");
}

import { type Func, type Output, type Value, type ValueId, valueAt } from "./module.ts";

/** The numbers of the values that some outputs need, in order: what `slice` keeps, numbered anew from 0. */
export function neededBy(func: Func, outputs: readonly Output[]): ValueId[] {
  const needed = new Set(outputs.map(({ value }) => value));
  for (const id of needed) for (const arg of valueAt(func, id).args) needed.add(arg);
  return [...needed].sort((a, b) => a - b);
}

/**
 * The part of a function that some outputs need, in order. `cut` may put an input in a value's place: what lies behind it is then
 * left out, unless something else needs it.
 */
export function slice(
  func: Func,
  outputs: readonly Output[],
  into: Partial<Pick<Func, "kind" | "phase" | "on">> = {},
  cut: (id: ValueId, value: Value) => Value | undefined = () => undefined,
): Func {
  const needed = new Map<ValueId, Value>();
  const visit = (id: ValueId) => {
    if (needed.has(id)) return;
    const value = valueAt(func, id);
    const leaf = cut(id, value);
    needed.set(id, leaf ?? value);
    if (!leaf) value.args.forEach(visit);
  };
  for (const { value } of outputs) visit(value);

  const renumbered = new Map([...needed.keys()].sort((a, b) => a - b).map((id, index) => [id, index]));
  const renumber = (id: ValueId) => renumbered.get(id) as ValueId;
  return {
    kind: func.kind,
    name: func.name,
    ...(func.phase !== undefined && { phase: func.phase }),
    ...(func.on && { on: func.on }),
    ...into,
    values: [...renumbered.keys()].map((id) => {
      const value = needed.get(id) as Value;
      return { ...value, args: value.args.map(renumber) };
    }),
    outputs: outputs.map(({ target, value }) => ({ target, value: renumber(value) })),
  };
}

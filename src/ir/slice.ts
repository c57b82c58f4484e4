import { type Func, type Output, type Value, type ValueId, valueAt } from "./module.ts";

/** The numbers of the values that some outputs need, in order: what `slice` keeps, numbered anew from 0. */
export function neededBy(func: Func, outputs: readonly Output[]): ValueId[] {
  return [...reached(outputs, (id) => valueAt(func, id)).keys()];
}

/** By number, in order: what outputs need, each value as `read` gives it. */
function reached(outputs: readonly Output[], read: (id: ValueId) => Value): Map<ValueId, Value> {
  const values = new Map<ValueId, Value>();
  const visit = (id: ValueId) => {
    if (values.has(id)) return;
    const value = read(id);
    values.set(id, value);
    value.args.forEach(visit);
  };
  for (const { value } of outputs) visit(value);
  return new Map([...values].sort(([a], [b]) => a - b));
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
  const needed = reached(outputs, (id) => {
    const value = valueAt(func, id);
    return cut(id, value) ?? value;
  });
  const renumbered = new Map([...needed.keys()].map((id, index) => [id, index]));
  const renumber = (id: ValueId) => renumbered.get(id) as ValueId;
  return {
    kind: func.kind,
    name: func.name,
    ...(func.phase !== undefined && { phase: func.phase }),
    ...(func.on && { on: func.on }),
    ...into,
    values: [...needed.values()].map((value) => ({ ...value, args: value.args.map(renumber) })),
    outputs: outputs.map(({ target, value }) => ({ target, value: renumber(value) })),
  };
}

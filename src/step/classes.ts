import type { Optimizer } from "../optim/optimizer.ts";
import type { ClassSpec } from "../trace/trace.ts";

/** The parameter classes of an optimizer, in order of first appearance, and each parameter's index among them. */
export function classify(optimizer: Optimizer): { classes: ClassSpec[]; indices: number[] } {
  const classes: ClassSpec[] = [];
  const known = new Map<string, number>();
  const flagsOf = optimizer.paramGroups.map(({ flags }) => flags);
  const indices = optimizer.parameters.map(({ group, tensor }) => {
    const flags = flagsOf[group] as ClassSpec["flags"];
    const { dtype } = tensor.storage;
    const name = className(optimizer.definition.name, dtype, flags);
    const index = known.get(name) ?? classes.push({ name, dtype, flags }) - 1;
    known.set(name, index);
    return index;
  });
  return { classes, indices };
}

/** `AdamW f32 amsgrad`: the name says all that tells one class of an optimizer from another. */
function className(optimizer: string, dtype: string, flags: ClassSpec["flags"]): string {
  const set = Object.keys(flags).filter((flag) => flags[flag]);
  return [optimizer, dtype, ...set].join(" ");
}

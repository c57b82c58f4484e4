/** What things are called on the page. */
import type { FuncData, ValueData } from "../stages.ts";

/** Where a value lives, the widest last: extents come down to these five, which have a colour each. */
export const LEVELS = {
  step: { short: "step", long: "one number a step" },
  group: { short: "group", long: "one number a group" },
  param: { short: "parameter", long: "one number a parameter" },
  axes: { short: "rows, columns", long: "one for each row, column or slab" },
  element: { short: "elements", long: "one for each element" },
} as const;

export type LevelName = keyof typeof LEVELS;

export function levelOf({ extent }: Pick<ValueData, "extent">): LevelName {
  if (extent === "[lead,row,col]") return "element";
  return extent.startsWith("[") ? "axes" : (extent as LevelName);
}

/** `mul`, `state exp_avg`, `const 1e-8`. */
export function operation({ op, attribute }: ValueData): string {
  return attribute === undefined ? op : `${op} ${attribute}`;
}

/** `mul %1 %2`: as a dump prints it. */
export function printed(value: ValueData): string {
  return [operation(value), ...value.args.map((arg) => `%${arg}`)].join(" ");
}

/** `kernel, phase 1`; `scalars, phase 1, on the device`. */
export function titleOf({ kind, phase, on }: FuncData): string {
  const words: string[] = [kind];
  if (phase !== undefined) words.push(`phase ${phase}`);
  if (on) words.push(`on the ${on}`);
  return words.join(", ");
}

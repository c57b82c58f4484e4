/**
 * Prints one function above elements: a step body, or a scalar program for one row of the scalar table. Numbers are f32, masks are
 * bool; in tables a mask is 0 or 1.
 *
 *     f64@param %2 = div %0 %1      ->      let v2 = v0 / v1;      // %2 = div %0 %1
 */
import { StepjitError } from "../../error.ts";
import type { Level } from "../../ir/extent.ts";
import type { Func, Output, Value, ValueId } from "../../ir/module.ts";
import { type Op, opInfo, type ParamMask } from "../../ir/ops.ts";
import { printOperation } from "../../ir/print.ts";
import { printType } from "../../ir/type.ts";
import type { NumberTable } from "../backend.ts";
import { indent } from "../common/text.ts";
import { totalAt } from "./finish.ts";
import { COMMIT_AT, giveAt, MASK_BITS, SCALAR_ROW } from "./layout.ts";
import { literal, spell } from "./spelling.ts";
import { declareUsed, note } from "./text.ts";

export const COMMITTED = `scalars[${COMMIT_AT}] != 0.0`;

/** A function's lines: `fn NAME() {` of a step body, `fn NAME(row: vec4u, slots: u32) {` of a scalar program. */
export function printProgram(name: string, func: Func, numbers: NumberTable, guarded: boolean): string[] {
  const names = namesOf(func);
  const values = func.values.flatMap((value, id) => {
    if (isAlias(value)) return [];
    const text = opInfo(value.op).rule === "input" ? readInput(value, numbers) : compute(value, names);
    return note(`let ${names[id]} = ${text};`, `%${id} = ${printOperation(value)}`);
  });
  const isState = ({ target }: Output) => target.startsWith("state.");
  const store = (output: Output) => {
    const { type } = func.values[output.value] as Value;
    const number = names[output.value] as string;
    const place = placeOf(output.target, numbers);
    return note(
      `${place} = ${type.dtype === "bool" ? `select(0.0, 1.0, ${number})` : number};`,
      `${output.target} = %${output.value}`,
    );
  };
  const state = func.outputs.filter(isState).map(store);
  const lines = [
    ...values,
    ...func.outputs.filter((output) => !isState(output)).map(store),
    ...(guarded && state.length > 0 ? [`if (${COMMITTED}) {`, ...indent(state), "}"] : state),
  ];
  return [
    `fn ${name}(${func.kind === "step" ? "" : "row: vec4u, slots: u32"}) {`,
    ...indent([...declareUsed(rowWords(numbers), lines), ...lines]),
    "}",
  ];
}

/** What lines of a scalar program may name. */
export function rowWords({ records, hypers }: NumberTable): [name: string, text: string][] {
  return [
    ["parameter", `row.${SCALAR_ROW.parameter}`],
    ["group", `row.${SCALAR_ROW.group}`],
    ["record", `parameter * ${records.length}u`],
    ["members", `group * ${hypers.length}u`],
  ];
}

/** A broadcast between levels is the same number. */
function isAlias({ op }: Value): boolean {
  return op === "broadcast";
}

function namesOf({ values }: Func): string[] {
  const names: string[] = [];
  values.forEach((value, id) => {
    names.push(isAlias(value) ? (names[value.args[0] as ValueId] as string) : `v${id}`);
  });
  return names;
}

function compute(value: Value, names: readonly string[]): string {
  const text = spell(
    value.op,
    value.args.map((arg) => names[arg] as string),
  );
  if (text === undefined) throw unsupported(value);
  return text;
}

function unsupported({ op, type }: Value): StepjitError {
  return new StepjitError("unsupported", `the webgpu backend has no ${op} that gives ${printType(type)}`);
}

type Read = (value: Value, numbers: NumberTable) => string;

const PLACES: Readonly<Record<Level, string>> = { step: "0u", group: "group", param: "parameter" };

/** Inputs, as numbers or, masks of tables, as 0 and 1. */
const INPUTS: Partial<Record<Op, Read>> = {
  const: ({ attribute }) => literal(attribute as number),
  scalar: ({ attribute }) => `scalars[slots + ${attribute}u]`,
  given: ({ attribute }, numbers) => `scalars[${giveAt(numbers, String(attribute))}]`,
  hyper: ({ attribute }, { hypers }) => `hypers[members + ${hypers.indexOf(String(attribute))}u]`,
  stepcount: (_, numbers) => `${recordOf("stepcount", numbers)} + 1.0`,
  state: ({ attribute }, numbers) => recordOf(String(attribute), numbers),
  total: ({ attribute, type }, numbers) => {
    const level = type.extent as Level;
    return totalAt(numbers, { name: String(attribute), level })(PLACES[level]);
  },
};

function readInput(value: Value, numbers: NumberTable): string {
  if (value.op === "mask") return readMask(value.attribute as ParamMask, numbers);
  const text = INPUTS[value.op]?.(value, numbers);
  if (text === undefined) throw unsupported(value);
  return value.type.dtype === "bool" ? `${text} != 0.0` : text;
}

/** State that is new in a step that is given up is new again in the next one, of which the host does not know. */
export function readMask(name: ParamMask, numbers: NumberTable): string {
  const holds = `(row.${SCALAR_ROW.masks} & ${MASK_BITS[name]}u) != 0u`;
  return name === "first" && numbers.records.includes("first")
    ? `${holds} || ${recordOf("first", numbers)} != 0.0`
    : holds;
}

/** What the device remembers of a row's parameter. */
export function recordOf(name: string, { records }: NumberTable): string {
  const index = records.indexOf(name);
  if (index < 0) throw new RangeError(`the device remembers no ${name}`);
  return `records[record + ${index}u]`;
}

/** Where an output goes. */
function placeOf(target: string, numbers: NumberTable): string {
  if (target === "commit") return `scalars[${COMMIT_AT}]`;
  const [, kind, name = ""] = /^(give|scalar|state)\.(.+?)'?$/.exec(target) ?? [];
  if (kind === "give") return `scalars[${giveAt(numbers, name)}]`;
  return kind === "scalar" ? `scalars[slots + ${name}u]` : recordOf(name, numbers);
}

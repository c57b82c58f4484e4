/**
 * Prints one function above elements: a step body, or a scalar program for one row of the scalar table. Numbers are f64, or f32 in a
 * language that has no other; masks are bool, and 0 or 1 in tables.
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
import type { Language } from "./language.ts";
import { COMMIT_AT, giveAt, MASK_BITS, SCALAR_ROW } from "./layout.ts";
import { declareUsed, note } from "./text.ts";

export function committed({ table }: Language): string {
  return `${table("scalars")}[${COMMIT_AT}] != 0.0`;
}

/** Where a function's numbers come from. */
export interface Surroundings {
  readonly language: Language;
  readonly numbers: NumberTable;
  /** Whether state obeys the commit flag. */
  readonly guarded: boolean;
}

/** A function without parameters of a step body, with (row, slots) of a scalar program. */
export function printProgram(name: string, func: Func, around: Surroundings): string[] {
  const { language, guarded } = around;
  const names = namesOf(func);
  const values = func.values.flatMap((value, id) => {
    if (isAlias(value)) return [];
    const text =
      opInfo(value.op).rule === "input" ? readInput(value, around) : compute(value, names, language);
    const { dtype } = value.type;
    return note(language.constant(dtype, names[id] as string, text), `%${id} = ${printOperation(value)}`);
  });
  const isState = ({ target }: Output) => target.startsWith("state.");
  const store = (output: Output) => {
    const { type } = func.values[output.value] as Value;
    const number = names[output.value] as string;
    const place = placeOf(output.target, around);
    return note(
      `${place} = ${type.dtype === "bool" ? language.choose(number, "1.0", "0.0") : number};`,
      `${output.target} = %${output.value}`,
    );
  };
  const state = func.outputs.filter(isState).map(store);
  const lines = [
    ...values,
    ...func.outputs.filter((output) => !isState(output)).map(store),
    ...(guarded && state.length > 0 ? [`if (${committed(language)}) {`, ...indent(state), "}"] : state),
  ];
  return language.func(name, func.kind === "step" ? [] : ROW_AND_SLOTS, [
    ...declareUsed(rowWords(around), lines),
    ...lines,
  ]);
}

const ROW_AND_SLOTS = [
  ["words", "row"],
  ["u32", "slots"],
] as const;

/** What lines of a scalar program may name. */
export function rowWords({ language, numbers: { records, hypers } }: Surroundings): [string, string][] {
  const words = [
    ["parameter", `row.${SCALAR_ROW.parameter}`],
    ["group", `row.${SCALAR_ROW.group}`],
    ["record", `parameter * ${records.length}u`],
    ["members", `group * ${hypers.length}u`],
  ] as const;
  return words.map(([name, text]) => [name, language.constant("u32", name, text)]);
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

function compute({ op, args, type }: Value, names: readonly string[], language: Language): string {
  const text = language.spell(
    op,
    args.map((arg) => names[arg] as string),
    "f64",
  );
  if (text === undefined) throw unsupported({ op, type }, language);
  return text;
}

function unsupported({ op, type }: Pick<Value, "op" | "type">, { backend }: Language): StepjitError {
  return new StepjitError("unsupported", `the ${backend} backend has no ${op} that gives ${printType(type)}`);
}

type Read = (value: Value, around: Surroundings) => string;

const PLACES: Readonly<Record<Level, string>> = { step: "0u", group: "group", param: "parameter" };

/** Inputs, as numbers or, masks of tables, as 0 and 1. */
const INPUTS: Partial<Record<Op, Read>> = {
  const: ({ attribute }, { language }) => language.literal(attribute as number, "f64"),
  scalar: ({ attribute }, { language }) => `${language.table("scalars")}[slots + ${attribute}u]`,
  given: ({ attribute }, { language, numbers }) =>
    `${language.table("scalars")}[${giveAt(numbers, String(attribute))}]`,
  hyper: ({ attribute }, { language, numbers: { hypers } }) =>
    language.hyper(`members + ${hypers.indexOf(String(attribute))}u`),
  stepcount: (_, around) => `${recordOf("stepcount", around)} + 1.0`,
  state: ({ attribute }, around) => recordOf(String(attribute), around),
  total: ({ attribute, type }, { language, numbers }) => {
    const level = type.extent as Level;
    return totalAt(language, numbers, { name: String(attribute), level })(PLACES[level]);
  },
};

function readInput(value: Value, around: Surroundings): string {
  if (value.op === "mask") return readMask(value.attribute as ParamMask, around);
  const text = INPUTS[value.op]?.(value, around);
  if (text === undefined) throw unsupported(value, around.language);
  return value.type.dtype === "bool" ? `${text} != 0.0` : text;
}

/** State that is new in a step that is given up is new again in the next one, of which the host does not know. */
export function readMask(name: ParamMask, around: Surroundings): string {
  const holds = `(row.${SCALAR_ROW.masks} & ${MASK_BITS[name]}u) != 0u`;
  return name === "first" && around.numbers.records.includes("first")
    ? `${holds} || ${recordOf("first", around)} != 0.0`
    : holds;
}

/** What the device remembers of a row's parameter. */
export function recordOf(name: string, { language, numbers: { records } }: Surroundings): string {
  const index = records.indexOf(name);
  if (index < 0) throw new RangeError(`the device remembers no ${name}`);
  return `${language.table("records")}[record + ${index}u]`;
}

/** Where an output goes. */
function placeOf(target: string, around: Surroundings): string {
  const scalars = around.language.table("scalars");
  if (target === "commit") return `${scalars}[${COMMIT_AT}]`;
  const [, kind, name = ""] = /^(give|scalar|state)\.(.+?)'?$/.exec(target) ?? [];
  if (kind === "give") return `${scalars}[${giveAt(around.numbers, name)}]`;
  return kind === "scalar" ? `${scalars}[slots + ${name}u]` : recordOf(name, around);
}

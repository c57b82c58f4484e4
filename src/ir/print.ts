import { type Func, isFlat, type Module, type Value } from "./module.ts";
import { printType } from "./type.ts";

/**
 * The printed form: one op a line, type on the left, source on the right; it parses back (parse.ts).
 *
 *     kernel "AdamW f32" phase 0 flat {
 *       f32[lead,row,col]  %0 = grad                      # adamw.ts:21:5
 *       f32[lead,row,col]  %1 = mul %0 %0
 *       state.exp_avg' = %1
 *     }
 */
export function printModule(module: Module, options: PrintOptions = {}): string {
  return [`module "${module.name}"`, ...module.funcs.map((func) => printFunc(func, options))].join("\n\n");
}

export interface PrintOptions {
  /** Where each value came from; left out of keys. Default true. */
  readonly sources?: boolean;
}

export function printFunc(func: Func, { sources = true }: PrintOptions = {}): string {
  const types = func.values.map((value) => printType(value.type));
  const width = Math.max(0, ...types.map((text) => text.length));
  const lines = func.values.map((value, id) => {
    const line = `  ${types[id]?.padEnd(width)}  %${id} = ${printOperation(value)}`;
    return sources && value.source ? `${line.padEnd(width + 36)} # ${value.source}` : line;
  });
  const outputs = func.outputs.map(({ target, value }) => `  ${target} = %${value}`);
  return [`${header(func)} {`, ...lines, ...outputs, "}"].join("\n");
}

function header(func: Func): string {
  const words: string[] = [func.kind];
  if (func.name) words.push(`"${func.name}"`);
  if (func.phase !== undefined) words.push(`phase ${func.phase}`);
  if (func.on) words.push(`on ${func.on}`);
  if ((func.kind === "body" || func.kind === "kernel") && isFlat(func)) words.push("flat");
  return words.join(" ");
}

/** `mul %1 %2`, `hyper lr`, `const 0.5`: the part after the equals sign. */
export function printOperation({ op, attribute, args }: Value): string {
  const words: string[] = [op];
  if (attribute !== undefined) words.push(typeof attribute === "number" ? printNumber(attribute) : attribute);
  return [...words, ...args.map((arg) => `%${arg}`)].join(" ");
}

function printNumber(x: number): string {
  return Object.is(x, -0) ? "-0" : String(x);
}

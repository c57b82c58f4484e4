import { StepjitError } from "../error.ts";
import type { Func, FuncKind, Module, Output, Value } from "./module.ts";
import { isOp, opInfo } from "./ops.ts";
import { parseType } from "./type.ts";

/** Reads the printed form back: `printModule(parseModule(text)) === text`. Throws `ir` with the line that does not fit. */
export function parseModule(text: string): Module {
  const lines = new Lines(text);
  const name = lines.take(/^module "([^"]*)"$/, 'module "NAME"')[1] ?? "";
  const funcs: Func[] = [];
  while (!lines.done) funcs.push(readFunc(lines));
  return { name, funcs };
}

export function parseFunc(text: string): Func {
  return readFunc(new Lines(text));
}

/** The lines that say something, and where we are. */
class Lines {
  readonly #lines: readonly { text: string; number: number }[];
  #next = 0;

  constructor(text: string) {
    this.#lines = text
      .split("\n")
      .map((line, index) => ({ text: line.trim(), number: index + 1 }))
      .filter((line) => line.text !== "");
  }

  get done(): boolean {
    return this.#next >= this.#lines.length;
  }

  tryTake(pattern: RegExp): RegExpExecArray | null {
    const match = pattern.exec(this.#lines[this.#next]?.text ?? "");
    if (match) this.#next++;
    return match;
  }

  take(pattern: RegExp, expected: string): RegExpExecArray {
    return this.tryTake(pattern) ?? this.fail(`expected ${expected}`);
  }

  fail(problem: string): never {
    const line = this.#lines[this.#next] ?? { text: "the end", number: this.#lines.at(-1)?.number ?? 0 };
    throw new StepjitError("ir", `line ${line.number}: ${problem}, got: ${line.text}`);
  }

  /** Fails at the line that was taken last. */
  refuse(problem: string): never {
    this.#next--;
    return this.fail(problem);
  }
}

const HEADER = /^(step|body|scalars|kernel)(?: "([^"]*)")?(?: phase (\d+))?(?: on (device))?(?: flat)? \{$/;
const VALUE = /^(\S+) +%(\d+) = (\S+)((?: \S+?)*?)(?: +# (.+))?$/;
const OUTPUT = /^(\S+) = %(\d+)$/;

function readFunc(lines: Lines): Func {
  const [, kind, name, phase, on] = lines.take(HEADER, "a function's header");
  const values: Value[] = [];
  for (let match = lines.tryTake(VALUE); match; match = lines.tryTake(VALUE)) {
    values.push(readValue(match, values.length, lines));
  }
  const outputs: Output[] = [];
  for (let match = lines.tryTake(OUTPUT); match; match = lines.tryTake(OUTPUT)) {
    outputs.push({ target: match[1] ?? "", value: Number(match[2]) });
  }
  lines.take(/^\}$/, "a value, an output or }");
  return {
    kind: kind as FuncKind,
    name: name ?? "",
    ...(phase !== undefined && { phase: Number(phase) }),
    ...(on === "device" && { on }),
    values,
    outputs,
  };
}

function readValue(
  [, typeText, id, op, rest, source]: RegExpExecArray,
  expectedId: number,
  lines: Lines,
): Value {
  const type = parseType(typeText ?? "") ?? lines.refuse(`"${typeText}" is no type`);
  if (Number(id) !== expectedId) lines.refuse(`values are numbered in order: expected %${expectedId}`);
  if (!op || !isOp(op)) return lines.refuse(`"${op}" is no op`);
  const words = (rest ?? "").trim().split(" ").filter(Boolean);
  const { attribute: kind } = opInfo(op);
  const word = kind && words.shift();
  if (kind && (word === undefined || word.startsWith("%"))) lines.refuse(`${op} needs a ${kind}`);
  if (kind === "number" && word !== "NaN" && Number.isNaN(Number(word)))
    lines.refuse(`"${word}" is no number`);
  const args = words.map((arg) =>
    /^%\d+$/.test(arg) ? Number(arg.slice(1)) : lines.refuse(`"${arg}" is no value`),
  );
  return {
    type,
    op,
    args,
    ...(word !== undefined && { attribute: kind === "number" ? Number(word) : word }),
    ...(source !== undefined && { source }),
  };
}

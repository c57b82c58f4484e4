/**
 * The lines of a backend's text, and the values that they compute. Backends end a line with what it is, `;; %7 = mul %3 %6` or
 * `// param' = %7`, and where a text has several functions, each is headed by its name: `// kernel "AdamW f32"`. A line counts only if
 * the value of that number is what the line says.
 */
import type { ClassLayout, PhaseText } from "../backends/backend.ts";
import type { Func, Module, ValueId } from "../ir/module.ts";
import { printOperation } from "../ir/print.ts";

export interface TextData {
  readonly name: string;
  readonly phase: number;
  readonly language: Language;
  readonly text: string;
  /** Lines, from 0, that compute or store a value of the last stage. */
  readonly lines: readonly { readonly line: number; readonly func: number; readonly value: ValueId }[];
  /** The functions of the last stage that it carries out. */
  readonly funcs: readonly number[];
}

export type Language = "wasm" | "wgsl" | "cpp" | "plain";

/** `module` is batched: what the texts were printed from. */
export function linesOf(
  { name, phase, text, classes }: PhaseText,
  { funcs }: Module,
  layouts: readonly ClassLayout[],
): TextData {
  const names = classes.map((index) => layouts[index]?.name);
  const isMine = (func: Func) =>
    classes.length === 0 ? func.on === "device" : func.kind === "kernel" && names.includes(func.name);
  const mine = funcs.flatMap((func, index) => (func.phase === phase && isMine(func) ? [index] : []));
  const language = languageOf(text);
  const blocks = blocksOf(text);
  const lines = mine.flatMap((index) => {
    const func = funcs[index] as Func;
    const own = blocks.filter(({ of }) =>
      of ? of.kind === func.kind && of.name === func.name : mine.length === 1,
    );
    const notes = own.flatMap((block) => block.notes).filter((note) => holds(note, func));
    return notes.map(({ line, number }) => ({ line, func: index, value: number }));
  });
  return { name, phase, language, text, lines, funcs: mine };
}

function languageOf(text: string): Language {
  if (/^\(module\b/m.test(text)) return "wasm";
  if (/^@compute\b/m.test(text)) return "wgsl";
  return /\b__global__\b/.test(text) ? "cpp" : "plain";
}

const HEADER = /(?:;;|\/\/).*?\b(kernel|scalars|step)(?: "(.*)"(?:, phase \d+)?)?$/;
/** A comment; in a printed module, which is the reference backend's text, the line itself. */
const NOTE =
  /(?:;;|\/\/|^ {2}(?:\S+ +)?) ?(?:%(?<value>\d+) = (?<operation>.*?)|(?<target>[\w.']+) = %(?<stored>\d+))$/;

/** What is said at the end of a line. */
interface Note {
  readonly line: number;
  readonly number: ValueId;
  /** `mul %3 %6`, or where it is stored. */
  readonly operation: string | undefined;
  readonly target: string | undefined;
}

/** Lines of one function of a text that have notes. */
interface Block {
  /** The last header before it. */
  readonly of: { readonly kind: string; readonly name: string } | undefined;
  readonly notes: Note[];
}

function blocksOf(text: string): Block[] {
  const blocks: Block[] = [{ of: undefined, notes: [] }];
  text.split("\n").forEach((content, line) => {
    const [header, kind = "", name = ""] = HEADER.exec(content) ?? [];
    if (header) blocks.push({ of: { kind, name }, notes: [] });
    const { value, operation, target, stored } = NOTE.exec(content)?.groups ?? {};
    const number = value ?? stored;
    if (number !== undefined) blocks.at(-1)?.notes.push({ line, number: Number(number), operation, target });
  });
  return blocks.filter(({ notes }) => notes.length > 0);
}

/** Whether what a note says is so in a function. */
function holds({ number, operation, target }: Note, { values, outputs }: Func): boolean {
  const value = values[number];
  if (operation === undefined)
    return outputs.some((output) => output.target === target && output.value === number);
  const from = values[value?.args[0] as ValueId];
  return (
    value !== undefined &&
    (printOperation(value) === operation ||
      (from !== undefined && `${value.op} ${printOperation(from)}` === operation))
  );
}

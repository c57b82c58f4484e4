/**
 * The lines of a backend's text, and the values that they compute. Backends end a line with what it is, `;; %7 = mul %3 %6` or
 * `// param' = %7`, and where a text has several functions, each is headed by its name: `// kernel "AdamW f32"`. A line counts only if
 * the value of that number is what the line says.
 */
import type { ClassLayout, PhaseText } from "../backends/backend.ts";
import { type Func, type Module, type Output, type Value, type ValueId, valueAt } from "../ir/module.ts";
import { printOperation } from "../ir/print.ts";
import { slice } from "../ir/slice.ts";
import { outputsBySpace } from "../ir/spaces.ts";

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
    const parts = language === "wasm" ? partsOf(func) : [partOf(func, func.outputs)];
    return own.flatMap(({ notes }, at) => {
      const part = parts[Math.min(at, parts.length - 1)] as Part;
      return notes.flatMap((note) => {
        const value = part.valueOf(note);
        return value === undefined ? [] : [{ line: note.line, func: index, value }];
      });
    });
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
    else if (/^\s*\(func\b/.test(content)) blocks.push({ of: blocks.at(-1)?.of, notes: [] });
    const { value, operation, target, stored } = NOTE.exec(content)?.groups ?? {};
    const number = value ?? stored;
    if (number !== undefined) blocks.at(-1)?.notes.push({ line, number: Number(number), operation, target });
  });
  return blocks.filter(({ notes }) => notes.length > 0);
}

/** Values as one function of a text numbers them. */
interface Part {
  /** The function's number of a noted value; undefined where the note is of something else. */
  valueOf(note: Note): ValueId | undefined;
}

/** WebAssembly's functions walk a space each, and number what they need from 0. */
function partsOf(func: Func): Part[] {
  return [...outputsBySpace(func).values()].map((outputs) => partOf(func, outputs));
}

function partOf(func: Func, outputs: readonly Output[]): Part {
  const part = slice(func, outputs);
  const ids = neededBy(func, outputs);
  const says = ({ args, ...value }: Value) => {
    const from = part.values[args[0] as number];
    return [printOperation({ ...value, args }), ...(from ? [`${value.op} ${printOperation(from)}`] : [])];
  };
  return {
    valueOf({ number, operation, target }) {
      const value = part.values[number];
      const fits =
        operation === undefined
          ? part.outputs.some((output) => output.target === target && output.value === number)
          : value !== undefined && says(value).includes(operation);
      return fits ? ids[number] : undefined;
    },
  };
}

/** In order: what `slice` keeps. */
function neededBy(func: Func, outputs: readonly Output[]): ValueId[] {
  const needed = new Set(outputs.map(({ value }) => value));
  for (const id of needed) for (const arg of valueAt(func, id).args) needed.add(arg);
  return [...needed].sort((a, b) => a - b);
}

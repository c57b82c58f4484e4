/**
 * The kernels of one phase: a function for each space that a class's kernel walks, and what a block of threads does with a chunk, which is
 * to call those of its class one after the other.
 */
import { StepjitError } from "../../error.ts";
import type { Extent } from "../../ir/extent.ts";
import { type Output, type ValueId, valueAt } from "../../ir/module.ts";
import { printOperation } from "../../ir/print.ts";
import { neededBy } from "../../ir/slice.ts";
import { outputsBySpace } from "../../ir/spaces.ts";
import type { ClassLayout, PhaseWork } from "../backend.ts";
import type { Kind, Language } from "./language.ts";
import { COMMIT_AT, FLAGS, SIZES, sizeWord, TENSOR_ROW } from "./layout.ts";
import { makeScope, placeOf, placeRead, type Scope } from "./scope.ts";
import { SPACES } from "./spaces.ts";
import { declareUsed, note } from "./text.ts";
import { chunkOf, printWalks } from "./walk.ts";

/** One class's kernel. */
interface Kernel {
  readonly classIndex: number;
  readonly scope: Scope;
  /** Of each space that it walks. */
  readonly functions: readonly { readonly name: string; readonly lines: readonly string[] }[];
}

export interface PrintedKernels {
  readonly scopes: readonly Scope[];
  readonly functions: readonly string[];
  /** What is done with a chunk, where `chunk` and `thread` are variables: in the body of a loop, since chunks are skipped. */
  readonly perChunk: readonly string[];
}

/** `isWide`: see Scope. Throws `unsupported`. */
export function printKernels(
  language: Language,
  { kernels, guarded }: PhaseWork,
  layouts: readonly ClassLayout[],
  isWide: (layout: ClassLayout) => boolean,
): PrintedKernels {
  const printed = kernels.map((kernel): Kernel => {
    const classIndex = layouts.findIndex(({ name }) => name === kernel.name);
    const layout = layouts[classIndex] as ClassLayout;
    const scope = makeScope(language, kernel, layout, { guarded, wide: isWide(layout) });
    return { classIndex, scope, functions: printKernel(scope, classIndex) };
  });
  return {
    scopes: printed.map(({ scope }) => scope),
    functions: printed.flatMap(({ scope, functions }) => [
      "",
      `// kernel "${scope.kernel.name}"`,
      ...functions.flatMap(({ lines }, index) => (index === 0 ? lines : ["", ...lines])),
    ]),
    perChunk: printChunk(language, printed, layouts.length),
  };
}

/** A function for each space. */
function printKernel(scope: Scope, classIndex: number): Kernel["functions"] {
  const spaces = [...outputsBySpace(scope.kernel)];
  return spaces.map(([space, outputs]: [Extent, Output[]]) => {
    const { view } = scope.layout;
    const word = SPACES[view].get(space);
    if (word === undefined)
      throw new StepjitError(
        "unsupported",
        `kernel "${scope.kernel.name}": the ${scope.language.backend} backend cannot walk ${space} of a ${view}`,
      );
    const name = spaces.length === 1 ? `class_${classIndex}` : `class_${classIndex}_${word}`;
    return { name, lines: printFunction(scope, name, space, outputs) };
  });
}

function printFunction(scope: Scope, name: string, space: Extent, outputs: readonly Output[]): string[] {
  const { language } = scope;
  const walks = printWalks(scope, space, outputs);
  const ids = neededBy(scope.kernel, outputs);
  const shared = ids.filter((id) => scope.parts[id] === "uniform").map((id) => printUniform(scope, id));
  const places = new Set([
    ...ids.flatMap((id) => placeRead(scope, id) ?? []),
    ...outputs.flatMap((output) => placeOf(scope, output) ?? []),
  ]);
  const commit = `${language.table("scalars")}[${COMMIT_AT}] != 0.0`;
  const once: readonly (readonly [kind: Kind, name: string, text: string])[] = [
    ["u32", "slots", tensorWord(language, TENSOR_ROW.scalars)],
    ["bool", "commit", commit],
    ...SIZES.map(
      (size) => ["u32", SIZE_NAMES[size], tensorWord(language, sizeWord(scope.layout, size))] as const,
    ),
    ...chunkOf(scope, space).map(([word, text]) => ["u32", word, text] as const),
    ...language.variables(scope),
  ];
  return language.func(name, CHUNK_AND_THREAD, [
    ...[...places].map((place) => language.base(place, scope)),
    ...declareUsed(
      once.map(([kind, word, text]) => [word, language.constant(kind, word, text)]),
      [...shared, ...walks],
    ),
    ...(shared.length > 0 ? ["", "// What all elements share.", ...shared] : []),
    ...walks,
  ]);
}

const CHUNK_AND_THREAD = [
  ["words", "chunk"],
  ["u32", "thread"],
] as const;

const SIZE_NAMES: Readonly<Record<(typeof SIZES)[number], string>> = {
  row: "R",
  b: "B",
  col: "C",
  d: "D",
  "block.rows": "block_rows",
  "block.count": "blocks",
};

/** Of the chunk's tensor. */
export function tensorWord(language: Language, word: number): string {
  return `${language.table("tensors")}[chunk.x + ${word}u]`;
}

/** A constant or a scalar slot; a mask's slot holds 0 or 1. */
function printUniform(scope: Scope, id: ValueId): string {
  const { kernel, names, language, layout } = scope;
  const value = valueAt(kernel, id);
  const from = valueAt(kernel, value.args[0] as ValueId);
  const { dtype } = value.type;
  const number =
    from.op === "const"
      ? language.literal(from.attribute as number, layout.dtype)
      : `${language.table("scalars")}[slots + ${from.attribute}u]`;
  const text = language.splat(scope, dtype === "bool" ? `${number} != 0.0` : number, dtype);
  return note(
    language.constant(dtype, names[id] as string, text),
    `%${id} = broadcast ${printOperation(from)}`,
  );
}

function printChunk(language: Language, kernels: readonly Kernel[], classes: number): string[] {
  const calls = ({ functions }: Kernel) =>
    functions.map(({ name }) => `${language.call(name, "chunk", "thread")};`);
  const [only] = kernels;
  return [
    `if ((${tensorWord(language, TENSOR_ROW.flags)} & ${FLAGS.inactive}u) != 0u) { continue; }`,
    ...(only && classes === 1
      ? calls(only)
      : language.choice(
          tensorWord(language, TENSOR_ROW.classIndex),
          kernels.map((kernel) => [[kernel.classIndex], calls(kernel).join(" ")]),
        )),
  ];
}

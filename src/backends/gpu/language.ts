/**
 * What GPU languages have in common is printed once, in this folder; a language says how it writes the rest. Numbers with a `u`, operators,
 * `if`, `else`, comments and the tables' four words (`chunk.x` to `chunk.w`) are the same in all of them.
 */
import type { Value } from "../../ir/module.ts";
import type { Op } from "../../ir/ops.ts";
import type { DType, FloatType } from "../../ir/type.ts";
import type { Walk } from "./body.ts";
import type { Place, Scope } from "./scope.ts";

/** What a variable holds; `words` are four u32, a row of a table. Numbers above elements are f64, or what the language has in its place. */
export type Kind = "u32" | "words" | DType;

/** Tables in device memory (layout.ts). */
export type TableName =
  | "chunks"
  | "tensors"
  | "rows"
  | "partials"
  | "scalars"
  | "totals"
  | "records"
  | "hypers";

/** A parameter of a function of ours. */
export type Parameter = readonly [kind: Kind, name: string];

/** Cases that do the same, and what they do. */
export type Case = readonly [numbers: readonly number[], statement: string];

export interface Language {
  /** The backend's name, for errors. */
  readonly backend: string;
  /** Dtypes of elements. */
  readonly dtypes: readonly FloatType[];
  /** What a state slot may not be called: keywords, and what our texts call or declare. */
  readonly taken: ReadonlySet<string>;
  /** Threads of a kernel's blocks, and of the one block that runs the programs of a phase. */
  readonly threads: number;
  readonly programThreads: number;

  constant(kind: Kind, name: string, text: string): string;
  variable(kind: Kind, name: string, text: string): string;
  /** The head of a loop: `name` counts from `from` while it is below `end`. */
  loop(name: string, from: string, end: string, by: string): string;
  choose(condition: string, yes: string, no: string): string;
  /** Does what the number's case says, else nothing. */
  choice(on: string, cases: readonly Case[]): string[];
  /** A function; without a `result` it gives none. */
  func(name: string, parameters: readonly Parameter[], lines: readonly string[], result?: Kind): string[];
  /** A call of such a function. */
  call(name: string, ...operands: string[]): string;
  table(name: TableName): string;
  /** A hyperparameter member that may live on the device. */
  hyper(index: string): string;
  /** All threads of a block meet, and see what the others have written to memory. */
  readonly barrier: string;

  /** One op on operands that are names; undefined where there is no such op. */
  spell(op: Op, operands: readonly string[], dtype: FloatType, wide?: boolean): string | undefined;
  /** A number, rounded to the dtype and printed as short as it can be. */
  literal(number: number, dtype: FloatType): string;
  /** A number that all elements share, in as many places as a variable over elements has. */
  splat(scope: Scope, text: string, dtype: DType): string;

  /** `a * b + c`, or `c - a * b`, rounded once; missing where kernels are to have none. */
  readonly multiplyAdd?: (operands: readonly string[], negated: boolean, dtype: FloatType) => string;

  /** Variables of its own that its lines may name: declared at a function's top where they do. */
  variables(scope: Scope): readonly (readonly [kind: Kind, name: string, text: string])[];
  /** Declares where a tensor begins. */
  base(place: Place, scope: Scope): string;
  /** The number of a tensor at an index; of a total over axes that has numbers for each block, all of them combined. */
  load(walk: Walk, place: Place, index: string): string;
  store(walk: Walk, place: Place, index: string, number: string): string;
  /** `a`, a reduction's variable, with `b` of one place taken in. */
  takeIn(walk: Walk, value: Value, a: string, b: string): string;
  /** What a reduction starts from, and its variable's kind. */
  start(walk: Walk, value: Value): readonly [kind: Kind, text: string];
  /** Turns what a thread has into one number, and where that is found. */
  across(walk: Walk, value: Value, name: string): { readonly number: string; readonly result: string };
  /** The loop over the places of a space, with stores. */
  map(walk: Walk): string[];
}

/** How a reduction takes another number in, both names, and what it starts from. */
export const COMBINE = {
  "reduce.sum": { op: "add", identity: 0, word: "sum" },
  "reduce.max": { op: "max", identity: -Infinity, word: "max" },
} as const;

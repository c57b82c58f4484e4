/**
 * Finishes totals to a level: adds up the shares that the kernels before left in `partials`, a number a chunk, always in the same
 * order. The shares of inactive parameters are skipped: nothing wrote them.
 */
import type { FinishedTotal, NumberTable } from "../backend.ts";
import { indent } from "../common/text.ts";
import { COMBINE, type Language } from "./language.ts";
import { FLAGS, PARAMETER_ROW, TENSOR_ROW, TOTAL_PLACES } from "./layout.ts";

/** A function of its own for each total, and the calls, which all threads have to reach. */
export function printFinishes(
  language: Language,
  finishes: readonly FinishedTotal[],
  numbers: NumberTable,
): { functions: string[]; calls: string[] } {
  return {
    functions: finishes.flatMap((total, index) => {
      const lines = LEVELS[total.level]({ language, total, index, at: totalAt(language, numbers, total) });
      return [
        "",
        `// total ${total.name} of the ${total.level}`,
        ...printShare(language, total, index),
        "",
        ...language.func(`finish_${index}`, [["u32", "thread"]], lines),
      ];
    }),
    calls: finishes.map((_, index) => `${language.call(`finish_${index}`, "thread")};`),
  };
}

/** Where a total lies, `place` being a variable. */
export function totalAt(
  language: Language,
  { totals }: NumberTable,
  { name, level }: Pick<FinishedTotal, "name" | "level">,
) {
  const index = totals.findIndex((total) => total.name === name && total.level === level);
  return (place: string) => `${language.table("totals")}[${index}u * ${TOTAL_PLACES} + ${place}]`;
}

/** A chunk's share; where it has none, what changes nothing. */
function printShare(language: Language, total: FinishedTotal, index: number): string[] {
  const classes = new Map<number, number[]>();
  total.shares.forEach((share, classIndex) => {
    if (share !== undefined) classes.set(share, [...(classes.get(share) ?? []), classIndex]);
  });
  const [tensors, partials] = [language.table("tensors"), language.table("partials")];
  const lines = [
    `if ((${tensors}[chunk.x + ${TENSOR_ROW.flags}u] & ${FLAGS.inactive}u) == 0u) {`,
    ...indent(
      language.choice(
        `${tensors}[chunk.x + ${TENSOR_ROW.classIndex}u]`,
        [...classes].map(([share, indices]) => [
          indices,
          `return ${partials}[chunk.w * launch.stride + ${share}u];`,
        ]),
      ),
    ),
    "}",
    `return ${language.literal(COMBINE[total.op].identity, "f64")};`,
  ];
  return language.func(`share_${index}`, [["words", "chunk"]], lines, "f64");
}

/** One total of one level. */
interface Finish {
  readonly language: Language;
  readonly total: FinishedTotal;
  readonly index: number;
  /** Where it lies. */
  readonly at: (place: string) => string;
}

const LEVELS: Readonly<Record<FinishedTotal["level"], (finish: Finish) => string[]>> = {
  step: (finish) => [
    ...printAllChunks(finish, (add) => add),
    `if (thread == 0u) { ${finish.at("0u")} = number; }`,
  ],

  group: (finish) => {
    const { language, at } = finish;
    return [
      language.loop("group", "0u", "launch.groups", "1u"),
      ...indent([
        ...printAllChunks(finish, (add) => [
          language.constant(
            "u32",
            "parameter",
            `${language.table("tensors")}[chunk.x + ${TENSOR_ROW.parameter}u]`,
          ),
          `if (${language.table("rows")}[parameter].${PARAMETER_ROW.group} == group) {`,
          ...indent(add),
          "}",
        ]),
        `if (thread == 0u) { ${at("group")} = number; }`,
      ]),
      "}",
    ];
  },

  /** A team of threads for each parameter. A class without a share may have a total by the same name, from another phase. */
  param: (finish) => {
    const { language, total, at } = finish;
    const classes = total.shares.flatMap((share, classIndex) => (share === undefined ? [] : [classIndex]));
    const { firstChunk, chunks, classIndex } = PARAMETER_ROW;
    const constant = (name: string, text: string) => language.constant("u32", name, text);
    return [
      constant("lane", "thread % launch.lanes"),
      language.loop("first", "0u", "launch.parameters", `${language.programThreads}u / launch.lanes`),
      ...indent([
        constant("parameter", "first + thread / launch.lanes"),
        language.constant("bool", "has_work", "parameter < launch.parameters"),
        language.constant(
          "words",
          "row",
          `${language.table("rows")}[${language.choose("has_work", "parameter", "0u")}]`,
        ),
        constant("end", language.choose("has_work", `row.${chunks}`, "0u")),
        startNumber(finish),
        language.loop("i", "lane", "end", "launch.lanes"),
        ...indent([
          language.constant("words", "chunk", `${language.table("chunks")}[row.${firstChunk} + i]`),
          ...printAdd(finish),
        ]),
        "}",
        `number = ${COMBINE[total.op].word}_lanes(number, thread, lane, launch.lanes, 1u);`,
        "if (has_work && lane == 0u) {",
        ...indent(language.choice(`row.${classIndex}`, [[classes, `${at("parameter")} = number;`]])),
        "}",
      ]),
      "}",
    ];
  },
};

/** All threads add up all chunks into `number`, which thread 0 then has. */
function printAllChunks(finish: Finish, only: (add: readonly string[]) => readonly string[]): string[] {
  const { language, total } = finish;
  const threads = `${language.programThreads}u`;
  return [
    startNumber(finish),
    language.loop("i", "thread", "launch.count", threads),
    ...indent([
      language.constant("words", "chunk", `${language.table("chunks")}[i]`),
      ...only(printAdd(finish)),
    ]),
    "}",
    `number = ${COMBINE[total.op].word}_lanes(number, thread, thread, ${threads}, 1u);`,
  ];
}

function startNumber({ language, total }: Finish): string {
  return language.variable("f64", "number", language.literal(COMBINE[total.op].identity, "f64"));
}

function printAdd({ language, total, index }: Finish): string[] {
  return [
    language.constant("f64", "share", language.call(`share_${index}`, "chunk")),
    `number = ${language.spell(COMBINE[total.op].op, ["number", "share"], "f64")};`,
  ];
}

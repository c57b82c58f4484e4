/**
 * Finishes totals to a level: adds up the shares that the kernels before left in `partials`, a number a chunk, always in the same
 * order. The shares of inactive parameters are skipped: nothing wrote them.
 */
import type { FinishedTotal, NumberTable } from "../backend.ts";
import { indent } from "../common/text.ts";
import { FLAGS, PARAMETER_ROW, PROGRAM_THREADS, TENSOR_ROW, TOTAL_PLACES } from "./layout.ts";
import { COMBINE, literal, spell } from "./spelling.ts";

/** A function of its own for each total, and the calls, which all threads have to reach. */
export function printFinishes(
  finishes: readonly FinishedTotal[],
  numbers: NumberTable,
): { functions: string[]; calls: string[] } {
  return {
    functions: finishes.flatMap((total, index) => [
      "",
      `// total ${total.name} of the ${total.level}`,
      ...printShare(total, index),
      "",
      `fn finish_${index}(thread: u32) {`,
      ...indent(LEVELS[total.level](total, index, totalAt(numbers, total))),
      "}",
    ]),
    calls: finishes.map((_, index) => `finish_${index}(thread);`),
  };
}

/** Where a total lies, `place` being a variable. */
export function totalAt({ totals }: NumberTable, { name, level }: Pick<FinishedTotal, "name" | "level">) {
  const index = totals.findIndex((total) => total.name === name && total.level === level);
  return (place: string) => `totals[${index}u * ${TOTAL_PLACES} + ${place}]`;
}

/** A chunk's share; where it has none, what changes nothing. */
function printShare(total: FinishedTotal, index: number): string[] {
  const classes = new Map<number, number[]>();
  total.shares.forEach((share, classIndex) => {
    if (share !== undefined) classes.set(share, [...(classes.get(share) ?? []), classIndex]);
  });
  return [
    `fn share_${index}(chunk: vec4u) -> f32 {`,
    ...indent([
      `if ((tensors[chunk.x + ${TENSOR_ROW.flags}u] & ${FLAGS.inactive}u) == 0u) {`,
      ...indent([
        `switch tensors[chunk.x + ${TENSOR_ROW.classIndex}u] {`,
        ...indent([
          ...[...classes].map(
            ([share, indices]) =>
              `case ${indices.map((classIndex) => `${classIndex}u`).join(", ")}: { return partials[chunk.w * launch.stride + ${share}u]; }`,
          ),
          "default: {}",
        ]),
        "}",
      ]),
      "}",
      `return ${literal(COMBINE[total.op].identity)};`,
    ]),
    "}",
  ];
}

type PrintFinish = (total: FinishedTotal, index: number, at: (place: string) => string) => string[];

const LEVELS: Readonly<Record<FinishedTotal["level"], PrintFinish>> = {
  step: (total, index, at) => [
    ...printAllChunks(total, index, (add) => add),
    `if (thread == 0u) { ${at("0u")} = number; }`,
  ],

  group: (total, index, at) => [
    "for (var group = 0u; group < launch.groups; group++) {",
    ...indent([
      ...printAllChunks(total, index, (add) => [
        `let parameter = tensors[chunk.x + ${TENSOR_ROW.parameter}u];`,
        `if (rows[parameter].${PARAMETER_ROW.group} == group) {`,
        ...indent(add),
        "}",
      ]),
      `if (thread == 0u) { ${at("group")} = number; }`,
    ]),
    "}",
  ],

  /** A team of threads for each parameter. A class without a share may have a total by the same name, from another phase. */
  param: (total, index, at) => {
    const classes = total.shares.flatMap((share, classIndex) =>
      share === undefined ? [] : `${classIndex}u`,
    );
    const { firstChunk, chunks, classIndex } = PARAMETER_ROW;
    return [
      "let lane = thread % launch.lanes;",
      `for (var first = 0u; first < launch.tensors; first += ${PROGRAM_THREADS}u / launch.lanes) {`,
      ...indent([
        "let parameter = first + thread / launch.lanes;",
        "let has_work = parameter < launch.tensors;",
        "let row = rows[select(0u, parameter, has_work)];",
        `let end = select(0u, row.${chunks}, has_work);`,
        `var number = ${literal(COMBINE[total.op].identity)};`,
        "for (var i = lane; i < end; i += launch.lanes) {",
        ...indent([`let chunk = chunks[row.${firstChunk} + i];`, ...printAdd(total, index)]),
        "}",
        `number = ${COMBINE[total.op].word}_lanes(number, thread, lane, launch.lanes, 1u);`,
        "if (has_work && lane == 0u) {",
        ...indent([
          `switch row.${classIndex} {`,
          ...indent([`case ${classes.join(", ")}: { ${at("parameter")} = number; }`, "default: {}"]),
          "}",
        ]),
        "}",
      ]),
      "}",
    ];
  },
};

/** All threads add up all chunks into `number`, which thread 0 then has. */
function printAllChunks(
  total: FinishedTotal,
  index: number,
  only: (add: readonly string[]) => readonly string[],
): string[] {
  const { identity, word } = COMBINE[total.op];
  return [
    `var number = ${literal(identity)};`,
    `for (var i = thread; i < launch.count; i += ${PROGRAM_THREADS}u) {`,
    ...indent(["let chunk = chunks[i];", ...only(printAdd(total, index))]),
    "}",
    `number = ${word}_lanes(number, thread, thread, ${PROGRAM_THREADS}u, 1u);`,
  ];
}

function printAdd(total: FinishedTotal, index: number): string[] {
  return [
    `let share = share_${index}(chunk);`,
    `number = ${spell(COMBINE[total.op].op, ["number", "share"])};`,
  ];
}

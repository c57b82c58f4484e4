/**
 * What one phase runs above elements, for one block of threads: totals are finished, then comes the step body, then a scalar program for
 * each row of the scalar table. Each part sees what the one before has stored.
 *
 * In the last programs of a step with a commit, what the device remembers of each parameter advances: its count of steps, and
 * whether its state is still new.
 */
import type { ClassLayout, PhaseWork } from "../backend.ts";
import { indent } from "../common/text.ts";
import { printFinishes } from "./finish.ts";
import type { Language } from "./language.ts";
import { rowsAt, SCALAR_ROW } from "./layout.ts";
import { committed, printProgram, readMask, recordOf, rowWords, type Surroundings } from "./program.ts";
import { declareUsed } from "./text.ts";

/** Functions, and the statements that call them: `thread` is the thread's number. `work` has programs. Throws `unsupported`. */
export function printPrograms(
  language: Language,
  { programs, numbers, guarded, phase }: PhaseWork,
  layouts: readonly ClassLayout[],
): { functions: string[]; main: string[] } {
  if (!programs) throw new RangeError(`phase ${phase} has no programs`);
  const { finishes, step, scalars, advances } = programs;
  const around = { language, numbers, guarded };
  const finish = printFinishes(language, finishes, numbers);
  const classes = scalars.map((func) => ({
    classIndex: layouts.findIndex(({ name }) => name === func.name),
    func,
  }));
  const functions = [
    ...finish.functions,
    ...(step ? ["", "// step", ...printProgram("step_body", step, around)] : []),
    ...classes.flatMap(({ classIndex, func }) => [
      "",
      `// scalars "${func.name}"`,
      ...printProgram(`class_${classIndex}`, func, around),
    ]),
    ...(advances ? ["", ...printAdvance(around)] : []),
  ];
  const parts = [
    finish.calls,
    step ? [`if (thread == 0u) { ${language.call("step_body")}; }`] : [],
    classes.length > 0 || advances
      ? printRows(
          classes.map(({ classIndex }) => classIndex),
          around,
          advances,
        )
      : [],
  ].filter(({ length }) => length > 0);
  return {
    functions,
    main: parts.flatMap((part, index) => (index === 0 ? part : [language.barrier, ...part])),
  };
}

/** A thread for each row. */
function printRows(
  classes: readonly number[],
  { language, numbers }: Surroundings,
  advances: boolean,
): string[] {
  return [
    language.loop("at", "thread", "launch.scalar_rows", `${language.programThreads}u`),
    ...indent([
      language.constant("words", "row", `${language.table("rows")}[launch.parameters + at]`),
      ...(classes.length === 0
        ? []
        : [
            language.constant("u32", "slots", `${rowsAt(numbers)}u + at * launch.row_floats`),
            ...language.choice(
              `row.${SCALAR_ROW.classIndex}`,
              classes.map((index) => [[index], `${language.call(`class_${index}`, "row", "slots")};`]),
            ),
          ]),
      ...(advances ? [`${language.call("advance", "row")};`] : []),
    ]),
    "}",
  ];
}

/** In a step with a commit each row is of one parameter, since each has its own count of steps. */
function printAdvance(around: Surroundings): string[] {
  const { language } = around;
  const [count, first] = [recordOf("stepcount", around), recordOf("first", around)];
  const lines = [
    `if (${committed(language)}) {`,
    ...indent([`${count} += 1.0;`, `${first} = 0.0;`]),
    "} else {",
    ...indent([`${first} = ${language.choose(readMask("first", around), "1.0", "0.0")};`]),
    "}",
  ];
  return language.func("advance", [["words", "row"]], [...declareUsed(rowWords(around), lines), ...lines]);
}

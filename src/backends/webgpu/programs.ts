/**
 * Prints what one phase runs above elements as one WGSL module, for one workgroup: totals are finished, then comes the step body, then
 * a scalar program for each row of the scalar table. Each part sees what the one before has stored.
 *
 * In the last programs of a step with a commit, what the device remembers of each parameter advances: its count of steps, and
 * whether its state is still new.
 */
import type { ClassLayout, NumberTable, PhaseWork } from "../backend.ts";
import { indent } from "../common/text.ts";
import { type Access, declareBindings } from "./bindings.ts";
import { printFinishes } from "./finish.ts";
import { helpersFor } from "./helpers.ts";
import { PROGRAM_BINDINGS, PROGRAM_THREADS, type ProgramBinding, rowsAt, SCALAR_ROW } from "./layout.ts";
import { COMMITTED, printProgram, readMask, recordOf, rowWords } from "./program.ts";
import { declareUsed } from "./text.ts";

/** `work` has programs. Throws `unsupported`. */
export function emitPrograms(work: PhaseWork, layouts: readonly ClassLayout[]): string {
  const { programs, numbers, guarded, phase } = work;
  if (!programs) throw new RangeError(`phase ${phase} has no programs`);
  const { finishes, step, scalars, advances } = programs;
  const finish = printFinishes(finishes, numbers);
  const classes = scalars.map((func) => ({
    classIndex: layouts.findIndex(({ name }) => name === func.name),
    func,
  }));
  const functions = [
    ...finish.functions,
    ...(step ? ["", "// step", ...printProgram("step_body", step, numbers, guarded)] : []),
    ...classes.flatMap(({ classIndex, func }) => [
      "",
      `// scalars "${func.name}"`,
      ...printProgram(`class_${classIndex}`, func, numbers, guarded),
    ]),
    ...(advances ? ["", ...printAdvance(numbers)] : []),
  ];
  const parts = [
    finish.calls,
    step ? ["if (thread == 0u) { step_body(); }"] : [],
    classes.length > 0 || advances
      ? printRows(
          classes.map(({ classIndex }) => classIndex),
          numbers,
          advances,
        )
      : [],
  ].filter(({ length }) => length > 0);
  const main = [
    "",
    `@compute @workgroup_size(${PROGRAM_THREADS})`,
    "fn main(@builtin(local_invocation_index) thread: u32) {",
    ...indent(parts.flatMap((part, index) => (index === 0 ? part : ["storageBarrier();", ...part]))),
    "}",
    "",
  ];
  const text = [
    ...helpersFor([...functions, ...main].join("\n"), { threads: PROGRAM_THREADS }),
    ...functions,
    ...main,
  ];
  return [
    `// Programs of phase ${phase}.`,
    "",
    ...declareBindings(PROGRAM_BINDINGS, accessesIn(text.join("\n"))),
    ...text,
  ].join("\n");
}

/** A thread for each row. */
function printRows(classes: readonly number[], numbers: NumberTable, advances: boolean): string[] {
  return [
    `for (var at = thread; at < launch.rows; at += ${PROGRAM_THREADS}u) {`,
    ...indent([
      "let row = rows[launch.tensors + at];",
      ...(classes.length === 0
        ? []
        : [
            `let slots = ${rowsAt(numbers)}u + at * launch.row_floats;`,
            `switch row.${SCALAR_ROW.classIndex} {`,
            ...indent([
              ...classes.map((index) => `case ${index}u: { class_${index}(row, slots); }`),
              "default: {}",
            ]),
            "}",
          ]),
      ...(advances ? ["advance(row);"] : []),
    ]),
    "}",
  ];
}

/** In a step with a commit each row is of one parameter, since each has its own count of steps. */
function printAdvance(numbers: NumberTable): string[] {
  const [count, first] = [recordOf("stepcount", numbers), recordOf("first", numbers)];
  const lines = [
    `if (${COMMITTED}) {`,
    ...indent([`${count} += 1.0;`, `${first} = 0.0;`]),
    "} else {",
    ...indent([`${first} = select(0.0, 1.0, ${readMask("first", numbers)});`]),
    "}",
  ];
  return ["fn advance(row: vec4u) {", ...indent([...declareUsed(rowWords(numbers), lines), ...lines]), "}"];
}

/** Buffers that the text names. */
function accessesIn(text: string): Map<ProgramBinding, Access> {
  const written: readonly ProgramBinding[] = ["scalars", "totals", "records"];
  const used = (Object.keys(PROGRAM_BINDINGS) as ProgramBinding[]).filter((binding) =>
    text.includes(`${binding}[`),
  );
  return new Map(used.map((binding) => [binding, written.includes(binding) ? "read_write" : "read"]));
}

/** One file, looked at with the compiler of the operator syntax: half a second to load, so only `stepjit check` does. */
import { StepjitError } from "../error.ts";
import { counted } from "../step/counted.ts";
import { compile } from "../trace/syntax/compile.ts";
import { printProblem } from "../trace/syntax/diagnostics.ts";
import { DIRECTIVE } from "../trace/syntax/directive.ts";
import { type Checked, check } from "../trace/syntax/transform.ts";
import { readText } from "./input.ts";

/** Throws `invalid-option` for a file that cannot be read, or is no JavaScript or TypeScript. */
export function checkFile(file: string): Checked {
  const code = readText(file);
  const checked = check(code, file);
  if (checked.problems.length > 0) return checked;
  try {
    compile(code, file);
    return checked;
  } catch (cause) {
    throw new StepjitError("invalid-option", (cause as Error).message, { cause });
  }
}

export function printFound({ file, marked, problems }: Checked & { readonly file: string }): string {
  const functions = counted(marked, `function marked "${DIRECTIVE}"`, `functions marked "${DIRECTIVE}"`);
  const places =
    problems.length === 0
      ? "all can be traced"
      : `${counted(problems.length, "place")} that cannot be traced`;
  const summary = `${file}: ${functions}${marked === 0 ? "" : `, ${places}`}`;
  return [...problems.map(printProblem), summary].join("\n\n");
}

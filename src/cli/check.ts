/** `stepjit check`: what cannot be traced in code marked "use stepjit", before anything runs. */
import { StepjitError } from "../error.ts";
import { counted } from "../step/counted.ts";
import { compile } from "../trace/syntax/compile.ts";
import { printProblem } from "../trace/syntax/diagnostics.ts";
import { DIRECTIVE } from "../trace/syntax/directive.ts";
import { type Checked, check } from "../trace/syntax/transform.ts";
import { readText } from "./input.ts";
import type { Shell } from "./main.ts";

export function addCheck({ program, terminal, fail }: Shell): void {
  program
    .command("check")
    .summary("find what cannot be traced in marked files")
    .description(
      `Finds every place in functions marked "${DIRECTIVE}" that cannot be traced, and says what to write instead.`,
    )
    .argument("<files...>", "JavaScript or TypeScript files")
    .option("--json", "print the findings as JSON")
    .action((files: string[], { json }: { json?: true }) => {
      const found = files.map((file) => ({ file, ...checkFile(file) }));
      if (found.some(({ problems }) => problems.length > 0)) fail();
      terminal.out(json ? JSON.stringify(found, null, 2) : found.map(printFound).join("\n\n"));
    });
}

/** Throws `invalid-option` for a file that cannot be read, or is no JavaScript or TypeScript. */
function checkFile(file: string): Checked {
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

function printFound({ file, marked, problems }: Checked & { readonly file: string }): string {
  const functions = counted(marked, `function marked "${DIRECTIVE}"`, `functions marked "${DIRECTIVE}"`);
  const places =
    problems.length === 0
      ? "all can be traced"
      : `${counted(problems.length, "place")} that cannot be traced`;
  const summary = `${file}: ${functions}${marked === 0 ? "" : `, ${places}`}`;
  return [...problems.map(printProblem), summary].join("\n\n");
}

/** `stepjit check`: what cannot be traced in code marked "use stepjit", before anything runs. */
import { DIRECTIVE } from "../trace/syntax/directive.ts";
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
    .action(async (files: string[], { json }: { json?: true }) => {
      const { checkFile, printFound } = await import("./check-file.ts");
      const found = files.map((file) => ({ file, ...checkFile(file) }));
      if (found.some(({ problems }) => problems.length > 0)) fail();
      terminal.out(json ? JSON.stringify(found, null, 2) : found.map(printFound).join("\n\n"));
    });
}

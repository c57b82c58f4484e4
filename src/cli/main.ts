/** The command `stepjit`: its subcommands, and what their results mean to a shell. */
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { StepjitError } from "../error.ts";
import { addBench } from "./bench.ts";
import { addCheck } from "./check.ts";
import { addInspect } from "./inspect.ts";
import { addManifest } from "./manifest.ts";

/** Where a command's text goes, line by line. */
export interface Terminal {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

/** What a subcommand is to be added to, and where it says what came of it. */
export interface Shell {
  readonly program: Command;
  readonly terminal: Terminal;
  /** Something was found that should not be: exit code 1. */
  readonly fail: () => void;
}

const CODES = `
Exit codes: 0 all is well; 1 something was found (a place that cannot be traced, a count that rose);
2 it could not be done (arguments, files, an optimizer that does not compile).`;

/** Runs the command with these arguments, and gives its exit code. */
export async function main(args: readonly string[], terminal: Terminal): Promise<number> {
  let code = 0;
  const fail = () => {
    code = 1;
  };
  const program = new Command("stepjit")
    .description("See what stepjit makes of an optimizer, and keep it so.")
    .version(versionOf())
    .addHelpText("after", CODES)
    .configureOutput({
      writeOut: (text) => terminal.out(text.trimEnd()),
      writeErr: (text) => terminal.err(text.trimEnd()),
    })
    .exitOverride();
  for (const add of [addInspect, addCheck, addBench, addManifest]) add({ program, terminal, fail });
  try {
    await program.parseAsync(args, { from: "user" });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (!(error instanceof StepjitError)) throw error;
    terminal.err(`stepjit: ${error.message}`);
    return 2;
  }
}

function versionOf(): string {
  return JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")).version;
}

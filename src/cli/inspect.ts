/** `stepjit inspect`: what the compiler makes of an optimizer over a set of parameters. Nothing is computed, and no GPU is needed. */
import { type Command, Option } from "commander";
import type { Step } from "../compile.ts";
import { type DumpStage, STAGE_NAMES } from "../inspect/dump.ts";
import type { Shell } from "./main.ts";
import { type BackendName, dryStep, GENERATORS, type Options, readOption, SETS } from "./subject.ts";

interface Asked {
  readonly params: string;
  readonly backend: BackendName;
  readonly option?: Options;
  readonly stepOption?: Options;
  readonly stage?: DumpStage;
  readonly json?: true;
}

export function addInspect({ program, terminal }: Shell): void {
  withSubject(program.command("inspect"))
    .summary("see the kernels, the bytes and the IR of an optimizer's step")
    .description(
      "Compiles the step of an optimizer over a set of parameters, without memory and without a device,\nand says what came of it.",
    )
    .argument("<optimizer>", "a name such as AdamW, or file#export")
    .addOption(new Option("--stage <stage>", "print the step at this stage").choices(STAGE_NAMES))
    .option("--json", "print it as JSON")
    .action(async (optimizer: string, asked: Asked) => {
      const { params, backend, option = {}, stepOption = {}, stage, json } = asked;
      const subject = { optimizer, params, backend, options: option, stepOptions: stepOption };
      const step = await dryStep(subject, process.cwd());
      if (json) terminal.out(JSON.stringify({ ...subject, ...asData(step, stage) }, null, 2));
      else terminal.out(stage ? step.dump(stage) : String(step.explain()));
    });
}

function asData(step: Step, stage: DumpStage | undefined): object {
  const { kernels, launches, bytesMoved, bytesIdeal } = step.stats;
  return {
    explanation: step.explain(),
    stats: { kernels, launches, bytesMoved, bytesIdeal },
    events: step.events,
    ...(stage && { stage, dump: step.dump(stage) }),
  };
}

/** The options that say what is looked at, besides the optimizer. */
export function withSubject(command: Command): Command {
  return command
    .requiredOption("--params <set>", `${SETS.join(", ")}, or a JSON file { "name": [sizes] }`)
    .addOption(
      new Option("--backend <name>", "whose kernels").choices(Object.keys(GENERATORS)).default("wasm"),
    )
    .option(
      "--option <name=value>",
      "an option of the optimizer, such as momentum=0.9; may be repeated",
      readOption,
    )
    .option(
      "--step-option <name=value>",
      "one of compileStep, such as clipNorm=1; may be repeated",
      readOption,
    );
}

/** `stepjit inspect`: what the compiler makes of an optimizer over a set of parameters. Nothing is computed, and no GPU is needed. */
import { Option } from "commander";
import type { Step } from "../compile.ts";
import { type DumpStage, STAGE_NAMES } from "../inspect/dump.ts";
import { report } from "../report/index.ts";
import { type Asked, subjectOf, withSubject } from "./arguments.ts";
import { writeText } from "./input.ts";
import type { Shell } from "./main.ts";
import { dryStep } from "./subject.ts";

interface AskedHere extends Asked {
  readonly stage?: DumpStage;
  readonly html?: string;
  readonly json?: true;
}

export function addInspect({ program, terminal }: Shell): void {
  withSubject(program.command("inspect"))
    .summary("see the kernels, the bytes and the IR of an optimizer's step")
    .description(
      "Compiles the step of an optimizer over a set of parameters, without memory and without a device,\nand says what came of it.",
    )
    .addOption(new Option("--stage <stage>", "print the step at this stage").choices(STAGE_NAMES))
    .option(
      "--html <file>",
      "write a report to this file: the graph after each pass, kernels, bytes, launches",
    )
    .option("--json", "print it as JSON")
    .action(async (optimizer: string, asked: AskedHere) => {
      const { stage, html, json } = asked;
      const subject = subjectOf(optimizer, asked);
      const step = await dryStep(subject, process.cwd());
      if (html !== undefined) writeText(html, report(step));
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

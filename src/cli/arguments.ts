/** The arguments that commands have in common. */
import { type Command, Option } from "commander";
import { type BackendName, GENERATORS, type Options, readOption, SETS, type Subject } from "./subject.ts";

export const OPTIMIZER = "a name such as AdamW, or file#export";
export const PARAMS = `${SETS.join(", ")}, or a JSON file { "name": [sizes] }`;

/** What is looked at, besides the optimizer. */
export interface Asked {
  readonly params: string;
  readonly backend: BackendName;
  readonly option: Options;
  readonly stepOption: Options;
}

export function withSubject(command: Command): Command {
  return command
    .argument("<optimizer>", OPTIMIZER)
    .requiredOption("--params <set>", PARAMS)
    .addOption(backendOption("--backend <name>").default("wasm"))
    .addOption(optionOf("--option", "an option of the optimizer, such as momentum=0.9; may be repeated"))
    .addOption(optionOf("--step-option", "one of compileStep, such as clipNorm=1; may be repeated"));
}

export function backendOption(flag: string): Option {
  return new Option(flag, "whose kernels").choices(Object.keys(GENERATORS));
}

export function optionOf(flag: string, description: string): Option {
  return new Option(`${flag} <name=value>`, description).argParser(readOption).default({}, "none");
}

export function subjectOf(optimizer: string, { params, backend, option, stepOption }: Asked): Subject {
  return { optimizer, params, backend, options: option, stepOptions: stepOption };
}

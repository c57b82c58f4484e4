/** `stepjit manifest`: what the optimizers of a project compile to, written down, and compared in each pull request. */
import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { StepjitError } from "../error.ts";
import { counted } from "../step/counted.ts";
import { backendOption, OPTIMIZER, optionOf, PARAMS } from "./arguments.ts";
import { readText, refuse, writeText } from "./input.ts";
import type { Shell } from "./main.ts";
import { type Difference, differenceOf, printDifference } from "./manifest-difference.ts";
import { type Entry, nameOf, parseManifest, printManifest, record } from "./manifest-file.ts";
import type { BackendName, Options, Subject } from "./subject.ts";

interface Asked {
  readonly params: readonly string[];
  readonly backend: readonly BackendName[];
  readonly option: Options;
  readonly stepOption: Options;
  readonly file: string;
  readonly check?: true;
  readonly json?: true;
}

const DESCRIPTION = `Records kernels, launches and bytes of optimizers over sets of parameters, in a file to commit.

  stepjit manifest AdamW ./lion.ts#Lion --params resnet50 model.json   adds all four pairs
  stepjit manifest                                                     records every entry anew
  stepjit manifest --check                                             fails where a count rose`;

export function addManifest(shell: Shell): void {
  shell.program
    .command("manifest")
    .summary("record what optimizers compile to, and fail where a count rises")
    .description(DESCRIPTION)
    .argument("[optimizers...]", OPTIMIZER)
    .option("--params <sets...>", PARAMS, [])
    .addOption(backendOption("--backend <names...>").default(["wasm"], "wasm"))
    .addOption(optionOf("--option", "an option of the optimizers, such as momentum=0.9; may be repeated"))
    .addOption(optionOf("--step-option", "one of compileStep, such as clipNorm=1; may be repeated"))
    .option(
      "--file <file>",
      "the manifest; the files that it names are found from its folder",
      "stepjit.manifest.json",
    )
    .option("--check", "compare with what is recorded, and change nothing")
    .option("--json", "with --check: print the differences as JSON")
    .action((optimizers: string[], asked: Asked) =>
      asked.check ? check(shell, optimizers, asked) : write(shell, optimizers, asked),
    );
}

/** Records what is asked for besides all that is in the file. */
async function write({ terminal }: Shell, optimizers: readonly string[], asked: Asked): Promise<void> {
  const { file } = asked;
  const before = read(file);
  const wanted = new Map([...before, ...subjectsOf(optimizers, asked)].map((one) => [nameOf(one), one]));
  if (wanted.size === 0) refuse(`${file} is not there yet: name optimizers, and --params`);
  const after = await recordAll([...wanted.values()], file);
  writeText(file, printManifest(after));
  for (const difference of differencesOf(before, after)) terminal.out(printDifference(difference));
  terminal.out(`${file}: ${counted(after.length, "entry", "entries")}`);
}

async function check(
  { terminal, fail }: Shell,
  optimizers: readonly string[],
  { file, json }: Asked,
): Promise<void> {
  if (optimizers.length > 0) refuse("--check looks at what the manifest has: it takes no optimizers");
  if (!existsSync(file))
    refuse(`${file} is not there: record it with stepjit manifest <optimizers> --params <sets>`);
  const before = read(file);
  const differences = differencesOf(before, await recordAll(before, file));
  if (differences.some(({ rose }) => rose)) fail();
  if (json) return terminal.out(JSON.stringify(differences, null, 2));
  for (const difference of differences) terminal.out(`${printDifference(difference)}\n`);
  terminal.out(`${file}: ${verdictOf(differences, before.length)}`);
}

function verdictOf(differences: readonly Difference[], entries: number): string {
  const rose = differences.filter((one) => one.rose).length;
  if (rose > 0)
    return `counts rose in ${rose} of ${counted(entries, "entry", "entries")}; if that is meant, record them with stepjit manifest`;
  if (differences.length > 0)
    return `no count rose; ${counted(differences.length, "entry is", "entries are")} out of date: record with stepjit manifest`;
  return `${counted(entries, "entry", "entries")}, as recorded`;
}

function read(file: string): Entry[] {
  return existsSync(file) ? parseManifest(readText(file), file) : [];
}

function subjectsOf(optimizers: readonly string[], asked: Asked): Subject[] {
  const { params, backend: backends, option: options, stepOption: stepOptions } = asked;
  if (optimizers.length > 0 && params.length === 0) refuse("over which parameters? Name them with --params");
  return optimizers.flatMap((optimizer) =>
    params.flatMap((set) =>
      backends.map((backend) => ({ optimizer, params: set, backend, options, stepOptions })),
    ),
  );
}

/** One after the other: each is a compile. Throws with the name of the subject that does not compile. */
async function recordAll(subjects: readonly Subject[], file: string): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (const { optimizer, params, backend, options, stepOptions } of subjects) {
    const subject = { optimizer, params, backend, options, stepOptions };
    try {
      entries.push(await record(subject, dirname(resolve(file))));
    } catch (cause) {
      if (!(cause instanceof StepjitError)) throw cause;
      throw new StepjitError(cause.code, `${nameOf(subject)}: ${cause.message}`, { cause });
    }
  }
  return entries;
}

function differencesOf(before: readonly Entry[], after: readonly Entry[]): Difference[] {
  const known = new Map(before.map((entry) => [nameOf(entry), entry]));
  return after.flatMap((entry) => {
    const old = known.get(nameOf(entry));
    return (old && differenceOf(old, entry)) ?? [];
  });
}

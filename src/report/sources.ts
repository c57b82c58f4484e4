/**
 * Lines of source for a report. A position is a name that came with the maths and may say anything, so a file is read only if it is
 * source code below the project or below stepjit, links resolved; and of a file only the lines that positions name.
 */
import { readFileSync, realpathSync } from "node:fs";
import { join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import type { StageData } from "./stages.ts";

/** By file as positions name it, by line from 1. */
export type SourceLines = Readonly<Record<string, Readonly<Record<number, string>>>>;

/** From src/report and from dist/report. */
const OWN = fileURLToPath(new URL("../../", import.meta.url));

export function sourceLines(stages: readonly StageData[], roots = [process.cwd(), OWN]): SourceLines {
  const wanted = new Map<string, Set<number>>();
  for (const { funcs } of stages)
    for (const { values } of funcs)
      for (const { source } of values) {
        const [, file, line] = /^(.+):(\d+):\d+$/.exec(source ?? "") ?? [];
        if (file !== undefined) wanted.set(file, (wanted.get(file) ?? new Set()).add(Number(line)));
      }
  return Object.fromEntries([...wanted].map(([file, lines]) => [file, pick(contentOf(file, roots), lines)]));
}

function pick(content: string | undefined, wanted: ReadonlySet<number>): Record<number, string> {
  const lines = content?.split(/\r?\n/) ?? [];
  return Object.fromEntries(
    [...wanted].flatMap((line) => (lines[line - 1] === undefined ? [] : [[line, lines[line - 1] as string]])),
  );
}

/** Undefined where there is no such file, or another one by its name: rather no line than a wrong one. */
function contentOf(file: string, roots: readonly string[]): string | undefined {
  if (!/\.[cm]?[jt]sx?$/.test(file)) return undefined;
  const places = roots.flatMap((root) => [below(root, file), below(join(root, "node_modules"), file)]);
  const contents = new Set(
    [...new Set(places)].flatMap((path) => (path === undefined ? [] : [readFileSync(path, "utf8")])),
  );
  return contents.size === 1 ? [...contents][0] : undefined;
}

function below(root: string, file: string): string | undefined {
  try {
    const folder = realpathSync(root);
    const path = realpathSync(join(folder, file));
    return path.startsWith(folder.endsWith(sep) ? folder : folder + sep) ? path : undefined;
  } catch {
    return undefined; // no such file
  }
}

/** The operator syntax, as a function from text to text: what the plugin and the Node loader share. */
import MagicString, { type SourceMap } from "magic-string";
import type { ts } from "ts-morph";
import { type DiagnoseInput, type Problem, problemsOf, throwProblems } from "./diagnostics.ts";
import { DIRECTIVE } from "./directive.ts";
import { type Helper, OPS_MODULE } from "./helpers.ts";
import { parseFile } from "./names.ts";
import { displayPath } from "./position.ts";
import { findRegions, prologue, type Region } from "./regions.ts";
import { rewrite } from "./rewrite.ts";
import { Taints } from "./taint.ts";

export interface Transformed {
  readonly code: string;
  readonly map: SourceMap;
}

/** What a file has that is marked, and what is known of it. */
interface Marked extends DiagnoseInput {
  readonly regions: readonly Region[];
  readonly directives: readonly ts.Node[];
}

/** Undefined for a file with nothing marked, or that does not parse. */
function findMarked(code: string, file: string): Marked | undefined {
  if (!code.includes(DIRECTIVE)) return undefined;
  const parsed = parseFile(code, file);
  if (!parsed) return undefined;
  const { source, names } = parsed;
  const { regions, directives } = findRegions(source);
  if (regions.length === 0) return undefined;
  return { source, names, regions, directives, taints: new Taints(names, regions), path: displayPath(file) };
}

/** What a look at a file found. */
export interface Checked {
  /** Functions marked `"use stepjit"`; a file that is marked as a whole is one. */
  readonly marked: number;
  readonly problems: readonly Problem[];
}

/** Looks for places in marked functions that cannot be traced, and changes nothing. */
export function check(code: string, file: string): Checked {
  const marked = findMarked(code, file);
  return marked
    ? { marked: marked.regions.length, problems: problemsOf(marked.regions, marked) }
    : { marked: 0, problems: [] };
}

/**
 * Rewrites the functions of a file that are marked `"use stepjit"`, in the file's own language (JavaScript or TypeScript, JSX
 * included), and removes the directive. A file without one gives undefined.
 *
 * Throws `traced-value` with every place that cannot be traced, each with its line and what to write instead.
 */
export function transform(code: string, file: string): Transformed | undefined {
  const marked = findMarked(code, file);
  if (!marked) return undefined;
  const { source, regions, directives } = marked;
  throwProblems(problemsOf(regions, marked));

  const text = new MagicString(code);
  const prefix = unusedPrefix(code);
  const used = rewrite(text, regions, { ...marked, prefix });
  for (const directive of directives) {
    const start = directive.getStart();
    const indent = code.slice(0, start).match(/[ \t]*$/)?.[0].length ?? 0;
    text.remove(start - indent, directive.end);
  }
  if (used.size > 0) {
    const first = source.statements[prologue(source).length];
    text.prependRight(first?.getStart() ?? code.length, importOf(used, prefix));
  }
  return {
    code: text.toString(),
    map: text.generateMap({ source: file, includeContent: true, hires: "boundary" }),
  };
}

/** On the line of the first statement, so that lines keep their numbers. */
function importOf(used: ReadonlySet<Helper>, prefix: string): string {
  const names = [...used].sort().map((name) => `${name} as ${prefix}${name}`);
  return `import { ${names.join(", ")} } from "${OPS_MODULE}"; `;
}

/** Names of the file may begin with a dollar sign; none begins with one more than the longest run in it. */
function unusedPrefix(code: string): string {
  const runs = code.match(/\$+(?=\w)/g) ?? [];
  return "$".repeat(1 + Math.max(0, ...runs.map((run) => run.length)));
}

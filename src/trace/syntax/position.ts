/** Positions of the source, `path:line:column` from 1, alike on every machine: dumps are compared and kept. */
import { existsSync } from "node:fs";
import { basename, dirname, join, relative, sep } from "node:path";
import type { ts } from "ts-morph";

/** The file's name in positions: from the nearest package.json down, or `package/path` in a dependency. */
export function displayPath(file: string): string {
  const inDependency = posix(file).split("/node_modules/").slice(1).at(-1);
  if (inDependency !== undefined) return inDependency;
  const root = packageRoot(dirname(file));
  return root === undefined ? basename(file) : posix(relative(root, file));
}

function posix(path: string): string {
  return path.replaceAll(sep, "/");
}

const roots = new Map<string, string | undefined>();

/** The nearest folder, from `folder` up, that holds a package.json. */
export function packageRoot(folder: string): string | undefined {
  if (!roots.has(folder)) roots.set(folder, findRoot(folder));
  return roots.get(folder);
}

function findRoot(folder: string): string | undefined {
  if (existsSync(join(folder, "package.json"))) return folder;
  const parent = dirname(folder);
  return parent === folder ? undefined : packageRoot(parent);
}

export function positionAt(source: ts.SourceFile, path: string, offset: number): string {
  const { line, character } = source.getLineAndCharacterOfPosition(offset);
  return `${path}:${line + 1}:${character + 1}`;
}

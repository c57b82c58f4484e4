/** Compiled files, kept in node_modules/.cache/stepjit: the loader need not load the compiler for what did not change. */
import { createHash, randomUUID } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { displayPath, packageRoot } from "./position.ts";

/** What `compile` makes of a file: the same for the same text, name and version of stepjit. */
export async function cached(code: string, file: string, compile: () => Promise<string>): Promise<string> {
  const folder = cacheFolder();
  if (folder === undefined) return compile();
  const entry = join(folder, `${digest(ownVersion(), displayPath(file), code)}.js`);
  const known = await readFile(entry, "utf8").catch(() => undefined);
  if (known !== undefined) return known;
  const compiled = await compile();
  await store(entry, compiled).catch(() => {}); // an unwritable cache costs time, nothing else
  return compiled;
}

/** Another process may do the same: an entry appears whole or not at all. */
async function store(entry: string, text: string): Promise<void> {
  await mkdir(dirname(entry), { recursive: true });
  const part = `${entry}.${randomUUID()}`;
  await writeFile(part, text);
  await rename(part, entry);
}

function cacheFolder(): string | undefined {
  const modules = join(packageRoot(process.cwd()) ?? process.cwd(), "node_modules");
  return existsSync(modules) ? join(modules, ".cache", "stepjit") : undefined;
}

let version: string | undefined;

/** The text of the compiler itself: in a work tree it changes without a new version number. */
function ownVersion(): string {
  const own = dirname(fileURLToPath(import.meta.url));
  const modules = () => readdirSync(own).filter((name) => name.endsWith(".js"));
  version ??= digest(...modules().map((name) => readFileSync(join(own, name), "utf8")));
  return version;
}

function digest(...texts: string[]): string {
  const hash = createHash("sha256");
  for (const text of texts) hash.update(`${text.length}:`).update(text);
  return hash.digest("hex");
}

/**
 * Packs what a bare machine with a GPU needs to run the tests and the benchmark there, beside this repository: Node itself, the build, and
 * the packages that these use. About 30 MB.
 *
 *     node bench/gpu-machine/pack.ts          here, after npm ci: writes gpu-kit/
 *     bash bench/gpu-machine/run.sh           there, in the repository's root: see what it does in its head
 *
 * Run it with `--import stepjit/register` where Node does not read TypeScript by itself.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const KIT = "gpu-kit";
/** Packages beside those that stepjit depends on. */
const TEST_PACKAGES = ["vitest", "koffi", "fast-check"];

interface LockEntry {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const lock = readJson("package-lock.json") as { packages: Readonly<Record<string, LockEntry>> };
const { dependencies } = readJson("package.json") as { dependencies: Readonly<Record<string, string>> };

rmSync(KIT, { recursive: true, force: true });
mkdirSync(KIT);
packNode();
tar("packages.tar.xz", [...foldersOf([...Object.keys(dependencies), ...TEST_PACKAGES])]);
tar("dist.tar.xz", ["dist"]);

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, "utf8"));
}

/** Without its symbols. */
function packNode(): void {
  const copy = join(tmpdir(), "node");
  copyFileSync(process.execPath, copy);
  execFileSync("strip", [copy]);
  tar("node.tar.xz", ["-C", tmpdir(), "node"]);
  rmSync(copy);
}

/** Folders of these packages and of all that they depend on, as far as it is installed. */
function foldersOf(names: readonly string[]): Set<string> {
  const folders = new Set<string>();
  const visit = (name: string, from: string) => {
    const folder = folderOf(name, from);
    if (folder === undefined || folders.has(folder)) return;
    folders.add(folder);
    const entry = lock.packages[folder] as LockEntry;
    for (const dependency of Object.keys({ ...entry.dependencies, ...entry.optionalDependencies }))
      visit(dependency, folder);
  };
  for (const name of names) visit(name, "");
  return folders;
}

/** Where Node finds a package that is asked for in a folder: there, or further out. */
function folderOf(name: string, from: string): string | undefined {
  const own = join(from, "node_modules", name);
  if (lock.packages[own] && statSync(own, { throwIfNoEntry: false })) return own;
  if (from === "") return undefined;
  return folderOf(name, from.slice(0, Math.max(0, from.lastIndexOf("/node_modules/"))));
}

function tar(file: string, what: readonly string[]): void {
  execFileSync("tar", ["-cJf", join(KIT, file), ...what], { env: { ...process.env, XZ_OPT: "-9 -T0" } });
  console.log(`${KIT}/${file}: ${(statSync(join(KIT, file)).size / 1e6).toFixed(1)} MB`);
}

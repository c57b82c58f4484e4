/**
 * Builds the stand-ins for libcuda (cuda.cpp) and libnvrtc (nvrtc.cpp) with g++, once for all test processes: they lie beside other caches,
 * by a hash of their sources.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export interface StandIn {
  readonly libcuda: string;
  readonly libnvrtc: string;
}

const root = fileURLToPath(new URL("../../../../node_modules/.cache/stepjit-stand-in", import.meta.url));
const here = fileURLToPath(new URL(".", import.meta.url));
const NVRTC = "nvrtc.cpp";
const FLAGS = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"];

/** Why there can be none on this machine; undefined where there can. */
export function whyNot(): string | undefined {
  try {
    execFileSync("g++", ["--version"], { stdio: "ignore" });
    return undefined;
  } catch {
    return "no g++, which builds the stand-in for a GPU. To install it: apt-get install -y g++";
  }
}

/**
 * Where the libraries are; from here on, this process finds them as any libcuda and libnvrtc, and compiled texts are kept beside them.
 * Throws where there is no g++.
 */
export function standIn(): StandIn {
  const sources = readdirSync(here).filter((name) => /\.(cpp|h)$/.test(name));
  const hash = createHash("sha256");
  for (const source of sources.sort()) hash.update(readFileSync(join(here, source)));
  const folder = join(root, hash.digest("hex").slice(0, 16));
  if (!existsSync(folder)) build(folder, sources);
  process.env.STANDIN_CACHE = join(folder, "texts");
  process.env.STEPJIT_CACHE_DIR = join(folder, "cubins");
  process.env.STEPJIT_LIBCUDA = join(folder, "libcuda.so.1");
  process.env.STEPJIT_LIBNVRTC = join(folder, "libnvrtc.so.12");
  return { libcuda: process.env.STEPJIT_LIBCUDA, libnvrtc: process.env.STEPJIT_LIBNVRTC };
}

/** Whether this process has the stand-in as its libcuda. */
export function isStandIn(): boolean {
  return process.env.STEPJIT_LIBCUDA?.startsWith(root) === true;
}

/** Elsewhere first: another process may do the same. */
function build(folder: string, sources: readonly string[]): void {
  const reason = whyNot();
  if (reason !== undefined) throw new Error(reason);
  const draft = `${folder}.${process.pid}`;
  mkdirSync(draft, { recursive: true });
  const driver = sources.filter((name) => name.endsWith(".cpp") && name !== NVRTC);
  const make = (library: string, parts: readonly string[]) =>
    execFileSync("g++", [...FLAGS, "-o", join(draft, library), ...parts], { cwd: here });
  make("libcuda.so.1", driver);
  make("libnvrtc.so.12", [NVRTC]);
  try {
    renameSync(draft, folder);
  } catch (error) {
    rmSync(draft, { recursive: true });
    if (!existsSync(folder)) throw error; // somebody was faster
  }
}

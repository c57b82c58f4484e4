/** Builds the stand-in libraries with g++, once for all test processes: they lie beside other caches, by a hash of their sources. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export interface StandIn {
  readonly libcuda: string;
  readonly libnvrtc: string;
}

const root = fileURLToPath(new URL("../../../../node_modules/.cache/stepjit-stand-in", import.meta.url));
const here = fileURLToPath(new URL(".", import.meta.url));
const LIBRARIES = { "libcuda.so.1": ["cuda.cpp", "block.cpp"], "libnvrtc.so.12": ["nvrtc.cpp"] } as const;
const HEADERS = ["block.h", "cubin.h", "kernel.h"];

/** Why there can be none on this machine; undefined where there can. */
export function whyNot(): string | undefined {
  try {
    execFileSync("g++", ["--version"], { stdio: "ignore" });
    return undefined;
  } catch {
    return "no g++, which builds the stand-in for a GPU. To install it: apt-get install -y g++";
  }
}

/** Where the libraries are; from here on, this process finds them as any libcuda and libnvrtc, and compiled texts are kept beside them. */
export function standIn(): StandIn {
  const sources = [...Object.values(LIBRARIES).flat(), ...HEADERS];
  const hash = createHash("sha256");
  for (const source of sources) hash.update(readFileSync(join(here, source)));
  const folder = join(root, hash.digest("hex").slice(0, 16));
  if (!existsSync(folder)) build(folder);
  process.env.STANDIN_KERNEL_H = join(here, "kernel.h");
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
function build(folder: string): void {
  const draft = `${folder}.${process.pid}`;
  mkdirSync(draft, { recursive: true });
  for (const [library, sources] of Object.entries(LIBRARIES))
    execFileSync("g++", [
      ...["-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"],
      ...["-o", join(draft, library)],
      ...sources.map((source) => join(here, source)),
    ]);
  try {
    renameSync(draft, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error; // somebody was faster
  }
}

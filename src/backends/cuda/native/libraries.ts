/** Finds the libraries that CUDA consists of: the driver's, which comes with the driver, and NVRTC, which comes with a toolkit or with torch. */
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import type * as Koffi from "koffi";
import { StepjitError } from "../../../error.ts";

export type Library = Koffi.LibraryHandle;

export interface Wanted {
  /** For people. */
  readonly what: string;
  /** The environment variable that says where it is: then nothing else is tried. */
  readonly variable: string;
  /** What the system's loader is asked for. */
  readonly names: readonly string[];
  /** What it is called in folders. */
  readonly pattern: RegExp;
  /** Folders besides the loader's, those with a `*` in their last part by pattern. */
  readonly folders: readonly string[];
}

const { CUDA_HOME, CUDA_PATH } = process.env;
const TOOLKITS = [CUDA_HOME, CUDA_PATH].filter((path) => path !== undefined);

export const DRIVER: Wanted = {
  what: "the NVIDIA driver's library",
  variable: "STEPJIT_LIBCUDA",
  names: process.platform === "win32" ? ["nvcuda.dll"] : ["libcuda.so.1", "libcuda.so"],
  pattern: /^$/,
  folders: [],
};

export const NVRTC: Wanted = {
  what: "NVRTC, CUDA's compiler for running programs",
  variable: "STEPJIT_LIBNVRTC",
  names:
    process.platform === "win32"
      ? ["nvrtc64_130_0.dll", "nvrtc64_120_0.dll", "nvrtc64_112_0.dll"]
      : ["libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2"],
  pattern: /^libnvrtc\.so(\.\d+)*$|^nvrtc64_\d+_0\.dll$/,
  folders: [
    ...TOOLKITS.flatMap((path) => [join(path, "lib64"), join(path, "bin"), join(path, "bin", "x64")]),
    "/usr/local/cuda/lib64",
    "/usr/local/cuda-*/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
  ],
};

/**
 * What `open` makes of the first library that it does not throw for: one that lacks functions, since it is too old or there to be linked
 * only, is passed over. Throws `unsupported`, with all that was tried and what came of it.
 */
export function openLibrary<T>(koffi: typeof Koffi, wanted: Wanted, open: (library: Library) => T): T {
  const { what, variable, names, pattern, folders } = wanted;
  const given = process.env[variable];
  const tried: string[] = [];
  for (const place of given ? [given] : [...names, ...folders]) {
    const paths = !given && folders.includes(place) ? filesIn(place, pattern) : [place];
    if (paths.length === 0) tried.push(`  ${place}: none there`);
    for (const path of paths)
      try {
        return open(koffi.load(path));
      } catch (error) {
        tried.push(`  ${path}: ${(error as Error).message.split("\n")[0]}`);
      }
  }
  throw new StepjitError(
    "unsupported",
    [
      `cuda: ${what} was not found. Tried:`,
      ...tried,
      `Set ${variable} to the library's file if it is somewhere else.`,
    ].join("\n"),
  );
}

function filesIn(folder: string, pattern: RegExp): string[] {
  return expand(folder).flatMap((path) =>
    list(path)
      .filter((name) => pattern.test(name))
      .map((name) => join(path, name)),
  );
}

/** `/usr/local/cuda-*, then lib64`: a folder for each that fits, the newest first. */
function expand(folder: string): string[] {
  const [before, after] = folder.split("*");
  if (after === undefined) return [folder];
  const parent = dirname(`${before}x`);
  return list(parent)
    .map((name) => join(parent, name))
    .filter((path) => path.startsWith(before as string))
    .sort((a, b) => b.localeCompare(a, "en", { numeric: true }))
    .map((path) => join(path, after));
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

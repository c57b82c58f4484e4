/**
 * Cubins on disk, so that a text is compiled once a machine and not once a process. A file's name is a hash of all that the compiler is
 * given; its contents begin with a hash of the rest, since a damaged cubin would be loaded as it is.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

const HASH_BYTES = 32;

/** `given`: the text, the architecture, versions, options. */
export function cached(given: readonly string[], compile: () => Uint8Array): Uint8Array {
  const folder = folderOf(process.env);
  const file = join(folder, `${sha256(given.join("\0")).toString("hex")}.cubin`);
  const known = readSound(file);
  if (known) return known;
  const cubin = compile();
  write(folder, file, cubin);
  return cubin;
}

/** STEPJIT_CACHE_DIR, or where programs of this user keep what can be made again. */
function folderOf({ STEPJIT_CACHE_DIR, XDG_CACHE_HOME }: NodeJS.ProcessEnv): string {
  return STEPJIT_CACHE_DIR || join(XDG_CACHE_HOME || join(homedir(), ".cache"), "stepjit", "cuda");
}

function readSound(file: string): Uint8Array | undefined {
  try {
    const contents = readFileSync(file);
    const cubin = contents.subarray(HASH_BYTES);
    return sha256(cubin).equals(contents.subarray(0, HASH_BYTES)) ? cubin : undefined;
  } catch {
    return undefined; // not there, most of the time
  }
}

/** Elsewhere first, since other processes read. A disk that cannot be written to costs time, and nothing else. */
function write(folder: string, file: string, cubin: Uint8Array): void {
  const draft = `${file}.${process.pid}`;
  const written = attempt(() => {
    mkdirSync(folder, { recursive: true });
    writeFileSync(draft, Buffer.concat([sha256(cubin), cubin]));
    renameSync(draft, file);
  });
  if (!written) attempt(() => rmSync(draft));
}

function attempt(work: () => void): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}

function sha256(data: string | Uint8Array): Buffer {
  return createHash("sha256").update(data).digest();
}

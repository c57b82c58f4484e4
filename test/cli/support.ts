/** The command, run in this process. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { main } from "../../src/cli/main.ts";

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export async function run(...args: string[]): Promise<Ran> {
  const out: string[] = [];
  const err: string[] = [];
  const code = await main(args, { out: (text) => out.push(text), err: (text) => err.push(text) });
  return { code, out: out.join("\n"), err: err.join("\n") };
}

/** A file of test/cli/files. */
export function fileOf(name: string): string {
  return fileURLToPath(new URL(`files/${name}`, import.meta.url));
}

/** A path in a folder that nothing else uses. */
export function freshFile(name: string): string {
  return join(mkdtempSync(join(tmpdir(), "stepjit-")), name);
}

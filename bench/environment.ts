/** What the figures depend on besides the code. No names of machines, no paths. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism, cpus, loadavg, totalmem } from "node:os";

export interface Environment {
  readonly date: string;
  readonly cpu: string;
  readonly threads: number;
  readonly memoryGB: number;
  readonly node: string;
  readonly tfjs: string;
  /** Processes that wanted to run in the minute before. Much above 0, somebody else was using the machine. */
  readonly loadBefore: number;
}

export function environment(): Environment {
  const manifest = createRequire(import.meta.url).resolve("@tensorflow/tfjs-core/package.json");
  return {
    date: new Date().toISOString().slice(0, 10),
    cpu: cpus()[0]?.model.trim() ?? "unknown CPU",
    threads: availableParallelism(),
    memoryGB: Math.round(totalmem() / 1e9),
    node: process.version,
    tfjs: (JSON.parse(readFileSync(manifest, "utf8")) as { version: string }).version,
    loadBefore: Number((loadavg()[0] as number).toFixed(2)),
  };
}

/** For a file's name: "2026-01-31-intel-xeon-processor". */
export function label({ date, cpu }: Environment): string {
  const model = cpu.replace(/\((R|TM)\)/gi, "").replace(/[^A-Za-z0-9]+/g, "-");
  return `${date}-${model.replace(/^-|-$/g, "").toLowerCase()}`;
}

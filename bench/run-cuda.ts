/** One step of an optimizer on a CUDA device over one set of shapes: stepjit, torch's own, and a copy of as many bytes, in turns. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Cuda, cuda } from "stepjit/cuda";
import type { CudaContender, CudaEntry } from "./contenders/cuda/contender.ts";
import { copy } from "./contenders/cuda/copy.ts";
import { stepjit } from "./contenders/cuda/stepjit.ts";
import { torchCompiled, torchForeach, torchFused } from "./contenders/cuda/torch.ts";
import { type Effort, interleaved, QUICK, THOROUGH, type Timing } from "./measure.ts";
import { type AnySet, BYTES_MOVED_PER_PARAMETER, fileOf, type OptimizerName, problemOf } from "./problem.ts";
import { answer } from "./process.ts";

export interface CudaResult {
  readonly set: AnySet;
  readonly optimizer: OptimizerName;
  readonly tensors: number;
  readonly parameters: number;
  /** Bytes that a step has to move. */
  readonly bytes: number;
  /** Absent where there is none, and then `reason` says why. */
  readonly device?: { readonly name: string; readonly architecture: string };
  readonly reason?: string;
  readonly rows: readonly CudaRow[];
}

export interface CudaRow {
  readonly name: string;
  /** Absent where it was left out, and then `reason` says why. */
  readonly timing?: Timing;
  readonly reason?: string;
  readonly coldStart?: number;
  readonly details?: Readonly<Record<string, number>>;
}

const ENTRIES: readonly CudaEntry[] = [copy, stepjit, torchFused, torchForeach, torchCompiled];

/** Steps are short beside the wait for them. */
const TURN = 50;
const EFFORTS: Readonly<Record<string, Effort>> = {
  thorough: { ...THOROUGH, timed: 2 * THOROUGH.timed, turn: TURN },
  quick: { ...QUICK, turn: TURN },
};

const [set, optimizer, effort] = process.argv.slice(2) as [AnySet, OptimizerName, string];
const problem = { ...problemOf(set, optimizer), file: fileOf(set) };
const cubins = mkdtempSync(join(tmpdir(), "stepjit-bench-"));
process.env.STEPJIT_CACHE_DIR = cubins; // a cold start is one: nothing of earlier runs
const result: CudaResult = {
  set,
  optimizer,
  tensors: problem.tensors.length,
  parameters: problem.parameters,
  bytes: BYTES_MOVED_PER_PARAMETER * problem.parameters,
  ...(await measure()),
};
rmSync(cubins, { recursive: true, force: true });
answer(result);

async function measure(): Promise<Pick<CudaResult, "device" | "reason" | "rows">> {
  let gpu: Cuda;
  try {
    gpu = await cuda();
  } catch (error) {
    return { reason: (error as Error).message.split("\n")[0] as string, rows: [] };
  }
  const { name, architecture } = gpu.device;
  const made = new Map<CudaEntry, CudaContender>();
  const reasons = new Map<CudaEntry, string>();
  for (const entry of ENTRIES)
    try {
      made.set(entry, await entry.make(problem, gpu));
    } catch (error) {
      reasons.set(entry, (error as Error).message);
    }
  const timings = await interleaved([...made.values()], EFFORTS[effort] as Effort);
  const times = new Map([...made.keys()].map((entry, i) => [entry, timings[i] as Timing]));
  const rows = ENTRIES.map((entry): CudaRow => {
    const reason = reasons.get(entry);
    if (reason !== undefined) return { name: entry.name, reason };
    const { coldStart, details } = made.get(entry) as CudaContender;
    return {
      name: entry.name,
      timing: times.get(entry) as Timing,
      ...(coldStart !== undefined && { coldStart }),
      ...(details && { details: details() }),
    };
  });
  for (const contender of made.values()) contender.dispose();
  gpu.dispose();
  return { device: { name, architecture }, rows };
}

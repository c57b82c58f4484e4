/** `npm run bench`: measures what was asked for, part by part, and writes the results down. */
import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import type { Agreement } from "./agree.ts";
import type { ColdStart } from "./cold-start.ts";
import { environment, label } from "./environment.ts";
import type { HostCost } from "./host-cost.ts";
import type { WebGpuHost } from "./host-webgpu.ts";
import { VARIANTS } from "./optimizers.ts";
import { GPU_SETS, OPTIMIZERS, SETS } from "./problem.ts";
import { inFreshProcess } from "./process.ts";
import {
  agreementReport,
  coldStartReport,
  hostCostReport,
  machineReport,
  ratioReport,
  report,
  setReport,
} from "./report.ts";
import { cudaReport } from "./report-cuda.ts";
import { optimizersReport } from "./report-optimizers.ts";
import { webGpuReport } from "./report-webgpu.ts";
import type { ColdStarts, Results, WebGpuMeasured } from "./results.ts";
import type { CudaResult } from "./run-cuda.ts";
import type { OptimizerResult } from "./run-optimizer.ts";
import type { SetResult } from "./run-set.ts";
import type { WebGpuResult } from "./run-webgpu.ts";

const PARTS = [...SETS, "optimizers", "webgpu", "cuda", "cold-start", "host-cost"] as const;
/** Where every optimizer is measured: memory alone, and shapes that Adafactor treats differently. */
const OPTIMIZER_SETS = ["resnet50", "gpt2-small"] as const;
const NAMES = [...new Set(VARIANTS.map(({ name }) => name))];

const USAGE = `npm run bench -- [--set NAME]… [--optimizer NAME]… [--threads N] [--quick]

  --set        what to measure, may be repeated: ${PARTS.join(", ")}. Default: all
  --optimizer  may be repeated: ${OPTIMIZERS.join(", ")}, and for "optimizers" any that stepjit exports. Default: all
  --threads    the most threads that stepjit and the memory floor use, besides one. Default: ${availableParallelism()}
  --quick      a fifth of the repetitions, for a first look
  --help       this text`;

interface Asked {
  readonly parts: readonly string[];
  readonly optimizers: readonly string[];
  readonly threads: number;
  readonly quick: boolean;
}

await run(readArguments());

function readArguments(): Asked {
  const { set, optimizer, threads, quick, help } = parse();
  if (help) stop(USAGE, 0);
  checkKnown("--set", set, PARTS);
  checkKnown("--optimizer", optimizer, NAMES);
  if (!/^[1-9]\d*$/.test(threads)) stop(`--threads is a whole number, at least 1, got "${threads}"`);
  return { parts: set, optimizers: optimizer, threads: Number(threads), quick };
}

function parse() {
  try {
    return parseArgs({
      options: {
        set: { type: "string", multiple: true, default: [...PARTS] },
        optimizer: { type: "string", multiple: true, default: NAMES },
        threads: { type: "string", default: String(availableParallelism()) },
        quick: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch (error) {
    return stop((error as Error).message);
  }
}

function checkKnown(option: string, given: readonly string[], known: readonly string[]): void {
  const unknown = given.find((one) => !known.includes(one));
  if (unknown !== undefined) stop(`${option} is one of ${known.join(", ")}, got "${unknown}"`);
}

function stop(message: string, code = 2): never {
  console.log(code === 0 ? message : `${message}\n\n${USAGE}`);
  process.exit(code);
}

async function run(asked: Asked): Promise<void> {
  const { parts, optimizers, threads, quick } = asked;
  const effort = quick ? "quick" : "thorough";
  const machine = environment();
  const show = (text: string) => console.log(`${text}\n`);
  show(machineReport(machine));

  const agreements = await inFreshProcess<Agreement[]>("./agree.ts", String(threads));
  show(agreementReport(agreements));
  const sets: SetResult[] = [];
  for (const set of SETS.filter((name) => parts.includes(name)))
    for (const optimizer of OPTIMIZERS.filter((name) => optimizers.includes(name))) {
      const result = await inFreshProcess<SetResult>("./run-set.ts", set, optimizer, String(threads), effort);
      sets.push(result);
      show(setReport(result));
    }
  if (sets.length > 0) show(ratioReport(sets));
  const everyOptimizer = parts.includes("optimizers") ? await runOptimizers(asked, effort) : [];
  if (everyOptimizer.length > 0) show(optimizersReport(everyOptimizer));
  const webGpu: WebGpuMeasured[] = [];
  for (const set of parts.includes("webgpu") ? SETS : []) {
    const result = await inFreshProcess<WebGpuResult>("./run-webgpu.ts", set, effort);
    const host = result.device ? await inFreshProcess<WebGpuHost>("./host-webgpu.ts", set, effort) : {};
    const measured = { result, host };
    webGpu.push(measured);
    show(webGpuReport(measured));
  }
  const cuda = parts.includes("cuda") ? await runCuda(asked, effort) : [];
  const coldStarts = parts.includes("cold-start") ? await startCold(quick ? 3 : 15) : [];
  if (coldStarts.length > 0) show(coldStartReport(coldStarts));
  const hostCost = parts.includes("host-cost")
    ? await inFreshProcess<HostCost>("./host-cost.ts", effort)
    : undefined;
  if (hostCost) show(hostCostReport(hostCost));

  const found = {
    agreements,
    sets,
    optimizers: everyOptimizer,
    webGpu,
    cuda,
    coldStarts,
    ...(hostCost && { hostCost }),
  };
  save({ environment: machine, quick, ...found }, asked);
}

async function runOptimizers({ optimizers, threads }: Asked, effort: string): Promise<OptimizerResult[]> {
  const results: OptimizerResult[] = [];
  for (const set of OPTIMIZER_SETS)
    for (const { label, name } of VARIANTS)
      for (const count of optimizers.includes(name) ? new Set([1, threads]) : [])
        results.push(await inFreshProcess("./run-optimizer.ts", set, label, String(count), effort));
  return results;
}

async function runCuda({ optimizers }: Asked, effort: string): Promise<CudaResult[]> {
  const results: CudaResult[] = [];
  for (const set of GPU_SETS)
    for (const optimizer of OPTIMIZERS.filter((name) => optimizers.includes(name))) {
      const result = await inFreshProcess<CudaResult>("./run-cuda.ts", set, optimizer, effort);
      console.log(`${cudaReport(result)}\n`);
      results.push(result);
    }
  return results;
}

/** Ten parameters and a thousand in turns. */
async function startCold(processes: number): Promise<ColdStarts[]> {
  const few = { parameters: 10, runs: [] as ColdStart[] };
  const many = { parameters: 1000, runs: [] as ColdStart[] };
  for (let i = 0; i < processes; i++)
    for (const { parameters, runs } of [few, many])
      runs.push(await inFreshProcess<ColdStart>("./cold-start.ts", String(parameters)));
  return [few, many];
}

/** Only a whole, thorough run has the plain name; it replaces an earlier one of the same day. */
function save(results: Results, { parts, optimizers, quick }: Asked): void {
  const name = [
    label(results.environment),
    ...(parts.length < PARTS.length ? parts : []),
    ...(optimizers.length < NAMES.length ? optimizers : []),
    ...(quick ? ["quick"] : []),
  ].join("-");
  const folder = new URL("results/", import.meta.url);
  mkdirSync(folder, { recursive: true });
  writeFileSync(new URL(`${name}.json`, folder), `${JSON.stringify(results, undefined, 2)}\n`);
  writeFileSync(new URL(`${name}.md`, folder), report(results));
  console.log(`Saved as bench/results/${name}.md and .json`);
}

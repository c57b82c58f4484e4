/** Results as text: Markdown. */
import type { Agreement } from "./agree.ts";
import type { Environment } from "./environment.ts";
import type { Case, HostCost } from "./host-cost.ts";
import { summary } from "./measure.ts";
import recorded from "./recorded.json" with { type: "json" };
import { cudaReport } from "./report-cuda.ts";
import { optimizersReport } from "./report-optimizers.ts";
import { webGpuReport } from "./report-webgpu.ts";
import type { ColdStarts, Results } from "./results.ts";
import type { Row, SetResult } from "./run-set.ts";
import { count, digits, table } from "./table.ts";

export function report(results: Results): string {
  const { environment, agreements, sets, optimizers, webGpu, cuda, coldStarts, hostCost } = results;
  const parts = [
    `# stepjit's step, measured ${environment.date}${results.quick ? ", in haste (--quick)" : ""}`,
    machineReport(environment),
    agreementReport(agreements),
    ...(sets.length > 0 ? [ratioReport(sets)] : []),
    ...sets.map(setReport),
    ...(optimizers.length > 0 ? [optimizersReport(optimizers)] : []),
    ...webGpu.map(webGpuReport),
    ...cuda.map(cudaReport),
    ...(coldStarts.length > 0 ? [coldStartReport(coldStarts)] : []),
    ...(hostCost ? [hostCostReport(hostCost)] : []),
  ];
  return `${parts.join("\n\n")}\n`;
}

export function machineReport({ cpu, threads, memoryGB, node, tfjs, loadBefore }: Environment): string {
  const machine = `${cpu}, ${threads} threads, ${memoryGB} GB; Node ${node}, TensorFlow.js ${tfjs}; load before: ${loadBefore}.`;
  return loadBefore > 0.5 ? `${machine} **The machine was busy: do not quote these figures.**` : machine;
}

export function agreementReport(agreements: readonly Agreement[]): string {
  const largest = Math.max(...agreements.map(({ difference }) => difference));
  return `After three steps on mlp-small all contenders agree with stepjit within ${largest.toExponential(1)}.`;
}

export function setReport({ set, optimizer, tensors, parameters, bytes, rows }: SetResult): string {
  const body = rows.flatMap((row) => {
    if (!row.timing) return [];
    const { median, quartiles, turns, stepsPerTurn } = row.timing;
    return [
      [
        row.name,
        String(row.threads),
        digits(median),
        quartiles.map(digits).join(" – "),
        digits(bytes / median / 1e6),
        digits(median / medianOf(rows, "memory floor", row.threads)),
        `${turns} × ${stepsPerTurn}`,
      ],
    ];
  });
  const notes = rows.flatMap(({ name, reason }) => (reason ? [`${name} is left out: ${reason}.`] : []));
  const details = rows.find(({ details }) => details)?.details;
  if (details) {
    const { launches, bytesMoved, bytesIdeal } = details as Record<string, number>;
    notes.unshift(
      `stepjit: ${launches} launch, ${count(bytesMoved ?? 0)} bytes of ${count(bytesIdeal ?? 0)}.`,
    );
  }
  return [
    `## ${set}, ${optimizer}: ${count(tensors)} tensors, ${count(parameters)} parameters, ${digits(bytes / 1e6)} MB a step`,
    table(["contender", "threads", "ms", "quartiles", "GB/s", "× floor", "turns × steps"], body),
    ...(notes.length > 0 ? [notes.join("\n")] : []),
  ].join("\n\n");
}

const PEERS = ["hand-written SIMD", "fused JS loop", "tfjs wasm", "tfjs cpu"];

/** How many times as long as stepjit each peer takes; the recorded columns are not from this run. */
export function ratioReport(sets: readonly SetResult[]): string {
  const body = sets.flatMap(({ set, optimizer, rows }) =>
    rows
      .filter(({ name, timing }) => name === "stepjit" && timing)
      .map(({ threads, timing }) => {
        const ours = timing?.median as number;
        return [
          `${set}, ${optimizer}`,
          String(threads),
          digits(ours),
          digits(ours / medianOf(rows, "memory floor", threads)),
          ...PEERS.map((peer) => digits(medianOf(rows, peer, 1) / ours)),
          ...recordedFor(set, threads),
        ];
      }),
  );
  const columns = ["set", "threads", "stepjit ms", "× floor", ...PEERS.map((peer) => `${peer} ÷ stepjit`)];
  const last = [`recorded: ${recorded.contender}, ms`, "recorded: × its floor"];
  const note = `Recorded, not measured in this run: ${recorded.provenance}. Compare ratios to the floor, not milliseconds.`;
  return `## Ratios\n\n${table([...columns, ...last], body)}\n\n${note}`;
}

/** Milliseconds, and their ratio to the floor of the machine they were recorded on. */
function recordedFor(set: string, threads: number): [string, string] {
  const sets: Record<string, Record<string, { ms: number; floor: number[] }>> = recorded.sets;
  const found = sets[set]?.[threads];
  if (!found) return ["–", "–"];
  const ratios = found.floor.map((floor) => digits(found.ms / floor)).reverse();
  return [digits(found.ms), [...new Set(ratios)].join(" – ")];
}

function medianOf(rows: readonly Row[], name: string, threads: number): number {
  return rows.find((row) => row.name === name && row.threads === threads)?.timing?.median ?? Number.NaN;
}

export function coldStartReport(coldStarts: readonly ColdStarts[]): string {
  const body = coldStarts.map(({ parameters, runs }) => {
    const median = (part: keyof (typeof runs)[number]) =>
      digits(summary(runs.map((run) => run[part])).median);
    const total = summary(runs.map((run) => run.total));
    return [
      String(parameters),
      digits(total.median),
      total.quartiles.map(digits).join(" – "),
      median("construct"),
      median("compile"),
      median("firstStep"),
      String(runs.length),
    ];
  });
  const columns = ["parameters", "ms", "quartiles", "new AdamW", "compileStep", "first step", "processes"];
  return `## Cold start, AdamW, each in a fresh process\n\n${table(columns, body)}`;
}

const CASES: Readonly<Record<Case, string>> = {
  record: "step({ name: gradient })",
  array: "step([gradient])",
  "tensor.grad": "step(), reading tensor.grad",
  "one tensor": "one tensor of as many elements",
  "hand-written": "hand-written SIMD, no names and no checks",
};

export function hostCostReport({ tensors, elements, timings }: HostCost): string {
  const body = Object.entries(CASES).map(([name, what]) => {
    const { median, quartiles } = timings[name as Case];
    return [
      what,
      digits(1e3 * median),
      quartiles.map((time) => digits(1e3 * time)).join(" – "),
      digits(1e3 * (median - timings["hand-written"].median)),
    ];
  });
  const columns = ["step", "µs", "quartiles", "besides the kernel"];
  return `## Host cost, AdamW over ${tensors.toLocaleString("en")} tensors of ${elements} elements\n\n${table(columns, body)}`;
}

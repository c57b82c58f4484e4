/** What was found out about steps on a GPU, as text. */
import { copy } from "./contenders/webgpu/copy.ts";
import { flat } from "./contenders/webgpu/hand-written.ts";
import type { WebGpuHost } from "./host-webgpu.ts";
import type { WebGpuMeasured } from "./results.ts";
import type { WebGpuResult, WebGpuRow } from "./run-webgpu.ts";
import { count, digits, table } from "./table.ts";

const COLUMNS = [
  "contender",
  "ms",
  "quartiles",
  "GB/s",
  `÷ hand-written`,
  "× copy",
  "host ms",
  "turns × steps",
];
const COUNTS = ["dispatches", "passes", "submits", "copies", "writes", "buffers", "bindGroups"] as const;

export function webGpuReport({ result, host }: WebGpuMeasured): string {
  const { set, tensors, parameters, bytes, device, reason, difference, rows } = result;
  const title = `## ${set}, Adam on WebGPU: ${count(tensors)} tensors, ${count(parameters)} parameters, ${digits(bytes / 1e6)} MB a step`;
  if (!device) return `${title}\n\nLeft out: ${reason}.`;
  const notes = rows.flatMap(({ name, reason }) => (reason ? [`${name} is left out: ${reason}.`] : []));
  return [
    title,
    machineLine(device),
    `After three steps all agree within ${difference?.toExponential(1)}.`,
    table(
      COLUMNS,
      rows.flatMap((row) => timeLine(row, result, host)),
    ),
    table(["of a step", ...COUNTS.map(spelled)], rows.flatMap(countLine)),
    ...(notes.length > 0 ? [notes.join("\n")] : []),
  ].join("\n\n");
}

function machineLine({ name, software }: NonNullable<WebGpuResult["device"]>): string {
  return software
    ? `On ${name}: **no GPU, the CPU computes.** Ratios say little about a GPU.`
    : `On ${name}.`;
}

function timeLine({ name, timing }: WebGpuRow, { bytes, rows }: WebGpuResult, host: WebGpuHost): string[][] {
  if (!timing) return [];
  const { median, quartiles, turns, stepsPerTurn } = timing;
  const over = (other: string) =>
    digits(median / (rows.find(({ name }) => name === other)?.timing?.median ?? Number.NaN));
  return [
    [
      name,
      digits(median),
      quartiles.map(digits).join(" – "),
      digits(bytes / median / 1e6),
      over(flat.name),
      over(copy.name),
      digits(host[name]?.median ?? Number.NaN),
      `${turns} × ${stepsPerTurn}`,
    ],
  ];
}

function countLine({ name, counts }: WebGpuRow): string[][] {
  return counts ? [[name, ...COUNTS.map((what) => count(counts[what]))]] : [];
}

function spelled(name: (typeof COUNTS)[number]): string {
  return name === "bindGroups" ? "bind groups" : name;
}

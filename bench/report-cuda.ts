/** What was found out about steps on a CUDA device, as text. */
import { copy } from "./contenders/cuda/copy.ts";
import { torchFused } from "./contenders/cuda/torch.ts";
import type { CudaResult, CudaRow } from "./run-cuda.ts";
import { count, digits, table } from "./table.ts";

const COLUMNS = [
  "contender",
  "ms",
  "quartiles",
  "GB/s",
  "÷ torch, fused",
  "× copy",
  "first step, ms",
  "turns × steps",
];

export function cudaReport(result: CudaResult): string {
  const { set, optimizer, tensors, parameters, bytes, device, reason, rows } = result;
  const title = `## ${set}, ${optimizer} on CUDA: ${count(tensors)} tensors, ${count(parameters)} parameters, ${digits(bytes / 1e6)} MB a step`;
  if (!device) return `${title}\n\nLeft out: ${reason}`;
  const notes = rows.flatMap(({ name, reason, details }) => {
    if (reason) return [`${name} is left out: ${reason}.`];
    return details ? [`${name}: ${details.launches} launch, ${details.uploads} upload a step.`] : [];
  });
  return [
    title,
    `On ${device.name}, ${device.architecture}.`,
    table(
      COLUMNS,
      rows.flatMap((row) => timeLine(row, result)),
    ),
    notes.join("\n"),
  ].join("\n\n");
}

function timeLine({ name, timing, coldStart }: CudaRow, { bytes, rows }: CudaResult): string[][] {
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
      over(torchFused.name),
      over(copy.name),
      digits(coldStart ?? Number.NaN),
      `${turns} × ${stepsPerTurn}`,
    ],
  ];
}

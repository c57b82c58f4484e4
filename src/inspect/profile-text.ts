import { counted } from "../step/counted.ts";
import { printEvent } from "../step/events.ts";
import type { Measured, ProfiledLaunch, ProfiledStep } from "./profile.ts";

/** A profile as a table. */
export function profileText(profile: Measured): string {
  const { optimizer, backend, threads, milliseconds, steps, events } = profile;
  const on = `${optimizer} on ${backend}${threads > 1 ? `, ${threads} threads` : ""}`;
  if (steps.length === 0) return `${on}: the step was not called`;
  const lines = [
    ...(["step", "micro-step"] as const).flatMap((kind) => callsText(profile, kind)),
    ...table(rowsOf(profile)),
    clockText(profile),
    ...events.map(({ event }) => printEvent(event)),
  ];
  return [`${on}: ${callCounts(steps)} in ${milliseconds.toFixed(2)} ms`, ...lines].join("\n  ");
}

function callCounts(steps: readonly ProfiledStep[]): string {
  const micro = steps.filter(({ kind }) => kind === "micro-step").length;
  return [
    ...(steps.length > micro ? [counted(steps.length - micro, "step")] : []),
    ...(micro > 0 ? [counted(micro, "micro-step")] : []),
  ].join(", ");
}

/** Where the time of the calls goes. */
function callsText({ steps, launches, clock }: Measured, kind: ProfiledStep["kind"]): string[] {
  const calls = steps.flatMap((step, index) => (step.kind === kind ? [{ ...step, index }] : []));
  if (calls.length === 0) return [];
  const launched = steps.map(() => 0);
  for (const { step, milliseconds } of launches) launched[step] = (launched[step] ?? 0) + (milliseconds ?? 0);
  const inCalls = median(calls.map(({ milliseconds }) => milliseconds));
  const inLaunches = median(calls.map(({ index }) => launched[index] as number));
  if (clock === "host") {
    const beside = median(calls.map(({ index, milliseconds }) => milliseconds - (launched[index] as number)));
    return [`${kind}: ${ms(inCalls)}, of which ${ms(inLaunches)} in launches and ${ms(beside)} beside them`];
  }
  const onDevice = clock ? `, ${ms(inLaunches)} in launches on the device` : "";
  return [`${kind}: queued in ${ms(inCalls)}${onDevice}`];
}

function clockText({ clock, untilDone, memoryRate, launches }: Measured): string {
  const bytes = launches.reduce((sum, launch) => sum + launch.bytes, 0);
  const notTimed = `the device was made without the feature "timestamp-query", so launches are not timed`;
  if (clock === null && untilDone !== null)
    return `${notTimed}; all was done ${ms(untilDone)} after the first call: ${rate(bytes, untilDone)} GB/s`;
  if (memoryRate === null) return "the memory rate could not be measured";
  return `medians; memory moves at ${(memoryRate / 1e9).toFixed(2)} GB/s, read and written, where tensors are too large for the caches`;
}

/** Launches of one kind: those of the same work in every step. */
interface Row {
  readonly name: string;
  readonly launches: ProfiledLaunch[];
}

const HEAD = ["launch", "calls", "ms", "MB", "GB/s", "of memory rate"];

function rowsOf({ steps, launches, memoryRate }: Measured): string[][] {
  const rows = new Map<string, Row>();
  for (const launch of launches) {
    const { phase, kind, kernels, step } = launch;
    const prefix = steps[step]?.kind === "micro-step" ? "micro-step, " : "";
    const key = `${prefix}phase ${phase} ${kind} ${kernels}`;
    const row = rows.get(key) ?? { name: `${prefix}phase ${phase}: ${nameOf(launch)}`, launches: [] };
    row.launches.push(launch);
    rows.set(key, row);
  }
  return [HEAD, ...[...rows.values()].map((row) => cells(row, memoryRate))];
}

function cells({ name, launches }: Row, memoryRate: number | null): string[] {
  const timed = launches.flatMap(({ milliseconds }) => (milliseconds === null ? [] : [milliseconds]));
  const bytes = median(launches.map((launch) => launch.bytes));
  const time = timed.length > 0 ? median(timed) : undefined;
  const hasRate = time !== undefined && time > 0 && bytes > 0;
  return [
    name,
    String(launches.length),
    time === undefined ? "–" : time.toFixed(3),
    (bytes / 1e6).toFixed(3),
    hasRate ? rate(bytes, time) : "–",
    hasRate && memoryRate ? `${((100 * bytes) / (time / 1e3) / memoryRate).toFixed(0)} %` : "–",
  ];
}

/** The work of a launch, for people: of many classes the first two. */
export function nameOf({ kind, kernels }: ProfiledLaunch): string {
  if (kind === "programs") return "programs";
  const more = kernels.length > 2 ? ` and ${kernels.length - 2} more` : "";
  return kernels.slice(0, 2).join(", ") + more;
}

/** Names to the left, numbers to the right. */
function table(rows: readonly string[][]): string[] {
  const widths = HEAD.map((_, column) => Math.max(...rows.map((row) => (row[column] as string).length)));
  return rows.map((row) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join("  "),
  );
}

function ms(milliseconds: number): string {
  return `${milliseconds.toFixed(3)} ms`;
}

function rate(bytes: number, milliseconds: number): string {
  return (bytes / 1e6 / milliseconds).toFixed(2);
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  const upper = sorted[half] as number;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[half - 1] as number)) / 2;
}

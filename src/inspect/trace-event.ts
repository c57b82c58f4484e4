/**
 * The Chrome trace-event format, which chrome://tracing and Perfetto open.
 * https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
 */
import type { Measured, ProfiledLaunch } from "./profile.ts";
import { nameOf } from "./profile-text.ts";

/** The JSON object format: what a `.json` file for chrome://tracing or Perfetto holds. */
export interface TraceFile {
  /** Names first, then spans in the order in which they begin. */
  readonly traceEvents: readonly TraceEvent[];
  /** What a viewer counts in; the times of the events are microseconds. */
  readonly displayTimeUnit: "ms";
  /** Optimizer, backend, threads, and how fast memory is in bytes a second. */
  readonly otherData: Readonly<Record<string, string | number>>;
}

/** `X`: a span, in microseconds; `M`: what a process or thread is called. */
export type TraceEvent = TraceSpan | TraceName;

/** Something that took a while. */
export interface TraceSpan {
  /** The event's type: complete. */
  readonly ph: "X";
  /** What a viewer shows on it. */
  readonly name: string;
  /** What kind of span it is. */
  readonly cat: "step" | "launch" | "compile";
  /** Always 1: there is one process. */
  readonly pid: number;
  /** The lane: 1 the host, 2 launches. */
  readonly tid: number;
  /** When it began, in microseconds since the profile did. */
  readonly ts: number;
  /** How long it took, in microseconds. */
  readonly dur: number;
  /** What a viewer shows of it when it is selected. */
  readonly args: Readonly<Record<string, unknown>>;
}

/** What the process or one of its lanes is called. */
export interface TraceName {
  /** The event's type: metadata. */
  readonly ph: "M";
  /** What is named. */
  readonly name: "process_name" | "thread_name";
  /** Always 1. */
  readonly pid: number;
  /** The lane. */
  readonly tid: number;
  /** Its name. */
  readonly args: { readonly name: string };
}

const PID = 1;
/** Lanes. */
const HOST = 1;
const LAUNCHES = 2;

export function traceOf(profile: Measured): TraceFile {
  const { optimizer, backend, threads, memoryRate, clock } = profile;
  const spans = [
    ...stepSpans(profile),
    ...compileSpans(profile),
    ...(clock ? launchSpans(profile) : untimedSpans(profile)),
  ];
  return {
    traceEvents: [
      named("process_name", HOST, `stepjit ${optimizer} on ${backend}`),
      named("thread_name", HOST, "host"),
      named("thread_name", LAUNCHES, clock === "host" ? "launches" : "launches on the device"),
      ...spans.sort((a, b) => a.ts - b.ts || b.dur - a.dur), // what is within another comes after it
    ],
    displayTimeUnit: "ms",
    otherData: {
      optimizer,
      backend,
      threads,
      ...(memoryRate !== null && { memoryBytesPerSecond: memoryRate }),
    },
  };
}

function named(name: TraceName["name"], tid: number, label: string): TraceName {
  return { ph: "M", name, pid: PID, tid, args: { name: label } };
}

/** Times in milliseconds. */
function span(
  { name, cat, tid }: Pick<TraceSpan, "name" | "cat" | "tid">,
  start: number,
  milliseconds: number,
  args: TraceSpan["args"],
): TraceSpan {
  return { ph: "X", name, cat, pid: PID, tid, ts: 1000 * start, dur: 1000 * milliseconds, args };
}

function stepSpans({ steps, launches }: Measured): TraceSpan[] {
  const bytes = steps.map(() => 0);
  for (const launch of launches) bytes[launch.step] = (bytes[launch.step] ?? 0) + launch.bytes;
  return steps.map(({ kind, step, start, milliseconds }, index) =>
    span({ name: `${kind} ${step}`, cat: "step", tid: HOST }, start, milliseconds, { bytes: bytes[index] }),
  );
}

function compileSpans({ events }: Measured): TraceSpan[] {
  return events.map(({ start, event: { kind, kernel, milliseconds, reason, changes } }) => {
    const name = kernel ? `${kind} ${kernel}` : kind;
    return span({ name, cat: "compile", tid: HOST }, start, milliseconds, { reason, changes });
  });
}

function launchSpans({ steps, launches, memoryRate }: Measured): TraceSpan[] {
  return launches.flatMap((launch) => {
    const { start, milliseconds, phase, kernels, bytes, dispatches, step } = launch;
    if (start === null || milliseconds === null) return [];
    const name = `phase ${phase}: ${nameOf(launch)}`;
    const args = { step: steps[step]?.step, kernels, bytes, dispatches, ...rates(launch, memoryRate) };
    return [span({ name, cat: "launch", tid: LAUNCHES }, start, milliseconds, args)];
  });
}

function rates({ bytes, milliseconds }: ProfiledLaunch, memoryRate: number | null): Record<string, number> {
  if (!milliseconds || bytes === 0) return {};
  const bytesPerSecond = (1000 * bytes) / milliseconds;
  return { bytesPerSecond, ...(memoryRate !== null && { ofMemoryRate: bytesPerSecond / memoryRate }) };
}

/** One span for all that was queued. */
function untimedSpans({ steps, untilDone }: Measured): TraceSpan[] {
  const [first] = steps;
  if (!first || untilDone === null) return [];
  const why = 'the device was made without the feature "timestamp-query"';
  return [span({ name: "not timed", cat: "launch", tid: LAUNCHES }, first.start, untilDone, { reason: why })];
}

/** A profile: what a step did during some work, as data that prints as a table and exports as a trace. */
import type { Interval } from "../backends/backend.ts";
import { StepjitError } from "../error.ts";
import { funcsOf, type Module } from "../ir/module.ts";
import { show } from "../optim/hyper.ts";
import type { Engine } from "../step/engine.ts";
import type { StepEvent } from "../step/events.ts";
import type { TimedLaunch } from "../step/launch-times.ts";
import { memoryRate } from "../step/memory-rate.ts";
import { Recorder } from "../step/recorder.ts";
import { profileText } from "./profile-text.ts";
import { type TraceFile, traceOf } from "./trace-event.ts";

/** What a step did, launch by launch. Times are in milliseconds, `start` since the profile began. */
export interface Profile {
  /** Its name. */
  readonly optimizer: string;
  /** What kernels were compiled for. */
  readonly backend: string;
  /** That may have worked on a launch. */
  readonly threads: number;
  /** Until all was done. */
  readonly milliseconds: number;
  /** From the first call until a device had done all that was queued; null where calls wait for their launches, and where there were none. */
  readonly untilDone: number | null;
  /** Calls of the step. */
  readonly steps: readonly ProfiledStep[];
  /** In the order in which they were launched. */
  readonly launches: readonly ProfiledLaunch[];
  /** What was traced, compiled and planned meanwhile. */
  readonly events: readonly ProfiledEvent[];
  /**
   * Who timed the launches: performance.now(), or the device's own clock, which is set so that no launch begins before it was queued,
   * and one of them just then. Null where nobody did: a device that was made without the feature `timestamp-query`.
   */
  readonly clock: "host" | "device" | null;
  /**
   * Bytes a second, those read and those written, that the same threads or device move where there is hardly anything to compute: the
   * faster of copying one tensor into another and of updating three in place from a fourth, as Adam does; 128 MiB in all where there is
   * memory. A launch whose tensors stay in the caches may be faster. Null where no launch was timed.
   */
  readonly memoryRate: number | null;
  /** In the Chrome trace-event format: written as JSON to a file, it opens in chrome://tracing and in Perfetto. */
  toTrace(): TraceFile;
  /** A table with a line for each kind of launch. */
  toString(): string;
}

/** A call of the step; times are in milliseconds, `start` since the profile began. */
export interface ProfiledStep {
  /** A `micro-step` only adds up gradients (`accumulate`). */
  readonly kind: "step" | "micro-step";
  /** What `stats.steps` was afterwards. */
  readonly step: number;
  /** When it was called. */
  readonly start: number;
  /** Of the call: on a device, what it took to queue it. */
  readonly milliseconds: number;
}

/** A launch of a phase's kernels, or programs; times are in milliseconds, `start` since the profile began. */
export interface ProfiledLaunch {
  /** Which of `steps`: an index. */
  readonly step: number;
  /** Phases are cut where kernels need what others have reduced; they count from 0. */
  readonly phase: number;
  /** `programs` run on devices only, before a phase's kernels: what the phase before has reduced is finished. */
  readonly kind: "programs" | "kernels";
  /** By parameter class. */
  readonly kernels: readonly string[];
  /** Null where it was not timed. */
  readonly start: number | null;
  /** Null where it was not timed. */
  readonly milliseconds: number | null;
  /** Of parameters, gradients and state, read and written; over all launches of a step, `stats.bytesMoved`. */
  readonly bytes: number;
  /** On a device, one for each set of buffers; else 1. Over all launches of a step, `stats.launches`. */
  readonly dispatches: number;
}

/** Something that was traced, compiled or planned during a profile. */
export interface ProfiledEvent {
  /** When it began, in milliseconds since the profile did. */
  readonly start: number;
  /** What it was, why, and how long it took. */
  readonly event: StepEvent;
}

/** Steps whose profile is not finished. */
const open = new WeakSet<Engine>();

/** See `Step.profile`. */
export async function profile(engine: Engine, work: () => unknown): Promise<Profile> {
  checkCall(engine, work);
  open.add(engine);
  try {
    const recorded = await record(engine, work);
    const isTimed = recorded.launches.some(({ milliseconds }) => milliseconds !== null);
    const { backend, threads } = engine.options;
    const measured = { ...recorded, memoryRate: isTimed ? await memoryRate(backend, threads) : null };
    return Object.defineProperties(measured, {
      toTrace: { value: () => traceOf(measured) },
      toString: { value: () => profileText(measured) },
    }) as Profile;
  } finally {
    open.delete(engine);
  }
}

function checkCall(engine: Engine, work: unknown): void {
  const refuse = (message: string) => {
    throw new StepjitError("invalid-option", `profile: ${message}`);
  };
  if (typeof work !== "function") refuse(`it takes a function that calls the step, got ${show(work)}`);
  if (open.has(engine)) refuse("another profile of this step is not finished");
  engine.checkUsable();
}

/** A profile as it is measured. */
export type Measured = Omit<Profile, "toTrace" | "toString">;

async function record(engine: Engine, work: () => unknown): Promise<Omit<Measured, "memoryRate">> {
  const { backend } = engine.options;
  await backend.finished(); // of what was queued before
  const recorder = new Recorder(backend);
  try {
    const begin = performance.now();
    engine.recorder = recorder;
    try {
      await work();
    } finally {
      engine.recorder = undefined;
    }
    await backend.finished();
    const { poison } = engine.optimizer; // a device may have refused a step
    if (poison !== undefined) throw poison;
    const span = { begin, end: performance.now() };
    return asData(engine, recorder, span, await recorder.times.read());
  } finally {
    recorder.times.dispose();
  }
}

function asData(
  { optimizer, options: { backend, threads } }: Engine,
  { times, calls, events }: Recorder,
  { begin, end }: Interval,
  launches: readonly TimedLaunch[],
): Omit<Measured, "memoryRate"> {
  const isQueued = backend.programs === "device";
  return {
    optimizer: optimizer.definition.name,
    backend: backend.target,
    threads: Math.min(threads, backend.threads),
    milliseconds: end - begin,
    untilDone: isQueued && calls[0] ? end - calls[0].begin : null,
    clock: times.areTimed ? backend.programs : null,
    steps: calls.map((call) => ({
      kind: call.isMicroStep ? "micro-step" : "step",
      step: call.step,
      start: call.begin - begin,
      milliseconds: call.end - call.begin,
    })),
    launches: calls.flatMap((call, step) =>
      launches.slice(...call.launches).map(({ launch: { phase, kind, dispatches }, ran }) => ({
        step,
        phase,
        kind,
        kernels: kind === "kernels" ? kernelsOf(call.module, phase) : [],
        start: ran && ran.begin - begin,
        milliseconds: ran && ran.end - ran.begin,
        bytes: kind === "kernels" ? (call.bytes[phase] ?? 0) : 0,
        dispatches,
      })),
    ),
    events: events.map(({ event, end }) => ({ start: end - event.milliseconds - begin, event })),
  };
}

function kernelsOf(module: Module, phase: number): string[] {
  const ofPhase = funcsOf(module, "kernel").filter((kernel) => kernel.phase === phase);
  return ofPhase.map(({ name }) => name);
}

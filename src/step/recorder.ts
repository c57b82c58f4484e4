import type { Backend } from "../backends/backend.ts";
import type { Module } from "../ir/module.ts";
import type { StepEvent } from "./events.ts";
import { LaunchTimes } from "./launch-times.ts";

/** One call of a step. Times are of performance.now(). */
export interface RecordedCall {
  /** Steps begun, this one included. */
  readonly step: number;
  /** Whether it only added up gradients. */
  readonly isMicroStep: boolean;
  readonly begin: number;
  readonly end: number;
  readonly module: Module;
  /** Bytes that its kernels moved, by phase. */
  readonly bytes: readonly number[];
  /** Which of all launches are its own: from, to. */
  readonly launches: readonly [number, number];
}

export interface RecordedEvent {
  readonly event: StepEvent;
  readonly end: number;
}

/** What a step does while it is profiled. */
export class Recorder {
  readonly times: LaunchTimes;
  readonly calls: RecordedCall[] = [];
  readonly events: RecordedEvent[] = [];

  constructor(backend: Backend) {
    this.times = new LaunchTimes(backend);
  }

  heard(event: StepEvent): void {
    this.events.push({ event, end: performance.now() });
  }

  /** All launches since the call before were this one's. */
  called(call: Omit<RecordedCall, "launches">): void {
    const from = this.calls.at(-1)?.launches[1] ?? 0;
    this.calls.push({ ...call, launches: [from, this.times.count] });
  }
}

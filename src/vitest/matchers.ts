import { Snapshots } from "vitest";
import type { Step } from "../compile.ts";
import type { DumpStage } from "../inspect/dump.ts";
import { counted } from "../step/counted.ts";
import { printEvent } from "../step/events.ts";

/** How often each was done for a step since it was made; what is left out may be anything. */
export type CompileCounts = Partial<Readonly<Record<"traces" | "kernels" | "plans", number>>>;

/** What is compared with a snapshot. An object, since vitest writes inline snapshots behind nothing else. */
export interface Dumped {
  /** As `step.dump(stage)` takes it. */
  readonly stage: DumpStage;
}

/** What `stepjit/vitest` adds to `expect(step)`. */
export interface StepMatchers {
  /** A step traced, compiled and planned so often, the first time included. */
  toHaveCompiled(counts: CompileCounts): void;
  /** Its last call took so many launches. */
  toHaveLaunched(launches: number): void;
  /** Its last call moved at most so many times the bytes that it has to move: 1 is the least. */
  toMoveAtMost(ratioOfIdeal: number): void;
  /** Its dump at a stage is the one in the snapshot file beside the test. Source positions are left out: they change with every edit. */
  toMatchIR(of: Dumped): void;
  /** The same with the snapshot in the test itself, where vitest writes it. */
  toMatchInlineIR(of: Dumped, snapshot?: string): void;
}

type Result = { readonly pass: boolean; readonly message: () => string };
type State = ThisParameterType<typeof Snapshots.toMatchSnapshot>;

export const matchers = {
  toHaveCompiled(received: unknown, counts: CompileCounts): Result {
    const { stats, events } = stepOf(received);
    const names = Object.keys(counts) as (keyof CompileCounts)[];
    const found = Object.fromEntries(names.map((name) => [name, stats[name]]));
    return {
      pass: names.every((name) => stats[name] === counts[name]),
      message: () =>
        [
          `the step is to have compiled ${show(counts)}, and has ${show(found)}:`,
          ...events.map((event) => `  ${printEvent(event)}`),
        ].join("\n"),
    };
  },

  toHaveLaunched(received: unknown, launches: number): Result {
    const step = stepOf(received);
    const { launches: found } = step.stats;
    return {
      pass: found === launches,
      message: () =>
        `the step is to take ${counted(launches, "launch", "launches")} a call, and takes ${found}:\n${step.explain()}`,
    };
  },

  toMoveAtMost(received: unknown, ratioOfIdeal: number): Result {
    const step = stepOf(received);
    const { bytesMoved, bytesIdeal } = step.stats;
    const ratio = bytesMoved / bytesIdeal;
    return {
      pass: ratio <= ratioOfIdeal,
      message: () =>
        bytesIdeal === 0
          ? "the step has moved nothing yet: call it first"
          : `the step is to move at most ${ratioOfIdeal} × the bytes that it has to, and moves ${ratio.toFixed(3)} × ` +
            `(${bytesMoved} of ${bytesIdeal}):\n${step.explain()}`,
    };
  },

  toMatchIR(this: State, received: unknown, { stage }: Dumped) {
    return Snapshots.toMatchSnapshot.call(this, irOf(received, stage));
  },

  toMatchInlineIR(this: State, received: unknown, { stage }: Dumped, snapshot?: string) {
    return Snapshots.toMatchInlineSnapshot.call(this, irOf(received, stage), snapshot);
  },
};

function stepOf(received: unknown): Step {
  if (typeof received === "function" && "stats" in received && "events" in received) return received as Step;
  throw new TypeError(`expect() takes a step that compileStep made, got ${typeof received}`);
}

function irOf(received: unknown, stage: DumpStage): string {
  return stepOf(received)
    .dump(stage)
    .replaceAll(/ +# \S+:\d+:\d+$/gm, "");
}

function show(counts: CompileCounts): string {
  return Object.entries(counts)
    .map(([name, count]) => `${name}: ${count}`)
    .join(", ");
}

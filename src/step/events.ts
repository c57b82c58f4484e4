/** The event log: every trace, kernel compile and re-plan, with a reason that names the part of the key that changed. */
import { type Key, ownerOf } from "./key.ts";

/** Something that was done before a step because its key was another one, or because there was no plan yet. */
export interface StepEvent {
  /** `trace`: the maths was recorded; `kernel`: a backend compiled one; `plan`: tables were laid out. */
  readonly kind: "trace" | "kernel" | "plan";
  /** Steps taken before it. */
  readonly step: number;
  /** For people: `param group 0, hasMomentum: false → true (momentum 0 → 0.9)`. */
  readonly reason: string;
  /** The parts of the key behind `reason`. */
  readonly changes: readonly KeyChange[];
  /** The kernel's name. */
  readonly kernel?: string;
  /** Wall-clock time that it took. */
  readonly milliseconds: number;
}

/** A part of a key that changed; undefined where it was, or is, not there. */
export interface KeyChange {
  /** `param group 0, hasMomentum`, `backend` … */
  readonly part: string;
  /** What it was. */
  readonly before: string | undefined;
  /** What it is. */
  readonly after: string | undefined;
  /** What made it change, where that is known. */
  readonly because?: string;
}

/** Why something is compiled or planned now. */
export interface Occasion {
  readonly step: number;
  readonly reason: string;
  readonly changes: readonly KeyChange[];
}

/** The occasion of going from one key (none at first) to another. */
export function occasionOf(
  step: number,
  before: Key | undefined,
  after: Key,
  because: ReadonlyMap<string, string>,
): Occasion {
  const changes = diffKeys(before ?? new Map(), after, because);
  const reason = before
    ? changes.map(printChange).join("; ") || "another step of this optimizer was planned in between"
    : "first step";
  return { step, reason, changes };
}

const DONE: Readonly<Record<StepEvent["kind"], (event: StepEvent) => string>> = {
  trace: () => "traced",
  kernel: ({ kernel }) => `compiled kernel ${kernel}`,
  plan: () => "planned",
};

/** One line, steps counted from 1: `step 4: compiled kernel SGD f32 hasMomentum, phase 0 in 1.20 ms: param group 0, hasMomentum: false → true (momentum 0 → 0.9)`. */
export function printEvent(event: StepEvent): string {
  const { kind, step, milliseconds, reason } = event;
  return `step ${step + 1}: ${DONE[kind](event)} in ${milliseconds.toFixed(2)} ms: ${reason}`;
}

/** Parts that are other ones now; of a new group, the group and not each of its flags. */
function diffKeys(before: Key, after: Key, because: ReadonlyMap<string, string>): KeyChange[] {
  const parts = [...new Set([...before.keys(), ...after.keys()])];
  return parts
    .filter((part) => before.get(part) !== after.get(part))
    .filter((part) => {
      const owner = ownerOf(part);
      return owner === undefined || before.has(owner) || !after.has(owner);
    })
    .map((part) => {
      const cause = because.get(part);
      const change = { part, before: before.get(part), after: after.get(part) };
      return cause === undefined ? change : { ...change, because: cause };
    });
}

function printChange({ part, before, after, because }: KeyChange): string {
  const cause = because === undefined ? "" : ` (${because})`;
  if (before === undefined) return `${part}: new, ${after}${cause}`;
  if (after === undefined) return `${part}: gone, was ${before}${cause}`;
  return `${part}: ${before} → ${after}${cause}`;
}

/** The event log: every trace, kernel compile and re-plan, with a reason that names the part of the key that changed. */

export interface StepEvent {
  /** `trace`: the maths was recorded; `kernel`: a backend compiled one; `plan`: tables were laid out. */
  readonly kind: "trace" | "kernel" | "plan";
  /** Steps taken before it. */
  readonly step: number;
  /** For people: `param group 0, hasMomentum: false → true (momentum 0 → 0.9)`. */
  readonly reason: string;
  readonly changes: readonly KeyChange[];
  /** The kernel's name. */
  readonly kernel?: string;
  readonly milliseconds: number;
}

/** A part of a key that changed; undefined where it was, or is, not there. */
export interface KeyChange {
  readonly part: string;
  readonly before: string | undefined;
  readonly after: string | undefined;
  /** What made it change, where that is known. */
  readonly because?: string;
}

/** A key, part by part. */
export type Key = ReadonlyMap<string, string>;

export function diffKeys(
  before: Key,
  after: Key,
  because: ReadonlyMap<string, string> = new Map(),
): KeyChange[] {
  const parts = new Set([...before.keys(), ...after.keys()]);
  return [...parts]
    .filter((part) => before.get(part) !== after.get(part))
    .map((part) => {
      const cause = because.get(part);
      return {
        part,
        before: before.get(part),
        after: after.get(part),
        ...(cause !== undefined && { because: cause }),
      };
    });
}

/** Changes as one readable line; empty where there are none. */
export function reasonOf(changes: readonly KeyChange[]): string {
  return changes
    .map(({ part, before, after, because }) => {
      const change =
        before === undefined
          ? `new, ${after}`
          : after === undefined
            ? `gone, was ${before}`
            : `${before} → ${after}`;
      return `${part}: ${change}${because === undefined ? "" : ` (${because})`}`;
    })
    .join("; ");
}

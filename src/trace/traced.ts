import { StepjitError } from "../error.ts";
import type { ValueId } from "../ir/module.ts";
import type { Tracer } from "./tracer.ts";

/** Recognised by a registered symbol, never by instanceof, so that two copies of stepjit in one program agree. */
export const TRACED = Symbol.for("stepjit.traced");

/** Stands for a value of the step while its maths runs once, to be recorded. It is never a number: every coercion throws. */
export class Traced {
  readonly [TRACED] = true;
  readonly tracer: Tracer;
  /** Which function of the module holds it. */
  readonly home: "step" | "body";
  readonly id: ValueId;

  constructor(tracer: Tracer, home: "step" | "body", id: ValueId) {
    this.tracer = tracer;
    this.home = home;
    this.id = id;
  }

  [Symbol.toPrimitive](): never {
    throw new StepjitError(
      "traced-value",
      `a traced value (${this.tracer.describe(this)}) was used as a plain number, string or condition. ` +
        'Its number is known only when the step runs: write the maths in a function marked "use stepjit", ' +
        "or by name with stepjit/ops, and choose with select().",
    );
  }

  toJSON(): never {
    return this[Symbol.toPrimitive]();
  }
}

export function isTraced(value: unknown): value is Traced {
  return typeof value === "object" && value !== null && TRACED in value;
}

/** Files and arguments as they come: what is wrong with them is said as an error of the command. */
import { readFileSync, writeFileSync } from "node:fs";
import { StepjitError } from "../error.ts";

/** Throws `invalid-option` where there is no such file. */
export function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new StepjitError("invalid-option", `${file} cannot be read: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** Throws `invalid-option` where it cannot be written. */
export function writeText(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (cause) {
    throw new StepjitError("invalid-option", `${file} cannot be written: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** Throws `invalid-option`; `what` is said to be no JSON. */
export function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new StepjitError("invalid-option", `${what} is no JSON: ${(cause as Error).message}`, { cause });
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function refuse(message: string): never {
  throw new StepjitError("invalid-option", message);
}

/** The engine behind each step: for what looks into one from outside. */
import type { Engine } from "./engine.ts";

const engines = new WeakMap<object, Engine>();

export function rememberEngine(step: object, engine: Engine): void {
  engines.set(step, engine);
}

/** Undefined for what compileStep did not make. */
export function engineOf(step: object): Engine | undefined {
  return engines.get(step);
}

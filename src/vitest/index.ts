/**
 * Matchers for compiled steps; importing it is enough. And a check that some work compiles nothing again.
 *
 * @module stepjit/vitest
 */
import { expect } from "vitest";
import { matchers, type StepMatchers } from "./matchers.ts";

export type { CompileCounts, Dumped, StepMatchers } from "./matchers.ts";
export { expectNoRecompiles } from "./no-recompiles.ts";

declare module "vitest" {
  interface Matchers<T> extends StepMatchers {}
}

expect.extend(matchers);

/** stepjit/vitest: matchers for compiled steps; importing it is enough. And a check that some work compiles nothing again. */
import { expect } from "vitest";
import { matchers, type StepMatchers } from "./matchers.ts";

export type { CompileCounts, Dumped, StepMatchers } from "./matchers.ts";
export { expectNoRecompiles } from "./no-recompiles.ts";

declare module "vitest" {
  interface Matchers<T> extends StepMatchers {}
}

expect.extend(matchers);

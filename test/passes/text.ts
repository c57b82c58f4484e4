/** Passes are tested on text: what goes in, what comes out. */
import { expect } from "vitest";
import type { Module } from "../../src/ir/module.ts";
import { parseModule } from "../../src/ir/parse.ts";
import { printModule } from "../../src/ir/print.ts";
import { verifyModule } from "../../src/ir/verify.ts";

export type Run = (module: Module) => Module;

const asModule = (funcs: string) => parseModule(`module "m"\n${funcs}`);

/** Lines of one class's body, with the inputs that most tests need. */
export const body = (lines: string) => `body "C" {\n${lines}\n}`;

/** Runs passes over functions; in and out both verify. Spaces do not count. */
export function through(runs: readonly Run[], funcs: string): string {
  const module = asModule(funcs);
  verifyModule(module);
  const result = runs.reduce((before, run) => run(before), module);
  verifyModule(result);
  return printModule(result);
}

export function expectText(actual: string, funcs: string): void {
  expect(actual).toBe(printModule(asModule(funcs)));
}

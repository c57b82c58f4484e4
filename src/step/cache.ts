/**
 * The compile caches, one of each a process: modules by definition, kernels by backend. Keys hold structure only (flags, dtypes,
 * step options, text), never a hyperparameter's value or a shape, so another instance or another model finds everything compiled.
 */
import type { Backend, Pipeline } from "../backends/backend.ts";
import type { Module } from "../ir/module.ts";
import { runPasses } from "../passes/pipeline.ts";
import type { AnyDefinition, TransformDefinition } from "../trace/definition.ts";
import { type ClassSpec, trace } from "../trace/trace.ts";

export interface Compiled {
  /** As traced. */
  readonly traced: Module;
  /** After all passes. */
  readonly module: Module;
}

const modules = new WeakMap<AnyDefinition, Map<string, Compiled>>();
const pipelines = new WeakMap<Backend, Map<string, Pipeline>>();

/** The module for these classes; `onTrace` hears of it if it had to be traced. */
export function compiledModule(
  definition: AnyDefinition,
  classes: readonly ClassSpec[],
  transforms: readonly TransformDefinition[],
  onTrace: (milliseconds: number) => void,
): Compiled {
  const known = modules.get(definition) ?? new Map<string, Compiled>();
  modules.set(definition, known);
  const key = [...classes, ...transforms].map(({ name }) => name).join("\n");
  let compiled = known.get(key);
  if (!compiled) {
    const start = performance.now();
    const traced = trace(definition, classes, transforms);
    compiled = { traced, module: runPasses(traced) };
    known.set(key, compiled);
    onTrace(performance.now() - start);
  }
  return compiled;
}

/** The pipelines that one backend has compiled, by text. */
export function pipelinesOf(backend: Backend): Map<string, Pipeline> {
  const known = pipelines.get(backend) ?? new Map<string, Pipeline>();
  pipelines.set(backend, known);
  return known;
}

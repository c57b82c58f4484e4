/**
 * The compile caches, one of each a process: modules by definition, texts by module, pipelines by backend. Keys hold structure only
 * (flags, dtypes, step options, text), never a hyperparameter's value or a shape, so another instance or another model finds
 * everything compiled.
 */
import type { Backend, ClassLayout, Numerics, PhaseText, Pipeline } from "../backends/backend.ts";
import type { Module } from "../ir/module.ts";
import { runPasses } from "../passes/pipeline.ts";
import { layoutOf } from "../plan/layout.ts";
import { worksOf } from "../plan/work.ts";
import type { AnyDefinition, TransformDefinition } from "../trace/definition.ts";
import { type ClassSpec, trace } from "../trace/trace.ts";

export interface Compiled {
  /** As traced. */
  readonly traced: Module;
  /** After all passes. */
  readonly module: Module;
  /** One a class. */
  readonly layouts: readonly ClassLayout[];
  /** By what a text depends on besides the module. */
  readonly texts: Map<string, readonly PhaseText[]>;
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
  const known = entryOf(modules, definition);
  const key = [...classes, ...transforms].map(({ name }) => name).join("\n");
  let compiled = known.get(key);
  if (!compiled) {
    const start = performance.now();
    const traced = trace(definition, classes, transforms);
    const module = runPasses(traced);
    const layouts = classes.map(({ name, dtype, view }) => layoutOf(module, name, dtype, view));
    compiled = { traced, module, layouts, texts: new Map() };
    known.set(key, compiled);
    onTrace(performance.now() - start);
  }
  return compiled;
}

/** The kernels of a module as one backend prints them. */
export function textsFor(
  { module, layouts, texts }: Compiled,
  backend: Backend,
  numerics: Numerics,
): readonly PhaseText[] {
  const key = `${backend.target} ${numerics}`;
  const printed =
    texts.get(key) ?? worksOf(module, layouts).flatMap((work) => backend.emit(work, layouts, numerics));
  texts.set(key, printed);
  return printed;
}

/** The pipelines that one backend has compiled, by text. */
export function pipelinesOf(backend: Backend): Map<string, Pipeline> {
  return entryOf(pipelines, backend);
}

function entryOf<K extends WeakKey, V>(map: WeakMap<K, Map<string, V>>, key: K): Map<string, V> {
  const known = map.get(key) ?? new Map<string, V>();
  map.set(key, known);
  return known;
}

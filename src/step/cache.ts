/**
 * The compile caches, one of each a process: modules by definition, texts by module, pipelines by backend. Keys hold structure only
 * (flags, dtypes, step options, text), never a hyperparameter's value or a shape, so another instance or another model finds
 * everything compiled.
 */
import type { Backend, ClassLayout, Numerics, PhaseText, Pipeline } from "../backends/backend.ts";
import type { Module } from "../ir/module.ts";
import { offload } from "../passes/offload.ts";
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

/** Where a module's programs run, and which hyperparameter members live there. */
export interface Residence {
  readonly programs: Backend["programs"];
  readonly hypers: readonly string[];
}

interface Known {
  readonly traced: Module;
  readonly compiled: Map<string, Compiled>;
}

const modules = new WeakMap<AnyDefinition, Map<string, Known>>();
const pipelines = new WeakMap<Backend, Map<string, Pipeline>>();

/** Hears of what has to be done anew. */
export interface CompileListener {
  readonly onTrace?: (milliseconds: number) => void;
  readonly onPass?: (pass: string, before: Module, after: Module) => void;
}

/** The module for these classes. */
export function compiledModule(
  definition: AnyDefinition,
  classes: readonly ClassSpec[],
  transforms: readonly TransformDefinition[],
  residence: Residence,
  { onTrace, onPass }: CompileListener = {},
): Compiled {
  const all = entryOf(modules, definition);
  const key = [...classes, ...transforms].map(({ name }) => name).join("\n");
  const start = performance.now();
  const before = all.get(key);
  const known = before ?? { traced: trace(definition, classes, transforms), compiled: new Map() };
  all.set(key, known);
  const form = `${residence.programs} ${residence.hypers}`;
  const compiled = known.compiled.get(form) ?? compile(known.traced, classes, residence, onPass);
  known.compiled.set(form, compiled);
  if (!before) onTrace?.(performance.now() - start);
  return compiled;
}

function compile(
  traced: Module,
  classes: readonly ClassSpec[],
  { programs, hypers }: Residence,
  onPass: CompileListener["onPass"],
): Compiled {
  const passed = runPasses(traced, ({ name }, result, before) => onPass?.(name, before, result));
  const module = programs === "device" ? offload(passed, new Set(hypers)) : passed;
  if (programs === "device") onPass?.("offload", passed, module);
  const layouts = classes.map(({ name, dtype, view }) => layoutOf(module, name, dtype, view));
  return { traced, module, layouts, texts: new Map() };
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

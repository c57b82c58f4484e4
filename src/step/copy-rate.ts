/** How fast a machine copies: the maths `param' = grad`, compiled and launched like any other, over tensors too large for its caches. */
import type { Backend, PhaseText, Pipeline, Storage } from "../backends/backend.ts";
import { vectorDims } from "../ir/dims.ts";
import { Plan } from "../plan/plan.ts";
import type { AnyDefinition } from "../trace/definition.ts";
import { compiledModule, pipelinesOf, textsFor } from "./cache.ts";
import { LaunchTimes } from "./launch-times.ts";

const copy: AnyDefinition = { name: "Copy", hyper: {}, update: ({ grad }) => grad };
const copies = [{ name: "Copy f32", dtype: "f32", flags: {}, view: "vector" }] as const;

/** Bytes of each of the two tensors: the last that fits in memory, and is not copied so slowly that caches do not matter. */
const SIZES = [1, 4, 16, 64].map((mebibytes) => mebibytes * 2 ** 20);
const SLOW_MILLISECONDS = 25;
/** Copies before those that count, and a pause in which threads may start: in a browser they do while nobody works. */
const WARM_UP = 3;
const PAUSE_MILLISECONDS = 20;
const COUNTED = 9;

const rates = new WeakMap<Backend, Map<number, Promise<number | null>>>();

/**
 * Bytes a second, those read and those written, that `threads` of a backend copy; null where nothing measures launches, or there is
 * no memory. Measured once a process, in up to 2 x 64 MiB that are given back. No step and no listener hears of it.
 */
export function copyRate(backend: Backend, threads: number): Promise<number | null> {
  const known = rates.get(backend) ?? new Map<number, Promise<number | null>>();
  rates.set(backend, known);
  const used = Math.min(threads, backend.threads);
  const rate = known.get(used) ?? measure(backend, used);
  known.set(used, rate);
  return rate;
}

async function measure(backend: Backend, threads: number): Promise<number | null> {
  let rate: number | null = null;
  for (const bytes of SIZES) {
    const milliseconds = await timeOfCopy(backend, threads, bytes / 4).catch(() => undefined);
    if (milliseconds === undefined) break;
    rate = (2 * bytes) / (milliseconds / 1000);
    if (milliseconds > SLOW_MILLISECONDS) break;
  }
  return rate;
}

/** Milliseconds, the median of several; undefined where nobody measured. Rejects where there is no memory. */
async function timeOfCopy(backend: Backend, threads: number, elements: number): Promise<number | undefined> {
  const plan = planOf(backend, elements);
  const times = new LaunchTimes(backend);
  const tensors: Storage[] = [];
  let failure: unknown;
  plan.onFailure = (error) => {
    failure = error;
  };
  try {
    for (const role of ["param", "grad"]) {
      const storage = allocate(backend, elements);
      tensors.push(storage);
      storage.fill(1); // memory that was never written may be one page of zeros, in the caches
      plan.bind(0, role, storage);
    }
    plan.assignRows();
    for (let i = 0; i < WARM_UP; i++) plan.run(threads);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MILLISECONDS));
    for (let i = 0; i < COUNTED; i++) plan.run(threads, times);
    await backend.finished();
    if (failure) throw failure;
    const measured = (await times.read()).flatMap(({ ran }) => (ran ? [ran.end - ran.begin] : []));
    return measured.sort((a, b) => a - b)[measured.length >> 1];
  } finally {
    plan.dispose();
    times.dispose();
    for (const storage of tensors) storage.free();
  }
}

function allocate(backend: Backend, elements: number): Storage {
  return backend.allocateScratch?.("f32", elements) ?? backend.allocate("f32", elements);
}

function planOf(backend: Backend, elements: number): Plan {
  const compiled = compiledModule(copy, copies, [], { programs: backend.programs, hypers: [] });
  const cache = pipelinesOf(backend);
  const pipelineOf = ({ text }: PhaseText): Pipeline => {
    const pipeline = cache.get(text) ?? backend.compile(text);
    cache.set(text, pipeline);
    return pipeline;
  };
  const gradient = {
    name: "copied",
    elements,
    dims: vectorDims(elements),
    classIndex: 0,
    group: 0,
    scaled: undefined,
    active: true,
    first: false,
    present: true,
    summed: false,
    numbers: new Map(),
  };
  return new Plan(
    {
      module: compiled.module,
      classes: compiled.layouts,
      parameters: [gradient],
      counts: new Float64Array(1),
      groups: [new Float64Array(0)],
      hyperNames: [],
      numberTypes: new Map(),
      stepHyper: new Map(),
    },
    backend,
    textsFor(compiled, backend, "default"),
    pipelineOf,
  );
}

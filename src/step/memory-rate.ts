/**
 * How fast a machine moves numbers through its memory: what a step is to be compared with. Two kinds of traffic without maths to speak of
 * are compiled and launched like any step, over tensors too large for the caches, and the faster counts.
 */
import type { Backend, ClassLayout, PhaseText, Pipeline, Storage } from "../backends/backend.ts";
import { vectorDims } from "../ir/dims.ts";
import { trafficOf } from "../plan/layout.ts";
import { Plan } from "../plan/plan.ts";
import type { AnyDefinition } from "../trace/definition.ts";
import { type Compiled, compiledModule, pipelinesOf, textsFor } from "./cache.ts";
import { LaunchTimes } from "./launch-times.ts";

/** One tensor into another. A processor reads the lines that it is about to write, too, so in place it moves more that counts. */
const copy: AnyDefinition = { name: "Copy", hyper: {}, update: ({ grad }) => grad };

/** What Adam reads and writes: three tensors in place, and one that is only read. */
const stream: AnyDefinition = {
  name: "Stream",
  hyper: {},
  state: { a: {}, b: {} },
  update({ param, grad, state }) {
    "use stepjit";
    state.a = (state.a as number) + grad;
    state.b = (state.b as number) + grad;
    return param + grad;
  },
};

/** Bytes of all tensors together: the last that fits in memory, and is not moved so slowly that caches do not matter. */
const SIZES = [2, 8, 32, 128].map((mebibytes) => mebibytes * 2 ** 20);
const SLOW_MILLISECONDS = 25;
/** Runs before those that count, and a pause in which threads may start: in a browser they do while nobody works. */
const WARM_UP = 3;
const PAUSE_MILLISECONDS = 20;
const COUNTED = 9;

const rates = new WeakMap<Backend, Map<number, Promise<number | null>>>();

/**
 * Bytes a second, those read and those written, that `threads` of a backend move; null where nothing measures launches, or there is
 * no memory. Measured once a process, in up to 128 MiB that are given back. No step and no listener hears of it.
 */
export function memoryRate(backend: Backend, threads: number): Promise<number | null> {
  const known = rates.get(backend) ?? new Map<number, Promise<number | null>>();
  rates.set(backend, known);
  const used = Math.min(threads, backend.threads);
  const rate = known.get(used) ?? measure(backend, used);
  known.set(used, rate);
  return rate;
}

async function measure(backend: Backend, threads: number): Promise<number | null> {
  const copied = await rateOf(copy, backend, threads);
  const streamed = await rateOf(stream, backend, threads);
  return copied === null || streamed === null ? (copied ?? streamed) : Math.max(copied, streamed);
}

async function rateOf(traffic: AnyDefinition, backend: Backend, threads: number): Promise<number | null> {
  const probe = new Probe(traffic, backend, threads);
  let rate: number | null = null;
  for (const bytes of SIZES) {
    const measured = await probe.measure(bytes).catch(() => undefined);
    if (measured === undefined) break;
    rate = measured.bytesMoved / (measured.milliseconds / 1000);
    if (measured.milliseconds > SLOW_MILLISECONDS) break;
  }
  return rate;
}

class Probe {
  readonly #backend: Backend;
  readonly #threads: number;
  readonly #compiled: Compiled;
  readonly #layout: ClassLayout;

  constructor(traffic: AnyDefinition, backend: Backend, threads: number) {
    const only = { name: `${traffic.name} f32`, dtype: "f32", flags: {}, view: "vector" } as const;
    this.#backend = backend;
    this.#threads = threads;
    this.#compiled = compiledModule(traffic, [only], [], { programs: backend.programs, hypers: [] });
    this.#layout = this.#compiled.layouts[0] as ClassLayout;
  }

  /** The median of several runs; undefined where nobody measured. Rejects where there is no memory. */
  async measure(bytes: number): Promise<{ bytesMoved: number; milliseconds: number } | undefined> {
    const { roles } = this.#layout;
    const elements = bytes / 4 / roles.length;
    const plan = this.#plan(elements);
    const times = new LaunchTimes(this.#backend);
    const tensors: Storage[] = [];
    let failure: unknown;
    plan.onFailure = (error) => {
      failure = error;
    };
    try {
      for (const role of roles) {
        const storage = this.#allocate(elements);
        tensors.push(storage);
        storage.fill(1); // memory that was never written may be one page of zeros, in the caches
        plan.bind(0, role, storage);
      }
      plan.assignRows();
      for (let i = 0; i < WARM_UP; i++) plan.run(this.#threads);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MILLISECONDS));
      for (let i = 0; i < COUNTED; i++) plan.run(this.#threads, times);
      await this.#backend.finished();
      if (failure) throw failure;
      const measured = (await times.read()).flatMap(({ ran }) => (ran ? [ran.end - ran.begin] : []));
      const milliseconds = measured.sort((a, b) => a - b)[measured.length >> 1];
      return milliseconds === undefined
        ? undefined
        : { milliseconds, bytesMoved: this.#bytesMoved(elements) };
    } finally {
      plan.dispose();
      times.dispose();
      for (const storage of tensors) storage.free();
    }
  }

  #bytesMoved(elements: number): number {
    return trafficOf(this.#compiled.module, this.#layout).moved(vectorDims(elements));
  }

  #allocate(elements: number): Storage {
    return this.#backend.allocateScratch?.("f32", elements) ?? this.#backend.allocate("f32", elements);
  }

  #plan(elements: number): Plan {
    const cache = pipelinesOf(this.#backend);
    const pipelineOf = ({ text }: PhaseText): Pipeline => {
      const pipeline = cache.get(text) ?? this.#backend.compile(text);
      cache.set(text, pipeline);
      return pipeline;
    };
    const parameter = {
      name: "moved",
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
        module: this.#compiled.module,
        classes: this.#compiled.layouts,
        parameters: [parameter],
        counts: new Float64Array(1),
        groups: [new Float64Array(0)],
        hyperNames: [],
        numberTypes: new Map(),
        stepHyper: new Map(),
      },
      this.#backend,
      textsFor(this.#compiled, this.#backend, "default"),
      pipelineOf,
    );
  }
}

/** What makes torch.compile compile an optimizer's step again: here nothing is traced and no kernel compiled after the first step. */
import {
  type Backend,
  compileStep,
  loadSafetensors,
  type Optimizer,
  type SavedState,
  type Step,
  StepjitError,
  saveSafetensors,
  scalar,
} from "stepjit";
import { CyclicLR, OneCycleLR } from "stepjit/schedulers";
import { expectNoRecompiles } from "stepjit/vitest";
import { describe, expect, test } from "vitest";
import { memberNames } from "../../src/trace/definition.ts";
import { BACKENDS, tensorOn } from "../backends.ts";
import { fresh } from "../fresh.ts";
import { numbersFrom } from "../properties/scenario.ts";
import { type AnyOptimizerClass, CASES } from "./subjects.ts";
import { membersOf } from "./training.ts";

type Shapes = readonly (readonly number[])[];
const SHAPES: Shapes = [[5, 3], [7], [2, 3, 4], []];

/** An optimizer of a class that was never traced, after its first step. */
class Bench {
  readonly backend: Backend;
  readonly optimizer: Optimizer;
  readonly step: Step;
  readonly #make: AnyOptimizerClass;
  readonly #options: object;
  readonly #others: Step[] = [];
  #seed = 0;

  constructor(make: AnyOptimizerClass, options: object, backend: Backend) {
    this.#make = fresh(make);
    this.#options = options;
    this.backend = backend;
    this.optimizer = this.instance(SHAPES);
    this.step = compileStep(this.optimizer, { backend });
  }

  static async start(make: AnyOptimizerClass, options: object, backend: Backend): Promise<Bench> {
    const bench = new Bench(make, options, backend);
    await bench.run();
    return bench;
  }

  /** Another optimizer of the class, in two groups; `numbers` are other than the bench's. */
  instance(shapes: Shapes, numbers: object = {}): Optimizer {
    const params = shapes.map((shape) => this.filled(shape));
    return new this.#make([{ params: params.slice(0, 2) }, { params: params.slice(2) }], {
      ...this.#options,
      ...numbers,
    });
  }

  /** Another compiled step, of which nothing may be compiled at all. */
  compile(optimizer: Optimizer): Step {
    const step = compileStep(optimizer, { backend: this.backend });
    this.#others.push(step);
    return step;
  }

  /** A step, with gradients where `present` says so. */
  async run(
    { step, optimizer }: Pick<Bench, "step" | "optimizer"> = this,
    present = (_: number) => true,
  ): Promise<void> {
    step(
      optimizer.parameters.map(({ elements }, index) =>
        present(index) ? numbersFrom(this.#seed++, elements, false) : null,
      ),
    );
    await step.finished();
  }

  filled(shape: readonly number[]) {
    const size = shape.reduce((product, axis) => product * axis, 1);
    return tensorOn(this.backend, numbersFrom(this.#seed++, size, false), shape);
  }

  /** What was traced or compiled for the other steps' first calls, which is no recompile. */
  get compiledByOthers() {
    return this.#others.flatMap(({ events }) => events.filter(({ kind }) => kind !== "plan"));
  }
}

/** Each is followed by a step. */
const EVENTS: Readonly<Record<string, (bench: Bench) => void | Promise<void>>> = {
  "gradients that come and go": async (bench) => {
    for (const present of [[], [0], [1, 2, 3], [2], [0, 1, 2, 3]])
      await bench.run(bench, (index) => present.includes(index));
  },

  "gradients that are other objects": async (bench) => {
    for (let i = 0; i < 2; i++) {
      for (const { tensor } of bench.optimizer.parameters) tensor.grad = bench.filled(tensor.shape);
      bench.step();
      await bench.step.finished();
      await bench.run();
    }
  },

  "state that is replaced": async ({ optimizer }) => {
    const { state, param_groups } = await optimizer.stateDict();
    const replaced = Object.entries(state).map(([id, slots]) => [id, mapNumbers(slots, (x) => 2 * x)]);
    optimizer.loadStateDict({ state: Object.fromEntries(replaced), param_groups });
  },

  "state that is taken away": async ({ optimizer }) => {
    const { param_groups } = await optimizer.stateDict();
    optimizer.loadStateDict({ state: {}, param_groups });
  },

  "a state dict, loaded": async ({ optimizer }) => {
    optimizer.loadStateDict(structuredClone(await optimizer.stateDict()));
  },

  "a file, loaded": async ({ optimizer }) => {
    loadSafetensors(optimizer, await saveSafetensors(optimizer));
  },

  "a new instance": async (bench) => {
    const shapes = [[9], [4, 4], [300, 70], [1]]; // of Adafactor's classes the other one comes first
    const optimizer = bench.instance(shapes, { lr: 0.5 });
    await bench.run({ optimizer, step: bench.compile(optimizer) });
  },

  "a new instance that goes on from a file": async (bench) => {
    const optimizer = bench.instance(SHAPES);
    loadSafetensors(optimizer, await saveSafetensors(bench.optimizer));
    await bench.run({ optimizer, step: bench.compile(optimizer) });
  },

  "a second step of the same optimizer": async (bench) => {
    const { optimizer } = bench;
    const step = bench.compile(optimizer);
    await bench.run({ optimizer, step });
    await bench.run();
    await bench.run({ optimizer, step });
  },

  "a param group that is added": (bench) => {
    bench.optimizer.addParamGroup({ params: [bench.filled([2, 2]), bench.filled([9])], lr: 0.01 } as never);
  },

  "every number of every group": async (bench) => {
    const { hyper } = bench.optimizer.definition;
    for (const group of bench.optimizer.paramGroups)
      for (const [name, spec] of Object.entries(hyper)) {
        const members = membersOf(group.settings[name]);
        const values = [0.99, 1.01, 0.5, 0, 1].map((factor) => {
          const changed = members.map((number) => number && number * factor);
          return Array.isArray(spec.default) ? changed : changed[0];
        });
        let taken = 0;
        for (const value of values) {
          if (!accepts(() => group.assign({ [name]: value }))) continue;
          await bench.run();
          taken++;
        }
        expect(taken, name).toBeGreaterThan(2); // one of them is what it was
      }
  },

  "numbers that become scalars": async (bench) => {
    const scalars = bench.optimizer.paramGroups.map((group) => {
      const lr = scalar(lrOf(bench.optimizer));
      group.assign({ lr });
      return lr;
    });
    for (const factor of [0.5, 0, 2]) {
      await bench.run();
      for (const lr of scalars) lr.value *= factor;
    }
  },

  OneCycleLR: (bench) =>
    cycle(bench, (options) => new OneCycleLR(bench.optimizer, { ...options, totalSteps: 6 })),

  CyclicLR: (bench) =>
    cycle(bench, (options) => new CyclicLR(bench.optimizer, { ...options, baseLr: 1e-3, stepSizeUp: 2 })),
};

/** Six steps under a scheduler that cycles lr and, where there is any, momentum or the first beta. */
async function cycle(
  bench: Bench,
  schedule: (options: { maxLr: number; cycleMomentum: boolean }) => { step(): void },
): Promise<void> {
  const { optimizer } = bench;
  const members = Object.entries(optimizer.definition.hyper).flatMap(([name, spec]) =>
    memberNames(name, spec.default),
  );
  const momentum = members.find((name) => name === "betas.0" || name === "momentum");
  const scheduler = schedule({ maxLr: 0.1, cycleMomentum: momentum !== undefined });
  const seen = new Set<string>();
  for (let i = 0; i < 6; i++) {
    const { lr, betas, momentum } = optimizer.paramGroups[0]?.settings ?? {};
    seen.add(JSON.stringify(betas ?? momentum ?? lr));
    await bench.run();
    scheduler.step();
  }
  expect(seen.size).toBeGreaterThan(2);
}

function lrOf({ paramGroups }: Optimizer): number {
  return paramGroups[0]?.settings.lr as number;
}

function mapNumbers(slots: SavedState, change: (x: number) => number): SavedState {
  return Object.fromEntries(
    Object.entries(slots).map(([slot, value]) => [
      slot,
      typeof value === "object" && value !== null
        ? { ...value, data: value.data.map(change) as typeof value.data }
        : value && change(value),
    ]),
  );
}

/** False where the numbers are not allowed. */
function accepts(assign: () => void): boolean {
  try {
    assign();
    return true;
  } catch (error) {
    if (error instanceof StepjitError && error.code === "invalid-hyperparameter") return false;
    throw error;
  }
}

describe.each(BACKENDS)("on $name", (on) => {
  describe.each(CASES)("$name", ({ make, subject }) => {
    test.each(Object.entries(EVENTS))("%s", async (_, event) => {
      const bench = await Bench.start(make, subject.options, on.make());
      expect(bench.step.stats.traces).toBe(1);
      expect(bench.step.stats.kernels).toBeGreaterThan(0);
      await expectNoRecompiles(async () => {
        await event(bench);
        await bench.run();
      });
      expect(bench.compiledByOthers).toEqual([]);
    });
  });
});

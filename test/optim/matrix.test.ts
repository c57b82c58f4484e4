/**
 * Every optimizer in every way of using it, on every backend: it solves a small convex problem, agrees with the evaluator step by
 * step, and compiles nothing after its first step.
 */
import { wasm } from "stepjit";
import { afterAll, describe, expect, test } from "vitest";
import { simplify } from "../../src/passes/simplify.ts";
import { CHUNK_ELEMENTS } from "../../src/plan/chunks.ts";
import { BACKENDS, type TestedBackend } from "../backends.ts";
import { expectClose, expectSame } from "../properties/compare.ts";
import { CASES, OPTIMIZERS, SUBJECTS } from "./subjects.ts";
import { type Run, train } from "./training.ts";
import { trainOnOracle } from "./training-oracle.ts";

/**
 * How far a backend may be from the maths as it was written, which simplify changes by a rounding here and there, after COMPARED
 * steps; worst seen: 1.1e-6 and 1.0e-15. Where arithmetic is exact, nothing else separates a backend from the maths as simplified:
 * element-wise work has the same bits, and a sum in f64 may be added in another order.
 */
const AS_WRITTEN = { single: 2e-6, double: 1e-14 };

/** A sum in another order rounds to a neighbour at times: two roundings of f32, and of f64 in ten steps some ten. */
const OTHER_ORDER = { single: 1.2e-7, double: 4e-15 };

/** Full vectors of lanes and odd ones, a matrix, a stack of them, a convolution's kernel (its largest axes are apart), a number. */
const SHAPES = [[7], [5, 3], [2, 3, 3], [4, 2, 3, 2], [], [16]];
const ONE_GROUP = { parameters: SHAPES.map((shape) => ({ shape })), groups: 1, steps: 40 };
/** Of two dtypes each, where there are two. */
const TWO_GROUPS = {
  parameters: SHAPES.map((shape, index) => ({ shape, double: index % 4 >= 2 })),
  groups: 2,
  steps: 40,
};

/** A run, of as many groups. */
type RowRun = Omit<Run, "groups"> & { readonly groups: number; readonly decay?: number };

interface Row {
  readonly needs?: "weightDecay" | "maximize";
  readonly run: RowRun;
  /** A run that gives the same bits. */
  readonly like?: RowRun;
  /** Too short to converge. */
  readonly short?: true;
}

/** One parameter begins late, one step has no gradients at all. */
const holes = (step: number, index: number) =>
  (index === 1 ? step > 7 : (step + index) % 4 !== 0) && step !== 3;

const ROWS: Readonly<Record<string, Row>> = {
  "no decay": { run: ONE_GROUP },
  decay: { needs: "weightDecay", run: { ...ONE_GROUP, decay: 0.01 } },
  maximize: { needs: "maximize", run: { ...ONE_GROUP, maximize: true }, like: ONE_GROUP },
  groups: { run: TWO_GROUPS },
  "tensor hyperparameters": {
    run: { ...TWO_GROUPS, decay: 0.01, varied: true, scalars: true },
    like: { ...TWO_GROUPS, decay: 0.01, varied: true },
  },
  "missing gradients": { run: { ...ONE_GROUP, present: holes } },
  "resume from a file": {
    run: { ...TWO_GROUPS, present: holes, resumeAfter: 5 },
    like: { ...TWO_GROUPS, present: holes },
  },
  "more than a chunk": {
    run: { parameters: [{ shape: [131, 127] }, { shape: [3] }], groups: 1, steps: 2 },
    short: true,
  },
};

/** Steps that are compared with the evaluator's: it is slow. */
const COMPARED = 10;

test("every optimizer is in the table, and nothing else", () => {
  expect(Object.keys(SUBJECTS).sort()).toEqual([...OPTIMIZERS.keys()].sort());
});

test("one row has more than a chunk", () => {
  expect(131 * 127).toBeGreaterThan(CHUNK_ELEMENTS);
});

describe.each(CASES)("$name", ({ make, subject }) => {
  const { hyper, flags = {} } = make.definition;
  const elementWise = subject.launches === undefined;

  function runOf({ groups, decay = 0, parameters, ...rest }: RowRun, { doubles }: TestedBackend): Run {
    const first = { ...subject.options, ...("weightDecay" in hyper && { weightDecay: decay }) };
    const second = { ...first, ...subject.second };
    return {
      ...rest,
      parameters: parameters.map((one) => (doubles ? one : { ...one, double: false })),
      groups: [first, second].slice(0, groups),
    };
  }

  const outcomes = new Map<RowRun, Map<TestedBackend, ReturnType<typeof train>>>();
  afterAll(() => outcomes.clear());

  /** Rows that are like each other share a run. */
  function outcomeOf(row: RowRun, on: TestedBackend) {
    const known = outcomes.get(row) ?? new Map<TestedBackend, ReturnType<typeof train>>();
    outcomes.set(row, known);
    const outcome = known.get(on) ?? train(make, runOf(row, on), on.backend);
    known.set(on, outcome);
    return outcome;
  }

  const rows = Object.entries(ROWS).filter(([, { needs }]) => !needs || needs in hyper || needs in flags);
  describe.each(rows)("%s", (_, { run: row, like, short }) => {
    const steps = Math.min(row.steps, COMPARED);
    const written = byDoubles((on) => trainOnOracle(make, runOf(row, on), steps));
    const simplified = byDoubles((on) => trainOnOracle(make, runOf(row, on), steps, simplify));

    test.each(BACKENDS)("on $name", async (on) => {
      const { snapshots, losses, events } = await outcomeOf(row, on);
      if (!short) expect(losses.at(-1)).toBeLessThan(0.1 * (losses[0] as number));
      const compared = snapshots.slice(0, steps);
      expectClose(compared, written(on), { ...AS_WRITTEN, single: AS_WRITTEN.single * on.slack });
      if (on.exact && elementWise) expectSame(compared, simplified(on));
      else if (on.exact) expectClose(compared, simplified(on), OTHER_ORDER);
      expect(events).toEqual([]);
      if (like) expectSame(snapshots, (await outcomeOf(like, on)).snapshots);
    });
  });
});

describe("on wasm, two threads give the bits of one", () => {
  const backend = wasm({ threads: 2 });
  afterAll(() => backend.dispose());
  /** Enough for a second thread to join in. */
  const parameters = [[100_003], [2, 131, 127], [33], [7, 9, 3, 3]].map((shape) => ({ shape }));

  test.each(CASES)("$name", async ({ make, subject: { options } }) => {
    const run = { parameters, groups: [options], steps: 3 };
    const one = await train(make, run, backend);
    const two = await train(make, run, backend, { threads: 2, pause: 10 });
    expectSame(two.snapshots, one.snapshots);
  });
});

/** What the evaluator says is the same for all backends that have the same dtypes. */
function byDoubles<T>(make: (on: TestedBackend) => T): (on: TestedBackend) => T {
  const made = new Map<boolean, T>();
  return (on) => {
    const value = made.get(on.doubles) ?? make(on);
    made.set(on.doubles, value);
    return value;
  };
}

/** The optimizers beyond torch against their papers, in plain JavaScript (paper.ts). */
import "stepjit/vitest";
import {
  AdaBelief,
  AdamW,
  Adan,
  compileStep,
  LAMB,
  LARS,
  Lion,
  type Optimizer,
  ScheduleFreeAdamW,
  StepjitError,
  type Tensor,
  tensor,
} from "stepjit";
import { describe, expect, test } from "vitest";
import { at, expectClose, numbers } from "../models.ts";
import { type Options, PAPER, PaperParameter } from "./paper.ts";

const TOLERANCE = { float32: 2e-6, float64: 1e-12 } as const;
type DType = keyof typeof TOLERANCE;
type Settings = Partial<Options>;

/** A class of any of the optimizers: what their types tell apart is checked in types.test-d.ts. */
type AnyClass = new (params: object, options?: object) => Optimizer;

interface Subject {
  readonly make: AnyClass;
  readonly launches: number;
  /** Options besides the defaults, of one group or of two. */
  readonly cases: Readonly<Record<string, readonly Settings[]>>;
  /** What is set on the first group in the midst of training. */
  readonly later: Settings;
  /** With which a quadratic is minimized, in how many steps. */
  readonly descent: { readonly options: Settings; readonly steps: number };
}

const SUBJECTS: Record<keyof typeof PAPER, Subject> = {
  Lion: {
    make: Lion as never,
    launches: 1,
    cases: {
      defaults: [{}],
      "weight decay": [{ lr: 1e-2, weightDecay: 0.3, betas: [0.8, 0.95] }],
      "two groups": [{ lr: 1e-2 }, { lr: 1e-3, weightDecay: 0.1, betas: [0, 0.9] }],
      maximize: [{ lr: 1e-2, maximize: true, weightDecay: 0.1 }, {}],
    },
    later: { lr: 3e-3, betas: [0.5, 0.9], weightDecay: 0.2 },
    descent: { options: { lr: 0.01 }, steps: 300 },
  },
  LAMB: {
    make: LAMB as never,
    launches: 2,
    cases: {
      defaults: [{}],
      "no weight decay": [{ lr: 1e-2, weightDecay: 0 }],
      "two groups": [
        { lr: 1e-2, weightDecay: 0.1 },
        { betas: [0.8, 0.9], eps: 1e-3 },
      ],
      "a group that is not adaptive": [{ lr: 1e-2 }, { lr: 1e-2, adaptive: false, weightDecay: 0 }],
      maximize: [
        { lr: 1e-2, maximize: true },
        { adaptive: false, maximize: true },
      ],
    },
    later: { lr: 5e-3, betas: [0.7, 0.95], eps: 1e-4, weightDecay: 0 },
    descent: { options: { lr: 0.03, weightDecay: 0 }, steps: 150 },
  },
  LARS: {
    make: LARS as never,
    launches: 2,
    cases: {
      defaults: [{}],
      "weight decay and momentum": [{ lr: 2, momentum: 0.9, weightDecay: 1e-2 }],
      nesterov: [{ momentum: 0.9, nesterov: true, trustCoefficient: 1e-2 }],
      dampening: [{ momentum: 0.8, dampening: 0.4, weightDecay: 0.1, eps: 1e-2 }],
      "a group that is not adaptive": [
        { momentum: 0.9, weightDecay: 0.1 },
        { lr: 0.1, momentum: 0.5, adaptive: false },
      ],
      maximize: [
        { momentum: 0.9, maximize: true },
        { lr: 0.1, weightDecay: 0.1, maximize: true },
      ],
    },
    later: { lr: 0.5, weightDecay: 0.2, trustCoefficient: 5e-3, eps: 1e-6 },
    descent: { options: { lr: 20, momentum: 0.8 }, steps: 150 },
  },
  Adan: {
    make: Adan as never,
    launches: 1,
    cases: {
      defaults: [{}],
      "proximal weight decay": [{ lr: 1e-2, weightDecay: 0.5 }],
      noProx: [{ lr: 1e-2, weightDecay: 0.5, noProx: true }],
      "two groups": [{ betas: [0.9, 0.8, 0.95] }, { lr: 1e-2, eps: 1e-4, betas: [0, 0.5, 0.9] }],
      maximize: [{ lr: 1e-2, maximize: true }],
    },
    later: { lr: 5e-3, betas: [0.9, 0, 0.95], eps: 1e-6, weightDecay: 0.1 },
    descent: { options: { lr: 0.05 }, steps: 150 },
  },
  AdaBelief: {
    make: AdaBelief as never,
    launches: 1,
    cases: {
      defaults: [{}],
      "weight decay": [{ lr: 1e-2, weightDecay: 0.3 }],
      "weight decay in the gradient": [
        { lr: 1e-2, weightDecay: 0.3, decoupledWeightDecay: false, eps: 1e-8 },
      ],
      amsgrad: [{ lr: 1e-2, amsgrad: true, betas: [0.8, 0.5] }],
      "two groups": [{ eps: 1e-3 }, { lr: 1e-2, betas: [0.5, 0.9], eps: 1e-8 }],
      maximize: [{ lr: 1e-2, maximize: true, weightDecay: 0.1 }],
    },
    later: { lr: 5e-3, betas: [0.7, 0.95], eps: 1e-6, weightDecay: 0.1 },
    descent: { options: { lr: 0.05 }, steps: 150 },
  },
  ScheduleFreeAdamW: {
    make: ScheduleFreeAdamW as never,
    launches: 1,
    cases: {
      defaults: [{}],
      "warmup and weight decay": [{ lr: 1e-2, warmupSteps: 5, weightDecay: 0.3 }],
      weighting: [{ lr: 1e-2, warmupSteps: 4, r: 1, weightLrPower: 1 }],
      "two groups": [{ betas: [0.8, 0.9] }, { lr: 1e-2, eps: 1e-4, warmupSteps: 20 }],
      maximize: [{ lr: 1e-2, maximize: true }],
      "lr 0": [{ lr: 0 }],
    },
    later: { lr: 5e-3, eps: 1e-6, weightDecay: 0.1, r: 0.5, weightLrPower: 1, warmupSteps: 9 },
    descent: { options: { lr: 0.1 }, steps: 150 },
  },
};

interface Shape {
  readonly shape: readonly number[];
  /** Whether there is a gradient in a step (from 1); default: in all. */
  readonly active?: (step: number) => boolean;
  /** Starts as zeros. */
  readonly zero?: true;
  /** Its gradients are zeros. */
  readonly still?: true;
}

/** One of them takes more than one chunk, and few steps: the reference is slow. */
const PARAMETERS: readonly Shape[] = [
  { shape: [3, 4] },
  { shape: [7], active: (step) => step >= 3 },
  { shape: [], active: (step) => step !== 2 && step !== 5 },
  { shape: [2, 3, 5], zero: true },
  { shape: [0] },
  { shape: [131, 127], active: (step) => step % 5 === 1 },
  { shape: [5], still: true },
];

const STEPS = 12;

function arrayOf(dtype: DType, values: readonly number[]): Float32Array | Float64Array {
  return dtype === "float32" ? Float32Array.from(values) : Float64Array.from(values);
}

const sizeOf = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1);

/** The parameters dealt out over the groups in turn, and each beside its paper. */
function start(name: keyof typeof PAPER, groups: readonly Settings[], dtype: DType) {
  const tensors = PARAMETERS.map(({ shape, zero }, index) => {
    const values = numbers(sizeOf(shape), index + 1);
    return tensor(zero ? values.map(() => 0) : values, shape, dtype);
  });
  const groupOf = tensors.map((_, index) => index % groups.length);
  const params = groups.map((options, group) => ({
    params: Object.fromEntries(
      tensors.flatMap((one, index) => (groupOf[index] === group ? [[`p${index}`, one]] : [])),
    ),
    ...options,
  }));
  const optimizer = new SUBJECTS[name].make(params);
  const papers = tensors.map(({ data }) => new PaperParameter(PAPER[name], data));
  return { tensors, papers, optimizer, groupOf };
}

/** The gradients of a step (from 1), by name. */
function gradientsOf(step: number, dtype: DType): Record<string, Float32Array | Float64Array | null> {
  return Object.fromEntries(
    PARAMETERS.map(({ shape, active, still }, index) => {
      const values = numbers(sizeOf(shape), 100 * step + index);
      const present = active?.(step) ?? true;
      return [`p${index}`, present ? arrayOf(dtype, still ? values.map(() => 0) : values) : null];
    }),
  );
}

/** One step of the papers, with the groups' options as they are. */
function stepPapers(
  { papers, optimizer, groupOf }: ReturnType<typeof start>,
  gradients: ReturnType<typeof gradientsOf>,
): void {
  papers.forEach((paper, index) => {
    const { settings } = optimizer.paramGroups[groupOf[index] as number] as Optimizer["paramGroups"][number];
    paper.step(gradients[`p${index}`] ?? null, settings as unknown as Options);
  });
}

function expectAsPaper({ tensors, papers }: ReturnType<typeof start>, dtype: DType): void {
  tensors.forEach(({ data }, index) => {
    expectClose(data, papers[index]?.values ?? [], TOLERANCE[dtype]);
  });
}

const subjects = Object.entries(SUBJECTS) as [keyof typeof PAPER, Subject][];

describe.each(["reference", "wasm"] as const)("on %s", (backend) => {
  describe.each(subjects)("%s", (name, { make, launches, cases, later, descent }) => {
    describe.each(["float32", "float64"] as const)("%s", (dtype) => {
      test.each(Object.entries(cases))("as its paper: %s", async (_, groups) => {
        const run = start(name, groups, dtype);
        const step = compileStep(run.optimizer, { backend });
        for (let at = 1; at <= STEPS; at++) {
          const gradients = gradientsOf(at, dtype);
          step(gradients);
          stepPapers(run, gradients);
          expectAsPaper(run, dtype);
        }

        const { state, param_groups } = await run.optimizer.stateDict();
        const idOf = new Map(
          param_groups.flatMap(({ params, param_names }) =>
            params.map((id, position) => [param_names?.[position], id]),
          ),
        );
        let compared = 0;
        run.papers.forEach(({ memory }, index) => {
          const saved = state[idOf.get(`p${index}`) as number];
          for (const [slot, values] of Object.entries(memory)) {
            if (slot === "x") continue; // not kept: see averagedParameters
            const found = saved?.[slot];
            const data = typeof found === "number" ? [found] : (found?.data ?? []);
            expectClose(data, values, TOLERANCE[dtype]);
            compared++;
          }
        });
        const keepsState = name !== "LARS" || groups.some(({ momentum }) => momentum);
        if (keepsState) expect(compared).toBeGreaterThan(0);
        step.dispose();
        run.optimizer.dispose();
      });

      test("numbers that change compile nothing", () => {
        const [groups] = Object.values(cases).slice(1);
        const run = start(name, groups as readonly Settings[], dtype);
        const step = compileStep(run.optimizer, { backend, onRecompile: "error" });
        for (let at = 1; at <= 10; at++) {
          const gradients = gradientsOf(at, dtype);
          if (at === 4) Object.assign(run.optimizer.paramGroups[0] as object, later);
          step(gradients);
          stepPapers(run, gradients);
          expectAsPaper(run, dtype);
        }
        expect(step.events.filter(({ step }) => step > 0)).toEqual([]);
      });
    });

    test.each([1, 5, 40])(`${launches} launches for %i parameters`, (count) => {
      const sizes = Array.from({ length: count }, (_, index) => 1 + 37 * index);
      const optimizer = new make(sizes.map((size) => tensor(numbers(size), [size])));
      const step = compileStep(optimizer, { backend });
      step(sizes.map((size) => Float32Array.from(numbers(size, 2))));
      expect(step).toHaveLaunched(launches);
    });

    test("lowers the loss of a convex problem", async () => {
      const goal = numbers(50, 3);
      const weights = tensor(numbers(50, 4), [50], "float64");
      const lossOf = ({ data }: Tensor) =>
        goal.reduce((sum, value, i) => sum + (1 + (i % 5)) * (at(data, i) - value) ** 2, 0);
      const optimizer = new make({ weights }, descent.options);
      const step = compileStep(optimizer, { backend });
      const before = lossOf(weights);
      for (let n = 0; n < descent.steps; n++) {
        const gradient = goal.map((value, i) => 2 * (1 + (i % 5)) * (at(weights.data, i) - value));
        step([Float64Array.from(gradient)]);
      }
      expect(lossOf(weights)).toBeLessThan(0.01 * before);
      if (name === "ScheduleFreeAdamW")
        expect(lossOf((await optimizer.averagedParameters()).weights as Tensor)).toBeLessThan(0.01 * before);
    });
  });

  test("clipping adds one launch", () => {
    for (const [, { make, launches }] of subjects) {
      const step = compileStep(new make([tensor([3]), tensor([4])]), { backend, clipNorm: 1 });
      step([new Float32Array(3), new Float32Array(4)]);
      expect(step).toHaveLaunched(launches + 1);
    }
  });

  describe.each(["float32", "float64"] as const)("averagedParameters of ScheduleFreeAdamW, %s", (dtype) => {
    const groups = [
      { lr: 1e-2, warmupSteps: 3 },
      { lr: 1e-3, betas: [0.7, 0.99] },
    ];
    // x = z + (y - z) / beta1: the division carries the roundings of y and z on.
    const tolerance = 2 * TOLERANCE[dtype];

    test("are the paper's x, by name, shape and dtype; before the first step a copy", async () => {
      const run = start("ScheduleFreeAdamW", groups, dtype);
      const step = compileStep(run.optimizer, { backend });
      const expectAverages = async () => {
        const averaged = await run.optimizer.averagedParameters();
        expect(Object.keys(averaged).sort()).toEqual(run.tensors.map((_, index) => `p${index}`).sort());
        run.tensors.forEach((parameter, index) => {
          const average = averaged[`p${index}`] as Tensor;
          expect([average.shape, average.dtype]).toEqual([parameter.shape, dtype]);
          const { memory, values } = run.papers[index] as PaperParameter;
          expectClose(average.data, memory.x ?? values, tolerance);
        });
      };
      await expectAverages();
      for (let at = 1; at <= STEPS; at++) {
        const gradients = gradientsOf(at, dtype);
        step(gradients);
        stepPapers(run, gradients);
        await expectAverages();
      }
    });

    test("are the caller's own, whether or not the parameter has stepped", async () => {
      const run = start("ScheduleFreeAdamW", groups, dtype);
      const step = compileStep(run.optimizer, { backend });
      step(gradientsOf(1, dtype)); // p1 has not stepped
      const before = run.tensors.map(({ data }) => data.slice());
      for (const average of Object.values(await run.optimizer.averagedParameters())) average.data.fill(7);
      expect(run.tensors.map(({ data }) => data.slice())).toEqual(before);
      expectAsPaper(
        { ...run, papers: before.map((values) => new PaperParameter(PAPER.Lion, values)) },
        dtype,
      );
    });

    test("come with a state dict", async () => {
      const run = start("ScheduleFreeAdamW", groups, dtype);
      const step = compileStep(run.optimizer, { backend });
      for (let at = 1; at <= 3; at++) step(gradientsOf(at, dtype));
      const copy = start("ScheduleFreeAdamW", groups, dtype);
      copy.tensors.forEach(({ data }, index) => {
        data.set(run.tensors[index]?.data as Float32Array);
      });
      copy.optimizer.loadStateDict(await run.optimizer.stateDict());
      const dataOf = async (optimizer: Optimizer) =>
        Object.entries(await optimizer.averagedParameters()).map(([name, { data }]) => [name, data]);
      expect(await dataOf(copy.optimizer)).toEqual(await dataOf(run.optimizer));
    });
  });
});

test("an optimizer that keeps no average says so", async () => {
  const optimizer = new AdamW([tensor([2])]);
  await expect(optimizer.averagedParameters()).rejects.toThrow(StepjitError);
  await expect(optimizer.averagedParameters()).rejects.toThrow("AdamW keeps no average of its parameters");
});

test("averagedParameters of a disposed optimizer are refused", async () => {
  const optimizer = new ScheduleFreeAdamW([tensor([2])]);
  optimizer.dispose();
  await expect(optimizer.averagedParameters()).rejects.toThrow("used after dispose()");
});

test("what the papers do not allow is refused", () => {
  expect(() => new LARS([tensor([2])], { nesterov: true })).toThrow("nesterov needs a momentum");
  expect(() => new ScheduleFreeAdamW([tensor([2])], { betas: [0, 0.9] })).toThrow("beta1 is above 0");
  expect(() => new Adan([tensor([2])], { betas: [0.9, 0.9, 1] })).toThrow("less than 1");
});

/** Random definitions on random parameters: the compiled step does what the maths says. */
import fc from "fast-check";
import { wasm } from "stepjit";
import { afterAll, describe, expect, test } from "vitest";
import type { Module } from "../../src/ir/module.ts";
import { printModule } from "../../src/ir/print.ts";
import { verifyModule } from "../../src/ir/verify.ts";
import { eliminateCommonSubexpressions } from "../../src/passes/cse.ts";
import { eliminateDeadCode } from "../../src/passes/dce.ts";
import { runPasses } from "../../src/passes/pipeline.ts";
import { simplify } from "../../src/passes/simplify.ts";
import { trace } from "../../src/trace/trace.ts";
import { BACKENDS, type TestedBackend } from "../backends.ts";
import { inDouble } from "../oracle.ts";
import { expectClose, expectSame } from "./compare.ts";
import { anyMaths, elementWise, optimizerOf } from "./definitions.ts";
import { runOn, runOnOracle, type Scenario, scenario, singles } from "./scenario.ts";

/** Fixed, so that a run can be repeated; fast-check prints it with the path of a failure. */
const SEED = 20_240_611;

const backends = [1, 2, 3].map((threads) => wasm({ threads }));
afterAll(() => {
  for (const backend of backends) backend.dispose();
});

/** Relative to the maths with each value rounded to its type. */
const PROMISED = { single: 2e-6, double: 1e-12 };
/** Relative to real numbers: a chain of some twenty f32 roundings, which sums carry over to f64 parameters. */
const REAL = { single: 4e-6, double: 4e-6 };

/** Without the large tensors. */
const small = (from: typeof scenario) =>
  from.map((run) => ({
    ...run,
    tensors: run.tensors.map((tensor) => ({ ...tensor, size: tensor.size % 300 })),
  }));

describe("any maths", () => {
  test.each(BACKENDS)(
    "$name agrees with the traced module, typed and in real numbers",
    async ({ backend, doubles, slack }) => {
      const within = ({ single, double }: typeof REAL) => ({ single: single * slack, double });
      await fc.assert(
        fc.asyncProperty(anyMaths, doubles ? scenario : singles(scenario), async (instructions, run) => {
          const make = optimizerOf(instructions);
          const actual = await runOn(backend, make, run);
          expectClose(actual, runOnOracle(make, run), within(PROMISED));
          expectClose(actual, runOnOracle(make, run, inDouble), within(REAL));
        }),
        { seed: SEED, numRuns: 40 },
      );
    },
  );

  test("wasm has the same bits for any number of threads", async () => {
    const sizes = [170_001, 3, 65_537, 0, 257]; // large enough for workers to join in
    await fc.assert(
      fc.asyncProperty(anyMaths, scenario, async (instructions, { groups, tensors, seed }) => {
        const present = (index: number) => tensors[index % tensors.length]?.present ?? [];
        const run: Scenario = {
          groups,
          seed,
          tensors: sizes.map((size, index) => ({
            size,
            double: false,
            group: index % 2,
            present: present(index),
          })),
        };
        const make = optimizerOf(instructions);
        const outcomes = [];
        for (const [index, backend] of backends.entries())
          outcomes.push(await runOn(backend, make, run, { threads: index + 1, pause: index > 0 ? 10 : 0 }));
        const [one, ...others] = outcomes;
        for (const other of others) expectSame(other, one as NonNullable<typeof one>);
      }),
      { seed: SEED, numRuns: 8 },
    );
  });
});

describe("element-wise maths", () => {
  const [oracle, ...others] = BACKENDS.filter(({ sameMath }) => sameMath) as [
    TestedBackend,
    ...TestedBackend[],
  ];
  test.each(others)(`$name has the bits of ${oracle.name}`, async ({ backend }) => {
    await fc.assert(
      fc.asyncProperty(elementWise, scenario, async (instructions, run) => {
        const make = optimizerOf(instructions);
        expectSame(await runOn(backend, make, run), await runOn(oracle.backend, make, run));
      }),
      { seed: SEED, numRuns: 60 },
    );
  });
});

describe("passes", () => {
  test("cse and dce keep every bit", () => {
    fc.assert(
      fc.property(anyMaths, small(scenario), (instructions, run) => {
        const make = optimizerOf(instructions);
        const expected = runOnOracle(make, run);
        expectSame(runOnOracle(make, run, eliminateCommonSubexpressions), expected);
        expectSame(runOnOracle(make, run, eliminateDeadCode), expected);
      }),
      { seed: SEED, numRuns: 60 },
    );
  });

  test("simplify stays within roundings of the maths as written", () => {
    fc.assert(
      fc.property(anyMaths, small(scenario), (instructions, run) => {
        const make = optimizerOf(instructions);
        expectClose(runOnOracle(make, run, simplify), runOnOracle(make, run), {
          single: 1e-6,
          double: 1e-14,
        });
      }),
      { seed: SEED, numRuns: 60 },
    );
  });

  test("simplify, cse and dce a second time change nothing, and every pass leaves a module that verifies", () => {
    const local = (module: Module) => eliminateDeadCode(eliminateCommonSubexpressions(simplify(module)));
    fc.assert(
      fc.property(anyMaths, (instructions) => {
        const { definition } = optimizerOf(instructions);
        const module = trace(
          definition,
          [{ name: "Random f32", dtype: "f32", flags: { flipped: false }, view: "vector" }],
          [],
        );
        const once = local(module);
        expect(printModule(local(once))).toBe(printModule(once));
        runPasses(module, (_, after) => verifyModule(after));
      }),
      { seed: SEED, numRuns: 100 },
    );
  });
});

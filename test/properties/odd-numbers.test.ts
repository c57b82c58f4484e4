/** Element-wise ops on any numbers at all (NaN, infinities, denormals, both zeros): backends whose arithmetic is IEEE's have the reference's bits, op for op. */
import fc from "fast-check";
import { type Backend, compileStep, defineOptimizer } from "stepjit";
import * as ops from "stepjit/ops";
import { describe, expect, test, vi } from "vitest";
import { BACKENDS, type TestedBackend } from "../backends.ts";
import { ODD_NUMBERS } from "../ir/random-func.ts";

vi.setConfig({ testTimeout: 60_000 });

const SEED = 20_240_612;

const UNARY = [
  "neg",
  "abs",
  "sign",
  "sqrt",
  "exp",
  "expm1",
  "log",
  "log1p",
  "floor",
  "ceil",
  "fround",
] as const;
const BINARY = ["add", "sub", "mul", "div", "pow", "min", "max"] as const;
const COMPARE = ["less", "lessEqual", "greater", "greaterEqual", "equal", "notEqual", "finite"] as const;

/** By name; whatever their arity, they are called with numbers. */
const OPS: Record<string, unknown> = { ...ops };
const call = (name: string, ...operands: number[]) =>
  (OPS[name] as (...args: number[]) => number)(...operands);

const choice = fc.nat({ max: 100 });
const instruction = fc.tuple(
  fc.constantFrom(...UNARY, ...BINARY, ...COMPARE, "constant" as const),
  choice,
  choice,
  choice,
);
const anyNumber = fc.oneof(fc.float(), fc.double(), fc.constantFrom(...ODD_NUMBERS));

type Instruction = typeof instruction extends fc.Arbitrary<infer T> ? T : never;

/** Every value lands in a slot of its own, so that none hides behind another. */
function optimizerOf(instructions: readonly Instruction[]) {
  return defineOptimizer({
    name: "Odd",
    hyper: { lr: { default: 0.1 } },
    state: Object.fromEntries(instructions.map((_, index) => [`v${index}`, {}])),
    update({ param, grad, hyper, state }) {
      const values = [param, grad, ops.mul(hyper.lr, 1)];
      const at = (n: number) => values[n % values.length] as number;
      instructions.forEach(([name, a, b, c], index) => {
        let value: number;
        if (name === "constant") value = ops.mul(grad, ODD_NUMBERS[a % ODD_NUMBERS.length] as number);
        else if ((UNARY as readonly string[]).includes(name)) value = call(name, at(a));
        else if ((BINARY as readonly string[]).includes(name)) value = call(name, at(a), at(b));
        else {
          const mask = call(name, at(a), ...(name === "finite" ? [] : [at(b)])) as unknown as boolean;
          value = ops.select(
            ops.and(mask, () => ops.not(ops.less(at(c), grad))),
            () => at(c),
            () => at(a + c),
          );
        }
        state[`v${index}`] = value;
        values.push(value);
      });
      return at(values.length - 1);
    },
  });
}

const [oracle, ...others] = BACKENDS.filter(({ sameMath }) => sameMath) as [
  TestedBackend,
  ...TestedBackend[],
];

describe.each(others)("$name", ({ backend }) => {
  test.each(["single", "double"])("%s precision", async (precision) => {
    const make = (numbers: readonly number[]) =>
      (precision === "single" ? Float32Array : Float64Array).from(numbers);
    const pairs = fc.array(fc.tuple(anyNumber, anyNumber), { minLength: 1, maxLength: 11 });
    const number = fc.double({ noNaN: true, noDefaultInfinity: true });
    await fc.assert(
      fc.asyncProperty(
        fc.array(instruction, { minLength: 1, maxLength: 10 }),
        pairs,
        number,
        async (instructions, numbers, lr) => {
          const Odd = optimizerOf(instructions);
          const run = async (on: Backend) => {
            const param = make(numbers.map(([p]) => p));
            const optimizer = new Odd([param], { lr });
            const step = compileStep(optimizer, { backend: on });
            step([make(numbers.map(([, g]) => g))]);
            await step.finished();
            const slots: [string, number[]][] = [];
            for (const [name, { storage }] of optimizer.parameters[0]?.slots ?? [])
              slots.push([name, [...(await storage.read())]]);
            step.dispose();
            optimizer.dispose();
            return { param: [...param], slots };
          };
          expect(await run(backend)).toEqual(await run(oracle.backend)); // toEqual tells -0 from 0 and takes NaN for NaN
        },
      ),
      { seed: SEED, numRuns: 150 },
    );
  });
});

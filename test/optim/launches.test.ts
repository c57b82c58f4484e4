/** How many kernels a step launches, as the backend counts them: that many for any number of parameters, shapes, groups and classes. */
import "stepjit/vitest";
import { type Backend, compileStep } from "stepjit";
import { describe, expect, test } from "vitest";
import type { Runner } from "../../src/backends/backend.ts";
import { BACKENDS, type TestedBackend, tensorOn } from "../backends.ts";
import { numbersFrom } from "../properties/scenario.ts";
import { type AnyOptimizerClass, CASES, dispatchesOf, type Subject } from "./subjects.ts";

/** A matrix comes first, since a vector alone needs less of Adafactor. */
const SHAPES = [[5, 3], [7], [], [2, 2, 3, 3], [1], [2, 3, 4], [1, 9], [4, 4]];

/** The backend, and how often it has launched something. */
function counting(backend: Backend) {
  const counter = { backend, launches: 0 };
  const prepare = backend.prepare.bind(backend);
  backend.prepare = (tables): Runner => {
    const runner = prepare(tables);
    const launch = runner.launch.bind(runner);
    runner.launch = (phase, threads) => {
      counter.launches++;
      launch(phase, threads);
    };
    return runner;
  };
  return counter;
}

/** Parameters of mixed shapes in up to three groups, which differ in numbers and flags; two dtypes where there are several. */
function start(
  { options, second }: Subject,
  make: AnyOptimizerClass,
  count: number,
  { doubles }: TestedBackend,
  backend: Backend,
) {
  const flags = "maximize" in (make.definition.flags ?? {}) ? { maximize: true } : {};
  const groups = [options, { ...options, ...second }, { ...options, ...flags }].slice(0, count);
  const tensors = Array.from({ length: count }, (_, index) => {
    const shape = SHAPES[index % SHAPES.length] as number[];
    const size = shape.reduce((product, axis) => product * axis, 1);
    return tensorOn(backend, numbersFrom(index, size, doubles && index % 5 === 4), shape);
  });
  const optimizer = new make(
    groups.map((group, g) => ({
      ...group,
      params: tensors.flatMap((one, index) => (index % groups.length === g ? [[`p${index}`, one]] : [])),
    })),
  );
  const gradients = Object.fromEntries(
    tensors.map(({ size, dtype }, index) => [`p${index}`, numbersFrom(index + 1, size, dtype === "float64")]),
  );
  return { optimizer, gradients };
}

describe.each(BACKENDS)("on $name", (on) => {
  describe.each(CASES)("$name", ({ make, subject }) => {
    const { launches = 1 } = subject;

    test.each([
      [launches, {}],
      [launches + 1, { clipNorm: 1 }],
    ])("%i a step with %o, for 1, 4 and 200 parameters", async (expected, options) => {
      const counter = counting(on.make());
      for (const count of [1, 4, 200]) {
        const { optimizer, gradients } = start(subject, make, count, on, counter.backend);
        const step = compileStep(optimizer, { backend: counter.backend, ...options });
        const some = Object.fromEntries(
          Object.entries(gradients).map(([name, gradient], index) => [
            name,
            index % 3 === 0 ? gradient : null,
          ]),
        );
        for (const given of [gradients, some]) {
          counter.launches = 0;
          step(given);
          await step.finished();
          expect(counter.launches, `${count} parameters`).toBe(expected);
          const onHost = counter.backend.programs === "host";
          if (onHost) expect(step).toHaveLaunched(expected);
          // A matrix alone leaves less to be finished.
          else if (count > 1) expect(step).toHaveLaunched(dispatchesOf(subject, "clipNorm" in options));
        }
        if (count === 200) expect(step.explain().classes.length).toBeGreaterThan(1);
        step.dispose();
        optimizer.dispose();
      }
    });
  });
});

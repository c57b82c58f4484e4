import { compileStep } from "stepjit";
import { describe, expect, test } from "vitest";
import { BACKENDS } from "../backends.ts";
import { dispatchesOf, SUBJECTS, type Subject } from "./subjects.ts";
import { applyHyper, GOLDEN_CASES, gradientsOf, startCase, worstError } from "./torch.ts";

const TOLERANCE = { float32: 2e-6, float64: 1e-12 };

describe.each(BACKENDS)("torch 2.14.1 on $name", ({ backend, slack, doubles }) => {
  const cases = GOLDEN_CASES.filter(({ dtype }) => doubles || dtype === "float32");
  test.each(cases)("$name ($dtype)", async (golden) => {
    const { params, optimizer } = startCase(golden, backend);
    const step = compileStep(optimizer, { backend });
    const tolerance = TOLERANCE[golden.dtype] * (golden.dtype === "float32" ? slack : 1);
    for (let count = 1; count <= golden.grads.length; count++) {
      applyHyper(golden, count, optimizer);
      step(gradientsOf(golden, count));
      await step.finished();
      for (const [name, expected] of Object.entries(golden.after[count] ?? {})) {
        const actual = (await params[name]?.read()) ?? [];
        expect(worstError(actual, expected), `${name} after step ${count}`).toBeLessThan(tolerance);
      }
    }
    expect(step.stats.steps).toBe(golden.grads.length);
    const subject = SUBJECTS[golden.optimizer] as Subject;
    const { launches = 1 } = subject;
    expect(step.stats.launches).toBe(backend.programs === "host" ? launches : dispatchesOf(subject));

    const { state } = await optimizer.stateDict();
    optimizer.parameters.forEach(({ name }, id) => {
      for (const [key, { data }] of Object.entries(golden.state[name] ?? {})) {
        const saved = state[id]?.[key];
        if (saved === undefined && key === "exp_avg" && (golden.kwargs.betas as number[])?.[0] === 0)
          continue; // not kept at beta1 = 0
        const actual = typeof saved === "number" ? [saved] : (saved?.data ?? []);
        expect(worstError(actual, data), `${name}: state ${key}`).toBeLessThan(tolerance);
      }
    });
    step.dispose();
    optimizer.dispose();
  });
});

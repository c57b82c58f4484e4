import { describe, expect, test } from "vitest";
import { BACKENDS } from "../backends.ts";
import { dispatchesOf, SUBJECTS, type Subject } from "./subjects.ts";
import { GOLDEN_CASES } from "./torch.ts";
import { missed, replay, startCase } from "./torch-case.ts";

const TOLERANCE = { float32: 2e-6, float64: 1e-12 };

describe.each(BACKENDS)("torch 2.14.1 on $name", ({ backend, slack, doubles }) => {
  const cases = GOLDEN_CASES.filter(({ dtype }) => doubles || dtype === "float32");
  test.each(cases)("$name ($dtype)", async (golden) => {
    const started = startCase(golden, backend);
    const result = await replay(golden, backend, started);
    const tolerance = TOLERANCE[golden.dtype] * (golden.dtype === "float32" ? slack : 1);
    expect(missed(result, tolerance)).toEqual({});
    expect(result.stats.steps).toBe(golden.grads.length);
    const subject = SUBJECTS[golden.optimizer] as Subject;
    const { launches = 1 } = subject;
    expect(result.stats.launches).toBe(backend.programs === "host" ? launches : dispatchesOf(subject));
    started.optimizer.dispose();
  });
});

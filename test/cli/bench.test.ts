import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { isCudaOffered } from "../backends/cuda/cuda.ts";
import { isOffered, openGpu } from "../backends/webgpu/gpu.ts";
import { fileOf, freshFile, run } from "./support.ts";

const model = fileOf("model.json");

describe("bench", () => {
  test("times steps, and says what they are compared with", async () => {
    const { code, out } = await run("bench", "LAMB", "--params", model, "--steps", "3", "--threads", "1");
    expect(code).toBe(0);
    expect(out).toMatch(/^LAMB over .*model\.json on wasm: \d+\.\d+ ms a step, half of them from \d/);
    expect(out).toMatch(/phase 0: LAMB f32 adaptive +3 /);
    expect(out).toMatch(/phase 1: LAMB f32 adaptive +3 /);
    expect(out).toContain("memory moves at");
  });

  test("writes a report with the times", async () => {
    const file = freshFile("report.html");
    const { code } = await run("bench", "LAMB", "--params", model, "--steps", "3", "--html", file);
    expect(code).toBe(0);
    expect(readFileSync(file, "utf8")).toMatch(/"profile":\{"steps":3,"memoryRate":\d/);
  });

  test("is JSON, with all launches", async () => {
    const options = ["--option", "momentum=0.9", "--step-option", "clipNorm=1"];
    const { out } = await run("bench", "SGD", "--params", model, "--steps", "4", ...options, "--json");
    const { optimizer, milliseconds, profile } = JSON.parse(out);
    expect(optimizer).toBe("SGD");
    expect(profile.launches).toHaveLength(2 * 4);
    const { lowerQuartile, median, upperQuartile } = milliseconds;
    expect(lowerQuartile).toBeGreaterThan(0);
    expect(lowerQuartile).toBeLessThanOrEqual(median);
    expect(median).toBeLessThanOrEqual(upperQuartile);
  });

  test.skipIf(!isOffered("stepjit bench"))("times a GPU by its own clock", async () => {
    const close = openGpu();
    const args = ["bench", "AdamW", "--params", model, "--backend", "webgpu", "--steps", "2", "--json"];
    const { code, out } = await run(...args).finally(close);
    expect(code).toBe(0);
    expect(JSON.parse(out).profile).toMatchObject({ backend: "wgsl", clock: "device" });
  });

  test.skipIf(!isCudaOffered("stepjit bench"))("times a CUDA device by its own clock", async () => {
    const args = ["bench", "AdamW", "--params", model, "--backend", "cuda", "--steps", "2", "--json"];
    const { code, out } = await run(...args);
    expect(code).toBe(0);
    expect(JSON.parse(out).profile).toMatchObject({ backend: "cuda", clock: "device" });
  });

  test("refuses what is no number of steps", async () => {
    for (const steps of ["0", "-1", "1.5", "many"])
      expect(await run("bench", "SGD", "--params", model, "--steps", steps)).toMatchObject({
        code: 2,
        err: expect.stringContaining("It is a whole number, at least 1."),
      });
  });
});

import { beforeAll, describe, expect, test } from "vitest";
import { emitKernels } from "../../../src/backends/webgpu/emit.ts";
import { testNumbers, workOf } from "../gpu/numbers.ts";
import { ADAMW, ADAMW_LAYOUT } from "../wasm/run.ts";
import { describeOnGpu, testDevice } from "./gpu.ts";
import { launcherOn } from "./launcher.ts";

describe("text", () => {
  const golden = new URL("../../golden/adamw-f32.wgsl", import.meta.url).pathname;

  test("AdamW reads well", async () => {
    await expect(emitKernels(workOf([ADAMW]), [ADAMW_LAYOUT])).toMatchFileSnapshot(golden);
  });
});

describeOnGpu("numbers", () => {
  let device: GPUDevice;
  beforeAll(async () => {
    device = await testDevice();
  });
  testNumbers(launcherOn(() => device));
});

describe("refuses", () => {
  test("elements of f64, naming the class", () => {
    expect(() => emitKernels(workOf([ADAMW]), [{ ...ADAMW_LAYOUT, dtype: "f64" }])).toThrow(
      expect.objectContaining({ code: "unsupported", message: expect.stringContaining("AdamW f32") }),
    );
  });

  test.each([
    ["f32[lead,row] %1 = state r\nstate.r' = %1", "state that gives f32[lead,row]"],
    [
      "f64@group %1 = size row\nf32[lead,row,col] %2 = broadcast %1\nparam' = %2",
      "size that gives f64@group",
    ],
  ])("%s", (line, message) => {
    const text = `kernel "AdamW f32" flat {\nf32[lead,row,col] %0 = param\n${line}\n}`;
    expect(() => emitKernels(workOf([text]), [ADAMW_LAYOUT])).toThrow(
      expect.objectContaining({ code: "unsupported", message: expect.stringContaining(message) }),
    );
  });
});

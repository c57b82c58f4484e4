import { beforeAll, describe, expect, test } from "vitest";
import { emitKernels } from "../../../src/backends/cuda/emit.ts";
import type { Device } from "../../../src/backends/cuda/native/device.ts";
import { literal, spell } from "../../../src/backends/cuda/spelling.ts";
import { testNumbers, testOptimizers, workOf } from "../gpu/numbers.ts";
import { ADAMW, ADAMW_LAYOUT } from "../wasm/run.ts";
import { describeOnCuda, testCuda } from "./cuda.ts";
import { launcherOn } from "./launcher.ts";

const golden = (name: string) => new URL(`../../golden/${name}`, import.meta.url).pathname;

describe("text", () => {
  test("AdamW reads well", async () => {
    const text = emitKernels(workOf([ADAMW]), [ADAMW_LAYOUT], "default");
    await expect(text).toMatchFileSnapshot(golden("adamw-f32.cu"));
  });

  test("needs no header", () => {
    expect(emitKernels(workOf([ADAMW]), [ADAMW_LAYOUT], "default")).not.toContain("#include");
  });

  test("fast numerics fuse multiply-adds and approximate division and square root", () => {
    const [exact, fast] = (["default", "fast"] as const).map((numerics) =>
      emitKernels(workOf([ADAMW]), [ADAMW_LAYOUT], numerics),
    );
    expect(exact).not.toMatch(/fmaf|__fdividef|rsqrtf/);
    expect(fast).toMatch(/= fmaf\(/);
    expect(fast).toMatch(/= __fdividef\(/);
    expect(fast).toMatch(/= root\(/);
  });

  test("f64 is never approximated", () => {
    const f64 = (text: string) => text.replaceAll("f32", "f64");
    const layout = { ...ADAMW_LAYOUT, name: f64(ADAMW_LAYOUT.name), dtype: "f64" } as const;
    const text = emitKernels(workOf([f64(ADAMW)]), [layout], "fast");
    expect(text).toContain("double params[4]");
    expect(text).not.toMatch(/fmaf|__fdividef|rsqrtf|float params/);
    expect(text).toContain("fma(");
  });
});

describe("literals", () => {
  test.each([
    [1, "1.0f", "1.0"],
    [-0, "-0.0f", "-0.0"],
    [0.1, "0.1f", "0.1"],
    [1e-8, "1e-8f", "1e-8"],
    [1e300, "__uint_as_float(0x7f800000u)", "1e+300"],
    [Number.NaN, "__uint_as_float(0x7fc00000u)", "__longlong_as_double(0x7ff8000000000000ll)"],
    [-Infinity, "__uint_as_float(0xff800000u)", "__longlong_as_double(0xfff0000000000000ll)"],
    [2 ** 24 + 2, "16777218.0f", "16777218.0"],
  ])("%s", (number, single, double) => {
    expect([literal(number, "f32"), literal(number, "f64")]).toEqual([single, double]);
  });
});

describe("spelling", () => {
  test.each([
    ["exp", "f32", "default", "(float)exp((double)x)"],
    ["exp", "f32", "fast", "expf(x)"],
    ["exp", "f64", "fast", "exp(x)"],
    ["fround", "f64", "default", "(double)(float)x"],
  ] as const)("%s of %s, %s", (op, dtype, numerics, text) => {
    expect(spell(op, ["x"], dtype, numerics)).toBe(text);
  });
});

describeOnCuda("numbers", () => {
  let device: Device;
  beforeAll(async () => {
    ({ device } = await testCuda());
  });
  testNumbers(launcherOn(() => device));

  describe("not aligned", () => {
    testOptimizers(launcherOn(() => device, { unaligned: true }));
  });
});

describe("refuses", () => {
  test.each([
    ["f32[lead,row] %1 = state r\nstate.r' = %1", "state that gives f32[lead,row]"],
    [
      "f64@group %1 = size row\nf32[lead,row,col] %2 = broadcast %1\nparam' = %2",
      "size that gives f64@group",
    ],
  ])("%s", (line, message) => {
    const text = `kernel "AdamW f32" flat {\nf32[lead,row,col] %0 = param\n${line}\n}`;
    expect(() => emitKernels(workOf([text]), [ADAMW_LAYOUT], "default")).toThrow(
      expect.objectContaining({ code: "unsupported", message: expect.stringContaining(message) }),
    );
  });
});

/** The stand-in sees what a GPU would only sometimes show: kernels that are wrong on purpose. */
import { afterEach, expect, test } from "vitest";
import type { Device, Kernel } from "../../../src/backends/cuda/native/device.ts";
import { describeOnStandIn, testCuda } from "./cuda.ts";
import { controls } from "./stand-in/controls.ts";

/** A text whose one parameter says where 256 numbers are. */
const textOf = (lines: readonly string[]): string =>
  [
    "struct Launch { float* at; unsigned long long pad[3]; };",
    'extern "C" __global__ void __launch_bounds__(256) stepjit_step(const Launch launch) {',
    "const unsigned t = threadIdx.x;",
    ...lines,
    "}",
  ].join("\n");

/** Turns the numbers around, through shared memory. */
const turned = (barrier: string) =>
  textOf([
    "__shared__ float share[256];",
    "share[t] = launch.at[t];",
    barrier,
    "launch.at[t] = share[255 - t];",
  ]);

describeOnStandIn("the stand-in", () => {
  afterEach(() => controls.reset());

  async function run(text: string): Promise<{ numbers: number[]; device: Device; kernel: Kernel }> {
    const { device } = await testCuda();
    const at = device.allocate(1024);
    device.upload(at, new Uint8Array(Float32Array.from({ length: 256 }, (_, i) => i).buffer));
    const kernel = device.compile(text);
    device.launch(kernel, 1, new Uint8Array(BigUint64Array.of(at, 0n, 0n, 0n).buffer));
    await device.finished();
    return { numbers: [...new Float32Array(await device.download(at, 1024))], device, kernel };
  }

  test.each([0, 1, 7, 8])("runs threads that meet at a barrier, in order %i", async (order) => {
    controls.setOrder(order);
    const { numbers } = await run(turned("__syncthreads();"));
    expect(numbers).toEqual(Array.from({ length: 256 }, (_, i) => 255 - i));
  });

  test.each([0, 1, 7])("shows a barrier that is missing, in order %i", async (order) => {
    controls.setOrder(order);
    const { numbers } = await run(turned("if (launch.at == 0) __syncthreads();"));
    expect(numbers.some(Number.isNaN)).toBe(true);
  });

  test.each([0, 1, 7])("adds up by shuffles, in order %i", async (order) => {
    controls.setOrder(order);
    const { numbers } = await run(
      textOf([
        "double sum = launch.at[t];",
        "for (unsigned half = 4; half > 0; half /= 2) sum += __shfl_down_sync(0xffffffffu, sum, half, 8u);",
        "if (t % 8 == 0) launch.at[t] = sum;",
      ]),
    );
    expect(numbers[0]).toBe(28);
    expect(numbers[248]).toBe(8 * 248 + 28);
  });

  test("a barrier that not all threads reach is no wait for ever", async () => {
    await expect(run(textOf(["if (t < 10) __syncthreads();"]))).rejects.toMatchObject({
      code: "device-error",
      message: expect.stringContaining("CUDA_ERROR_LAUNCH_FAILED"),
    });
  });

  test.each([-1, 256])("a number written beside an allocation, at %i, is found", async (at) => {
    await expect(run(textOf([`if (t == 0) launch.at[${at}] = 1;`]))).rejects.toMatchObject({
      code: "device-error",
      message: expect.stringContaining("CUDA_ERROR_ILLEGAL_ADDRESS"),
    });
  });
});

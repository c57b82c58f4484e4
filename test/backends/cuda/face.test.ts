/** What users call: options and addresses are checked before anything is done with them. */
import { beforeEach, describe, expect, test } from "vitest";
import { Cuda, type CudaOptions, cuda } from "../../../src/cuda.ts";
import { FakeDevice } from "./fake-device.ts";

const refusal = (code: string, message: string) =>
  expect.objectContaining({ name: "StepjitError", code, message });

test.each<[unknown, string]>([
  [null, "options are an object such as { device }, got null"],
  ["gpu", 'options are an object such as { device }, got "gpu"'],
  [{ gpu: 1 }, 'no option "gpu"; there are device, stream'],
  [{ device: -1 }, "device is a GPU's number, from 0 on, got -1"],
  [{ device: 0.5 }, "device is a GPU's number, from 0 on, got 0.5"],
  [{ device: 1n }, "device is a GPU's number, from 0 on, got 1"],
  [{ device: null }, "device is a GPU's number, from 0 on, got null"],
  [{ stream: "5" }, 'stream is a stream\'s handle, a bigint or a whole number, got "5"'],
  [{ stream: -1n }, "stream is a stream's handle, a bigint or a whole number, got -1"],
  [{ stream: 2 ** 60 }, "stream is a stream's handle, a bigint or a whole number, got 1152921504606847000"],
  [
    { stream: 2n ** 64n },
    "stream is a stream's handle, a bigint or a whole number, got 18446744073709551616",
  ],
])("options are refused: %#", async (options, message) => {
  await expect(cuda(options as CudaOptions)).rejects.toThrow(refusal("invalid-option", `cuda: ${message}`));
});

describe("on a device", () => {
  let fake: FakeDevice;
  let gpu: Cuda;
  beforeEach(() => {
    fake = new FakeDevice();
    gpu = new Cuda(fake.device);
  });

  test("tensors are zeros or copies, of either dtype", async () => {
    expect(await gpu.tensor([2, 3]).read()).toEqual(new Float32Array(6));
    expect(await gpu.tensor([2], "float64").read()).toEqual(new Float64Array(2));
    expect(await gpu.tensor([1, 2], [2]).read()).toEqual(Float32Array.of(1, 2));
    expect(await gpu.tensor(Float64Array.of(0.1), [1]).read()).toEqual(Float64Array.of(0.1));
    expect(await gpu.tensor(Float64Array.of(0.1), [1], "float32").read()).toEqual(Float32Array.of(0.1));
    expect(() => gpu.tensor([1, 2], [3])).toThrow(expect.objectContaining({ code: "invalid-parameters" }));
  });

  test("memory of others is worked on in place, and never given back", async () => {
    const address = fake.allocate(256);
    fake.at(Float64Array, address, 4).set([1, 2, 3, 4]);
    const wrapped = gpu.wrap(address, [2, 2], "float64");
    expect([wrapped.shape, wrapped.dtype]).toEqual([[2, 2], "float64"]);
    expect(await wrapped.read()).toEqual(Float64Array.of(1, 2, 3, 4));
    wrapped.write([5, 6, 7, 8]);
    expect([...fake.at(Float64Array, address, 4)]).toEqual([5, 6, 7, 8]);
    wrapped.dispose();
    expect(fake.allocated.size).toBe(1);
    expect(gpu.wrap(Number(address) + 4, [3]).dtype).toBe("float32");
    expect(gpu.owns(gpu.wrap(address, []).storage)).toBe(true);
    expect(() => gpu.wrap(address, [2 ** 16, 2 ** 16])).toThrow(
      refusal("unsupported", "cuda: a tensor of 4294967296 elements; kernels count up to 4294901760"),
    );
  });

  test.each<[unknown, unknown, string]>([
    [0n, undefined, "address is a bigint or a whole number above 0, a multiple of 4, got 0"],
    [1026n, undefined, "address is a bigint or a whole number above 0, a multiple of 4, got 1026"],
    [1028, "float64", "address is a bigint or a whole number above 0, a multiple of 8, got 1028"],
    [-4, undefined, "address is a bigint or a whole number above 0, a multiple of 4, got -4"],
    ["1024", undefined, 'address is a bigint or a whole number above 0, a multiple of 4, got "1024"'],
    [1024, "f32", 'dtype is "float32" or "float64", got "f32"'],
  ])("the address %s as %s is refused", (address, dtype, message) => {
    expect(() => gpu.wrap(address as bigint, [3], dtype as "float32")).toThrow(
      refusal("invalid-parameters", `wrap: ${message}`),
    );
  });

  test("the stream is told", () => expect(gpu.stream).toBe(5n));
});

/** Small limits: arenas are several, tensors are cut, and the numbers are the same to the bit. */
import { Adafactor, Adam, Adan, compileStep, LAMB, SGD, type Tensor } from "stepjit";
import { expect, test } from "vitest";
import { COPY_DST, COPY_SRC, STORAGE } from "../../../src/backends/webgpu/device.ts";
import { WebGpu } from "../../../src/webgpu.ts";
import { numbers } from "../../models.ts";
import type { AnyOptimizerClass } from "../../optim/subjects.ts";
import { train } from "../../optim/training.ts";
import { expectSame, expectSameArrays } from "../../properties/compare.ts";
import { counted } from "./counted.ts";
import { describeOnGpu, fullLimits, testDevice } from "./gpu.ts";

/** The same device, saying that it can do less. */
function limited(device: GPUDevice, limits: Partial<Record<keyof GPUSupportedLimits, number>>): GPUDevice {
  const less = new Proxy(device.limits, {
    get: (all, name) => Reflect.get(limits, name) ?? Reflect.get(all, name),
  });
  return new Proxy(device, {
    get(target, name) {
      if (name === "limits") return less;
      const value = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

const KIB = 1024;
const PARAMETERS = [[100_003], [600, 200], [31, 7, 3, 3], [5], [90_000], [40, 1_000], [2, 130, 3, 129]].map(
  (shape) => ({ shape }),
);

const MAKES = {
  SGD: [SGD, { lr: 0.1 }],
  Adam: [Adam, { lr: 0.1, amsgrad: true }],
  Adan: [Adan, { lr: 0.1 }],
  LAMB: [LAMB, { lr: 0.1 }],
  Adafactor: [Adafactor, { lr: 0.2 }],
} as unknown as Record<string, [AnyOptimizerClass, Record<string, unknown>]>;

describeOnGpu("bindings of 512 KiB", () => {
  test.each(Object.entries(MAKES))("%s", async (_, [make, options]) => {
    const device = await testDevice(await fullLimits());
    const run = { parameters: PARAMETERS, groups: [options], steps: 3 };
    const large = new WebGpu(device, undefined);
    const expected = await train(make, run, large);
    const { counts } = counted(device);
    const small = new WebGpu(
      limited(device, {
        maxStorageBufferBindingSize: 512 * KIB,
        maxBufferSize: 1024 * KIB,
        maxComputeWorkgroupsPerDimension: 3, // each takes several chunks
      }),
      undefined,
    );
    const actual = await train(make, run, small);
    expectSame(actual.snapshots, expected.snapshots);
    expect(actual.events).toEqual([]);
    // More than one dispatch a launch: that is what is tested here.
    expect(counts.dispatches).toBeGreaterThan(3 * 4);
    for (const backend of [large, small]) backend.dispose();
  });

  test("a parameter and its gradient may lie in one buffer that is larger", async () => {
    const device = await testDevice(await fullLimits());
    const gpu = new WebGpu(limited(device, { maxStorageBufferBindingSize: 512 * KIB }), undefined);
    const length = 250_001;
    const [start, gradient] = [1, 2].map((seed) => Float32Array.from(numbers(length, seed)));
    const buffer = device.createBuffer({ size: 8 * length, usage: STORAGE | COPY_SRC | COPY_DST });
    const ours = [
      gpu.tensor(start as Float32Array, [length]),
      gpu.tensor(gradient as Float32Array, [length]),
    ];
    const theirs = [gpu.wrap(buffer, [length]), gpu.wrap(buffer, [length], 4 * length)];
    theirs[0]?.write(start as Float32Array);
    theirs[1]?.write(gradient as Float32Array);
    for (const [parameter, grad] of [ours, theirs] as [Tensor, Tensor][]) {
      const step = compileStep(new Adam([parameter], { lr: 0.1 }), { backend: gpu });
      for (let i = 0; i < 3; i++) step([grad]);
    }
    const read = (tensors: Tensor[]) => Promise.all(tensors.map((one) => one.read()));
    expectSameArrays(await read(theirs), await read(ours));
    gpu.dispose();
  });

  test("a tensor that no buffer holds is refused", async () => {
    const device = await testDevice();
    const gpu = new WebGpu(
      limited(device, { maxStorageBufferBindingSize: 512 * KIB, maxBufferSize: 1024 * KIB }),
      undefined,
    );
    expect(() => gpu.tensor([1024, 300])).toThrow(
      expect.objectContaining({ code: "out-of-memory", message: expect.stringContaining("1228800 bytes") }),
    );
    gpu.dispose();
  });
});

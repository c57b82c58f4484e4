/** Small limits: arenas are several, tensors are cut, and the numbers are the same to the bit. */
import { readFile } from "node:fs/promises";
import { Adafactor, Adam, AdamW, Adan, compileStep, LAMB, SGD, type Tensor } from "stepjit";
import { expect, test } from "vitest";
import { COPY_DST, COPY_SRC, STORAGE } from "../../../src/backends/webgpu/device.ts";
import { WebGpu } from "../../../src/webgpu.ts";
import { numbers, PlainAdamW } from "../../models.ts";
import type { AnyOptimizerClass } from "../../optim/subjects.ts";
import { train } from "../../optim/training.ts";
import { expectSame, expectSameArrays } from "../../properties/compare.ts";
import { counted } from "./counted.ts";
import { describeOnGpu, fullLimits, limited, testDevice } from "./gpu.ts";

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

const GPT2 = new URL("../../../bench/shapes/gpt2-small.json", import.meta.url);

/** Parameters and gradients repeat after so many elements; rows are no multiple of it, so that one out of place is seen. */
const PERIOD = 35;
const START = Array.from({ length: PERIOD }, (_, i) => (i % 7) - 3);
const SLOPE = Array.from({ length: PERIOD }, (_, i) => (i % 5) - 2);

describeOnGpu("the limits that every device has", () => {
  test("gpt2-small: its largest parameter is cut, each element is right", async () => {
    const { shapes } = JSON.parse(await readFile(GPT2, "utf8")) as { shapes: [string, number[]][] };
    const device = await testDevice();
    const gpu = new WebGpu(device, undefined);
    const most = Math.max(...shapes.map(([, shape]) => sizeOf(shape)));
    expect(4 * most).toBeGreaterThan(device.limits.maxStorageBufferBindingSize);
    const [weights, gradients] = [START, SLOPE].map((numbers) => {
      const data = repeated(numbers, most);
      return shapes.map(([, shape]) => gpu.tensor(data.subarray(0, sizeOf(shape)), shape));
    }) as [Tensor[], Tensor[]];
    const step = compileStep(new AdamW(weights, { lr: 0.1 }), { backend: gpu });
    const plain = new PlainAdamW(START);
    for (let i = 0; i < 2; i++) {
      step(gradients);
      plain.step(SLOPE, { lr: 0.1 });
    }
    // Eight arenas of state, which parameters and gradients do not fill at the same places.
    expect(step.stats.launches).toBeLessThanOrEqual(17);
    for (const [index, weight] of weights.entries()) {
      const found = (await weight.read()) as Float32Array;
      for (const [i, x] of found.subarray(0, PERIOD).entries())
        expect(Math.abs(x - (plain.values[i] as number))).toBeLessThan(1e-5);
      expect([index, isPeriodic(found)]).toEqual([index, true]);
    }
    gpu.dispose();
  });
});

function repeated(numbers: readonly number[], length: number): Float32Array {
  const data = new Float32Array(length);
  data.set(numbers);
  for (let done = numbers.length; done < length; done *= 2) data.copyWithin(done, 0, done);
  return data;
}

function isPeriodic({ buffer, byteLength }: Float32Array): boolean {
  const bytes = Buffer.from(buffer, 0, byteLength);
  return bytes.subarray(4 * PERIOD).equals(bytes.subarray(0, Math.max(0, byteLength - 4 * PERIOD)));
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, axis) => product * axis, 1);
}

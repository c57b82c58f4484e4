/** What the tests on a GPU stand on: a device that computes, and a true count of what it was asked for. */
import { expect, test } from "vitest";
import { counted } from "./counted.ts";
import { describeOnGpu, openGpu, testDevice } from "./gpu.ts";

const MAP_READ = 1;
const COPY_SRC = 4;
const COPY_DST = 8;
const STORAGE = 128;

const DOUBLE = `
  @group(0) @binding(0) var<storage, read_write> numbers: array<f32>;
  @compute @workgroup_size(4) fn main(@builtin(global_invocation_id) id: vec3u) { numbers[id.x] *= 2; }`;

/** Doubles numbers as often as asked, in a pass of as many dispatches. */
async function doubled(device: GPUDevice, data: Float32Array<ArrayBuffer>, times: number) {
  const numbers = device.createBuffer({ size: data.byteLength, usage: STORAGE | COPY_SRC | COPY_DST });
  const staging = device.createBuffer({ size: data.byteLength, usage: MAP_READ | COPY_DST });
  const module = device.createShaderModule({ code: DOUBLE });
  const pipeline = device.createComputePipeline({ layout: "auto", compute: { module } });
  const layout = pipeline.getBindGroupLayout(0);
  const group = device.createBindGroup({
    layout,
    entries: [{ binding: 0, resource: { buffer: numbers } }],
  });
  device.queue.writeBuffer(numbers, 0, data);
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group);
  for (let i = 0; i < times; i++) pass.dispatchWorkgroups(data.length / 4);
  pass.end();
  encoder.copyBufferToBuffer(numbers, 0, staging, 0, data.byteLength);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(MAP_READ);
  return [...new Float32Array(staging.getMappedRange())];
}

describeOnGpu("a GPU for tests", () => {
  test("computes", async () => {
    const numbers = Float32Array.of(1, -2, 3.5, 0, 5, 6, 7, 8);
    expect(await doubled(await testDevice(), numbers, 3)).toEqual([8, -16, 28, 0, 40, 48, 56, 64]);
  });

  test("is counted", async () => {
    const device = await testDevice();
    const { counts, reset } = counted(device);
    await doubled(device, new Float32Array(8), 3);
    const once = {
      ...{ dispatches: 3, passes: 1, submits: 1, copies: 1, writes: 1 },
      ...{ buffers: 2, bindGroups: 1, pipelines: 1 },
    };
    expect(counts).toEqual(once);
    reset();
    await doubled(device, new Float32Array(8), 3);
    expect(counts).toEqual(once);
  });

  test("two devices count for themselves", async () => {
    const [one, other] = [await testDevice(), await testDevice()];
    const { counts } = counted(one);
    await doubled(other, new Float32Array(8), 1);
    expect(counts.dispatches).toBe(0);
  });

  test("stands where a browser has it, until closed", () => {
    const before = Object.getOwnPropertyDescriptor(globalThis, "navigator");
    const close = openGpu();
    expect(navigator.gpu.requestAdapter).toBeTypeOf("function");
    expect(GPUBufferUsage.STORAGE).toBe(STORAGE);
    close();
    expect(Object.getOwnPropertyDescriptor(globalThis, "navigator")).toEqual(before);
    expect("GPUBufferUsage" in globalThis).toBe(false);
  });
});

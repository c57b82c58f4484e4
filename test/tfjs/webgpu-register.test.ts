import * as tf from "@tensorflow/tfjs";
import { WebGPUBackend } from "@tensorflow/tfjs-backend-webgpu";
import { StepjitError } from "stepjit";
import { compileStep, registerWebGpu } from "stepjit/tfjs";
import { afterAll, expect, it } from "vitest";
import { describeOnGpu, openGpu, testAdapter } from "../backends/webgpu/gpu.ts";
import { deviceOfTfjs, read } from "./webgpu-support.ts";

it("says so where there is no WebGPU", async () => {
  await expect(registerWebGpu(WebGPUBackend)).rejects.toThrow(/no WebGPU adapter here.*navigator\.gpu/);
  expect(tf.findBackendFactory("webgpu")).toBeNull();
});

describeOnGpu("the webgpu backend that is registered for tfjs", () => {
  let close = () => {};
  afterAll(() => close());

  it("has all features and limits of its adapter, and takes the place of tfjs's own", async () => {
    close = openGpu();
    const adapter = await testAdapter();
    tf.registerBackend("webgpu", () => {
      throw new Error("tfjs's own");
    });
    await registerWebGpu(WebGPUBackend, adapter);
    expect(await tf.setBackend("webgpu")).toBe(true);
    const { features, limits } = deviceOfTfjs();
    expect([...features].sort()).toEqual([...adapter.features].sort());
    const [ours, full] = [limits, adapter.limits].map((has) => [
      has.maxStorageBuffersPerShaderStage,
      has.maxStorageBufferBindingSize,
      has.maxBufferSize,
    ]);
    expect(ours).toEqual(full);
    const sum = tf.tidy(() => tf.range(0, 2000).square().sum());
    expect(((await read([sum]))[0]?.[0] as number) / 2664667000).toBeCloseTo(1, 6);
    sum.dispose();
  });

  it("is not replaced while it is in use", async () => {
    await expect(registerWebGpu(WebGPUBackend)).rejects.toThrow(StepjitError);
    await expect(registerWebGpu(WebGPUBackend)).rejects.toThrow(/"webgpu" is in use/);
  });

  it("says that its device is lost, at the next step", async () => {
    const variable = tf.variable(tf.ones([2000]));
    const gradient = tf.ones([2000]);
    const optimizer = compileStep(tf.train.sgd(1));
    const step = () => optimizer.applyGradients({ [variable.name]: gradient });
    step();
    expect((await read([variable]))[0]?.[0]).toBe(0);
    deviceOfTfjs().destroy();
    await deviceOfTfjs().lost;
    expect(step).toThrow(/device was lost/);
    expect(step).toThrow(StepjitError);
  });
});

/** WGSL without a GPU: a device that validates texts. */
import { afterAll } from "vitest";
import { globals } from "webgpu";
import { findNoGpu } from "./adapter.ts";

/** What browsers have as globals. */
export const { GPUBufferUsage, GPUMapMode } = globals as Pick<
  typeof globalThis,
  "GPUBufferUsage" | "GPUMapMode"
>;

/** A device with the limits that every device has, which validates what it is asked for and does nothing. */
export async function nullDevice(): Promise<GPUDevice> {
  const found = await findNoGpu();
  if (found.reason !== undefined) throw new Error(found.reason);
  const device = await (await found.gpu.requestAdapter())?.requestDevice();
  if (!device) throw new Error("Dawn has no null backend");
  devices.push(device);
  return device;
}

const devices: GPUDevice[] = [];
afterAll(() => {
  for (const device of devices.splice(0)) device.destroy();
});

const pipelines = new Map<string, Promise<GPUComputePipeline>>();

/** Throws what the device, the only one of a file, has to say about a text. Each text is compiled once, with the same constants. */
export function compile(
  device: GPUDevice,
  code: string,
  constants: Record<string, number> = {},
): Promise<GPUComputePipeline> {
  const key = JSON.stringify([code, constants]);
  const known = pipelines.get(key) ?? compileNew(device, code, constants);
  pipelines.set(key, known);
  return known;
}

async function compileNew(
  device: GPUDevice,
  code: string,
  constants: Record<string, number>,
): Promise<GPUComputePipeline> {
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code });
  const { messages } = await module.getCompilationInfo();
  const said = messages.map(({ lineNum, message }) => `${lineNum}: ${message}`);
  if (said.length > 0) throw new Error(`${said.join("\n")}\n${code}`);
  const pipeline = await device.createComputePipelineAsync({
    layout: "auto",
    compute: { module, entryPoint: "main", constants },
  });
  const error = await device.popErrorScope();
  if (error) throw new Error(`${error.message}\n${code}`);
  return pipeline;
}

/** GPU devices without a GPU: Dawn's null backend, which only validates, and SwiftShader, which computes on the CPU. */
import { existsSync } from "node:fs";
import { afterAll } from "vitest";
import { create, globals } from "webgpu";

/** What browsers have as globals. */
export const { GPUBufferUsage, GPUMapMode } = globals as Pick<
  typeof globalThis,
  "GPUBufferUsage" | "GPUMapMode"
>;

/** Debian's chromium package has it. */
const SWIFTSHADER = "/usr/lib/chromium/vk_swiftshader_icd.json";

export const hasSoftwareDevice = existsSync(SWIFTSHADER);

export const nullDevice = (): Promise<GPUDevice> => deviceOf(["backend=null"]);

export function softwareDevice(): Promise<GPUDevice> {
  process.env.VK_ICD_FILENAMES ??= SWIFTSHADER;
  process.env.XDG_RUNTIME_DIR ??= "/tmp"; // else the Vulkan loader says so
  return deviceOf([]);
}

/** What made the devices: Dawn crashes where it is collected before them. */
const kept: { gpu: GPU; device: GPUDevice }[] = [];
afterAll(() => {
  for (const { device } of kept.splice(0)) device.destroy();
});

/** With the limits that every device has. Destroyed when the tests of the file are done. */
async function deviceOf(options: string[]): Promise<GPUDevice> {
  const gpu = create(options);
  const adapter = await gpu.requestAdapter();
  if (!adapter) throw new Error("no adapter");
  const device = await adapter.requestDevice();
  kept.push({ gpu, device });
  return device;
}

const pipelines = new Map<string, Promise<GPUComputePipeline>>();

/** Throws what the device, the only one of a file, has to say about a text. Each text is compiled once. */
export function compile(device: GPUDevice, code: string): Promise<GPUComputePipeline> {
  const known = pipelines.get(code) ?? compileNew(device, code);
  pipelines.set(code, known);
  return known;
}

async function compileNew(device: GPUDevice, code: string): Promise<GPUComputePipeline> {
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code });
  const { messages } = await module.getCompilationInfo();
  const said = messages.map(({ lineNum, message }) => `${lineNum}: ${message}`);
  if (said.length > 0) throw new Error(`${said.join("\n")}\n${code}`);
  const pipeline = await device.createComputePipelineAsync({
    layout: "auto",
    compute: { module, entryPoint: "main" },
  });
  const error = await device.popErrorScope();
  if (error) throw new Error(`${error.message}\n${code}`);
  return pipeline;
}

/** Tests that need a GPU, or SwiftShader in its place. */

import { afterAll, beforeAll, describe } from "vitest";
import { sayLeftOut } from "../../left-out.ts";
import { findGpu, installGlobals } from "./adapter.ts";

const found = await findGpu();
const devices: GPUDevice[] = [];
const complaints: string[] = [];

/**
 * A describe whose tests compute on a GPU. Where there is none they are skipped, and stderr says so; on a continuous integration machine
 * (CI=true) they fail instead: a missing GPU must not go unnoticed there.
 */
export function describeOnGpu(name: string, tests: () => void): void {
  if (found.reason !== undefined && process.env.CI !== "true") {
    sayLeftOut(name, found.reason);
    describe.skip(name, tests);
    return;
  }
  describe(name, () => {
    beforeAll(() => {
      available();
    });
    tests();
  });
}

/**
 * Whether tests of this name may compute on a GPU, for those that are no describe of their own: says so where they may not, and throws
 * on a continuous integration machine.
 */
export function isOffered(name: string): boolean {
  if (found.reason === undefined) return true;
  if (process.env.CI === "true") throw new Error(found.reason);
  sayLeftOut(name, found.reason);
  return false;
}

/** All limits that the adapter has. */
export async function fullLimits(): Promise<GPUDeviceDescriptor> {
  const { maxBufferSize, maxStorageBufferBindingSize, maxStorageBuffersPerShaderStage } = (
    await testAdapter()
  ).limits;
  return {
    requiredLimits: { maxBufferSize, maxStorageBufferBindingSize, maxStorageBuffersPerShaderStage },
  };
}

function available() {
  if (found.reason !== undefined) throw new Error(found.reason);
  return found;
}

/** A new one each time: an adapter gives one device. */
export async function testAdapter(): Promise<GPUAdapter> {
  return (await available().gpu.requestAdapter()) as GPUAdapter;
}

/**
 * A new device, with the limits that every device has unless others are asked for. It is destroyed when the tests of the file are
 * done; errors on it that nobody caught then fail the file.
 */
export async function testDevice(descriptor: GPUDeviceDescriptor = {}): Promise<GPUDevice> {
  const device = await (await testAdapter()).requestDevice(descriptor);
  device.addEventListener("uncapturederror", ({ error }) => complaints.push(error.message));
  devices.push(device);
  return device;
}

/** The same device, saying that it can do less. */
export function limited(
  device: GPUDevice,
  limits: Partial<Record<keyof GPUSupportedLimits, number>>,
): GPUDevice {
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

afterAll(async () => {
  for (const device of devices.splice(0)) {
    await device.queue.onSubmittedWorkDone(); // errors come before
    device.destroy();
  }
  if (complaints.length > 0) throw new Error(complaints.splice(0).join("\n"));
});

/** Makes this process look like a browser with WebGPU; call the result to end that. */
export function openGpu(): () => void {
  return installGlobals(available());
}

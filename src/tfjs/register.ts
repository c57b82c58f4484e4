/** A device for TensorFlow.js that can do all that its adapter can. */
import { engine, type KernelBackend, registerBackend, removeBackend } from "@tensorflow/tfjs-core";
import { StepjitError } from "../error.ts";

/** The class that `@tensorflow/tfjs-backend-webgpu` exports. */
export type WebGpuBackendClass = new (device: GPUDevice, info?: GPUAdapterInfo) => KernelBackend;

/** What tfjs gives its own webgpu backend: it is preferred to all others. */
const PRIORITY = 3;

/**
 * Registers the tfjs backend "webgpu" on a device with all features and limits of its adapter. tfjs itself asks for few of them: 8
 * storage buffers a shader, no f16.
 *
 *     import { WebGPUBackend } from "@tensorflow/tfjs-backend-webgpu";
 *     await registerWebGpu(WebGPUBackend);
 *     await tf.setBackend("webgpu");
 *
 * It is not needed for a compiled step, which works on tfjs's own device too. In Node, set `navigator.gpu` before (package `webgpu`).
 * The adapter defaults to the fastest; one that is given must not have made a device before. Throws `unsupported` where there is no
 * WebGPU, `invalid-option` where the backend is in use already.
 */
export async function registerWebGpu(
  WebGPUBackend: WebGpuBackendClass,
  adapter?: GPUAdapter | null,
): Promise<void> {
  const { registry, registryFactory } = engine();
  if (registry.webgpu)
    throw new StepjitError(
      "invalid-option",
      'registerWebGpu: the backend "webgpu" is in use, and its tensors would be lost. Register it before tf.setBackend("webgpu").',
    );
  const gpu = (globalThis.navigator as Partial<Navigator> | undefined)?.gpu;
  const chosen = adapter ?? (await gpu?.requestAdapter({ powerPreference: "high-performance" }));
  if (!chosen)
    throw new StepjitError(
      "unsupported",
      "registerWebGpu: there is no WebGPU adapter here. Browsers offer one in secure contexts; Node needs navigator.gpu from the package webgpu.",
    );
  const device = await chosen.requestDevice({
    requiredFeatures: [...chosen.features] as GPUFeatureName[],
    requiredLimits: limitsOf(chosen),
  });
  if (registryFactory.webgpu) removeBackend("webgpu");
  registerBackend("webgpu", () => new WebGPUBackend(device, chosen.info), PRIORITY);
}

function limitsOf({ limits }: GPUAdapter): Record<string, number> {
  const names: string[] = [];
  for (const name in limits) names.push(name); // getters of the prototype
  return Object.fromEntries(names.map((name) => [name, limits[name as keyof GPUSupportedLimits] as number]));
}

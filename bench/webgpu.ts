/** Who steps on a GPU, and on which. */
import { findGpu, findNoGpu, installGlobals } from "../test/backends/webgpu/adapter.ts";
import type { GpuContender, GpuEntry } from "./contenders/webgpu/contender.ts";
import { copy } from "./contenders/webgpu/copy.ts";
import { flat, perTensor } from "./contenders/webgpu/hand-written.ts";
import { stepjit } from "./contenders/webgpu/stepjit.ts";
import { stepjitTfjs, tfjs, tfjsBackend } from "./contenders/webgpu/tfjs.ts";
import { lackOfMemory } from "./memory.ts";
import type { Shapes } from "./problem.ts";

/** What has parameters has to agree with the first. */
export const GPU_ENTRIES: readonly GpuEntry[] = [flat, perTensor, copy, stepjit, stepjitTfjs, tfjs];

export interface Running {
  readonly entry: GpuEntry;
  readonly contender: GpuContender;
}

/**
 * A device that computes, or one that takes all that is asked of it and does nothing: there a step costs what the host does. It is
 * TensorFlow.js's, and all contenders share it. Or why there is none.
 */
export async function openDevice(which: "computing" | "idle"): Promise<GPUDevice | string> {
  const found = await (which === "computing" ? findGpu() : findNoGpu());
  if (found.reason !== undefined) return found.reason;
  installGlobals(found);
  const { device } = await tfjsBackend();
  device.addEventListener("uncapturederror", ({ error }) => {
    throw new Error(error.message);
  });
  return device;
}

/** All that can take part in this problem, and why the others cannot. */
export async function makeAll(shapes: Shapes, device: GPUDevice) {
  const running: Running[] = [];
  const reasons = new Map<GpuEntry, string>();
  for (const entry of GPU_ENTRIES) {
    const made = await make(entry, shapes, device);
    if (typeof made === "string") reasons.set(entry, made);
    else running.push({ entry, contender: made });
  }
  return { running, reasons };
}

async function make(entry: GpuEntry, shapes: Shapes, device: GPUDevice): Promise<GpuContender | string> {
  const inMain = device.adapterInfo.isFallbackAdapter;
  const lacking = inMain ? lackOfMemory(entry.bytesHeld * shapes.parameters) : undefined;
  const reason = entry.refuses?.(shapes, device) ?? lacking;
  if (reason !== undefined) return reason;
  device.pushErrorScope("validation"); // of buffers that there was no memory for
  device.pushErrorScope("out-of-memory");
  const contender = await entry.make(shapes, device);
  await contender.finished();
  const [lack, mistake] = await Promise.all([device.popErrorScope(), device.popErrorScope()]);
  if (lack) contender.dispose();
  else if (mistake) throw new Error(`${entry.name}: ${mistake.message}`);
  return lack ? "the device has not the memory" : contender;
}

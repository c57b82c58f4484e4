/** Why a device refused a step, found out after it did: its own report names neither parameters nor what was wrong earlier. */
import { StepjitError } from "../../error.ts";
import type { Device } from "./device.ts";
import type { WebGpuPipeline } from "./pipeline.ts";

/** Somebody else's buffer, and whose it is in a step: `gradient of "w"`. */
export interface Foreign {
  readonly name: string;
  readonly buffer: GPUBuffer;
}

export interface Suspects {
  readonly pipelines: readonly WebGpuPipeline[];
  /** All that are bound. */
  readonly buffers: Iterable<GPUBuffer>;
  readonly foreign: readonly Foreign[];
}

/** What could not be made, else what cannot be used by name, else what the device says. */
export async function explain(
  device: Device,
  step: string,
  error: StepjitError,
  { pipelines, buffers, foreign }: Suspects,
): Promise<StepjitError> {
  const made = pipelines.find(({ failure }) => failure)?.failure ?? failureAmong(device, buffers);
  if (made) return made;
  const reasons = await Promise.all(foreign.map(({ buffer }) => device.probe(buffer)));
  const unusable = foreign.filter((_, index) => reasons[index] !== undefined);
  if (unusable.length === 0) return error;
  const names = [...new Set(unusable.map(({ name }) => name))].join(", ");
  const reason = reasons.find((one) => one !== undefined);
  return new StepjitError("device-error", `${step}: the buffer of ${names} cannot be used: ${reason}`, {
    cause: error,
  });
}

function failureAmong(device: Device, buffers: Iterable<GPUBuffer>): StepjitError | undefined {
  for (const buffer of buffers) {
    const failure = device.failureOf(buffer);
    if (failure) return failure;
  }
  return undefined;
}

/**
 * What the host does for a step on a GPU: the same steps on a device that does nothing, with Dawn's checks and no driver. It depends on
 * how many tensors there are, hardly on their sizes; and such a device has little memory.
 */
import { interleaved, QUICK, THOROUGH, type Timing } from "./measure.ts";
import { type SetName, shapesOf } from "./problem.ts";
import { answer } from "./process.ts";
import { GPU_ENTRIES, makeAll, openDevice } from "./webgpu.ts";

/** Times by contender; none where the set does not fit. */
export type WebGpuHost = Readonly<Record<string, Timing>>;

/** Of Dawn's null backend, less some for what is not counted. */
const IDLE_MEMORY = 480e6;

const [set, effort] = process.argv.slice(2) as [SetName, string];
const shapes = shapesOf(set);
const bytes = GPU_ENTRIES.reduce((sum, { bytesHeld }) => sum + bytesHeld * shapes.parameters, 0);
const device = await openDevice("idle");
answer(typeof device === "string" || bytes > IDLE_MEMORY ? {} : await measure(device));

async function measure(device: GPUDevice): Promise<WebGpuHost> {
  const { running } = await makeAll(shapes, device);
  const contenders = running.map(({ contender }) => contender);
  const timings = await interleaved(contenders, effort === "quick" ? QUICK : THOROUGH);
  return Object.fromEntries(running.map(({ entry }, i) => [entry.name, timings[i] as Timing]));
}

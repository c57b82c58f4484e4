/** One step of Adam on a GPU over one set of shapes: every contender, on the same device, in this process. */
import { type Counts, counted } from "../test/backends/webgpu/counted.ts";
import { ALLOWED, largestDifference } from "./difference.ts";
import { type Effort, interleaved, QUICK, THOROUGH, type Timing } from "./measure.ts";
import { BYTES_MOVED_PER_PARAMETER, type SetName, shapesOf } from "./problem.ts";
import { answer } from "./process.ts";
import { GPU_ENTRIES, makeAll, openDevice, type Running } from "./webgpu.ts";

export interface WebGpuResult {
  readonly set: SetName;
  readonly tensors: number;
  readonly parameters: number;
  /** Bytes that a step has to move. */
  readonly bytes: number;
  /** Absent where there is none, and then `reason` says why. */
  readonly device?: { readonly name: string /** The CPU computes. */; readonly software: boolean };
  readonly reason?: string;
  /** The largest difference between the parameters of two contenders after three steps, relative to max(1, |p|). */
  readonly difference?: number;
  readonly rows: readonly WebGpuRow[];
}

export interface WebGpuRow {
  readonly name: string;
  /** Absent where it was left out, and then `reason` says why. */
  readonly timing?: Timing;
  /** Of one step. */
  readonly counts?: Counts;
  readonly reason?: string;
}

/** A step may be much shorter than the wait for it. */
const TURN = 50;
const EFFORTS: Readonly<Record<string, Effort>> = {
  thorough: { ...THOROUGH, timed: 2 * THOROUGH.timed, fewestTurns: 3, turn: TURN },
  quick: { ...QUICK, turn: TURN },
};
const STEPS = 3;
/** Where the CPU computes, a step over more would take a quarter of a minute. */
const MOST_IN_SOFTWARE = 50e6;

const [set, effort] = process.argv.slice(2) as [SetName, string];
const shapes = shapesOf(set);
const { parameters } = shapes;
const device = await openDevice("computing");
const result: WebGpuResult = {
  set,
  tensors: shapes.tensors.length,
  parameters,
  bytes: BYTES_MOVED_PER_PARAMETER * parameters,
  ...(typeof device === "string" ? { reason: device, rows: [] } : await measure(device)),
};
answer(result);

async function measure(device: GPUDevice) {
  if (about(device).software && parameters > MOST_IN_SOFTWARE)
    return { reason: `too slow on ${about(device).name}, which computes on the CPU`, rows: [] };
  const { running, reasons } = await makeAll(shapes, device);
  const { difference, counts } = await firstSteps(running, device);
  const contenders = running.map(({ contender }) => contender);
  const timings = await interleaved(contenders, EFFORTS[effort] as Effort);
  const rows = GPU_ENTRIES.map((entry): WebGpuRow => {
    const { name } = entry;
    const reason = reasons.get(entry);
    if (reason !== undefined) return { name, reason };
    const at = running.findIndex((each) => each.entry === entry);
    return { name, timing: timings[at] as Timing, counts: counts[at] as Counts };
  });
  return { device: about(device), difference, rows };
}

/** All take the same steps and have to arrive at the same parameters; of the last of these steps it is counted what was asked for. */
async function firstSteps(running: readonly Running[], device: GPUDevice) {
  const { counts, reset } = counted(device);
  const found: Counts[] = [];
  let expected: Float32Array[] | undefined;
  let largest = 0;
  for (const { entry, contender } of running) {
    for (let i = 0; i < STEPS; i++) {
      reset();
      contender.step();
      await contender.finished();
    }
    found.push({ ...counts });
    const arrived = await contender.read?.();
    if (!arrived) continue;
    expected ??= arrived;
    const difference = largestDifference(arrived, expected);
    if (!(difference <= ALLOWED))
      throw new Error(`${entry.name} is ${difference} away from the others, ${ALLOWED} is allowed`);
    largest = Math.max(largest, difference);
  }
  return { difference: largest, counts: found };
}

function about({ adapterInfo }: GPUDevice) {
  const { vendor, architecture, device, description, isFallbackAdapter } = adapterInfo;
  const name = description || [vendor, architecture, device].filter(Boolean).join(" ");
  return { name, software: isFallbackAdapter };
}

/** `stepjit bench`: how fast an optimizer steps over a set of parameters here, beside how fast this machine moves memory. */
import { InvalidArgumentError } from "commander";
import type { Backend } from "../backends/backend.ts";
import { wasm } from "../backends/wasm/index.ts";
import { compileStep } from "../compile.ts";
import { cuda } from "../cuda.ts";
import type { Profile } from "../inspect/profile.ts";
import { makeTensor } from "../make-tensor.ts";
import { report } from "../report/index.ts";
import type { Tensor } from "../tensor.ts";
import { webgpu } from "../webgpu.ts";
import { type Asked, subjectOf, withSubject } from "./arguments.ts";
import { writeText } from "./input.ts";
import type { Shell } from "./main.ts";
import { nameOf } from "./manifest-file.ts";
import { type BackendName, loadOptimizer, loadShapes, type Subject, stepOptionsOf } from "./subject.ts";

interface AskedHere extends Asked {
  readonly steps: number;
  readonly threads?: number;
  readonly html?: string;
  readonly json?: true;
}

/** Steps before those that count: threads start, and pages are touched. */
const WARM_UP = 5;

export function addBench({ program, terminal }: Shell): void {
  withSubject(program.command("bench"))
    .summary("time an optimizer's step on this machine, beside its memory")
    .description(
      "Times steps of an optimizer over a set of parameters filled with random numbers, launch by launch.",
    )
    .option("--steps <number>", "how many are timed", wholeNumber, 50)
    .option(
      "--threads <number>",
      "the most that may work on a step (default: what the machine offers)",
      wholeNumber,
    )
    .option("--html <file>", "write a report to this file, with these times")
    .option("--json", "print it as JSON")
    .action(async (optimizer: string, asked: AskedHere) => {
      const subject = subjectOf(optimizer, asked);
      const profile = await measure(subject, asked);
      const times = timesOf(profile);
      if (asked.json) terminal.out(JSON.stringify({ ...subject, milliseconds: times, profile }, null, 2));
      else terminal.out(`${nameOf(subject)}: ${printTimes(times)}\n${profile}`);
    });
}

async function measure(subject: Subject, { steps, threads, html }: AskedHere): Promise<Profile> {
  const Class = await loadOptimizer(subject.optimizer, process.cwd());
  const shapes = loadShapes(subject.params, process.cwd());
  const backend = await BACKENDS[subject.backend](threads);
  try {
    const tensors = () => new Map([...shapes].map(([name, shape]) => [name, filled(backend, shape)]));
    const optimizer = new Class(Object.fromEntries(tensors()), subject.options);
    const step = compileStep(optimizer, { ...stepOptionsOf(subject), backend });
    const gradients = Object.fromEntries(tensors());
    for (let i = 0; i < WARM_UP; i++) step(gradients);
    await step.finished();
    const profile = await step.profile(() => {
      for (let i = 0; i < steps; i++) step(gradients);
    });
    if (html !== undefined) writeText(html, report(step, profile));
    return profile;
  } finally {
    backend.dispose();
  }
}

const BACKENDS: Readonly<Record<BackendName, (threads: number | undefined) => Promise<Backend>>> = {
  wasm: async (threads) => wasm(threads === undefined ? {} : { threads }),
  webgpu: () => webgpu(),
  cuda: () => cuda(),
};

/** Numbers as weights and gradients have them; denormal ones would be slow. The same few again and again: nobody looks at them. */
const BLOCK = Float32Array.from(
  { length: 4099 },
  () => (Math.random() < 0.5 ? -1 : 1) * (0.01 + 0.09 * Math.random()),
);

function filled(backend: Backend, shape: readonly number[]): Tensor {
  const tensor = makeTensor(backend, shape);
  const numbers = new Float32Array(tensor.size);
  for (let at = 0; at < numbers.length; at += BLOCK.length)
    numbers.set(BLOCK.subarray(0, numbers.length - at), at);
  tensor.write(numbers);
  return tensor;
}

/** Of a step, in milliseconds: the launches' where a device timed them, else the calls'; the mean where nobody did. */
interface Times {
  readonly lowerQuartile: number;
  readonly median: number;
  readonly upperQuartile: number;
}

function timesOf({ clock, steps, launches, untilDone }: Profile): Times {
  const times = steps.map(({ milliseconds }, index) => {
    if (clock === "host") return milliseconds;
    if (clock === null) return (untilDone ?? 0) / steps.length;
    return launches.reduce(
      (sum, launch) => sum + (launch.step === index ? (launch.milliseconds ?? 0) : 0),
      0,
    );
  });
  const sorted = times.sort((a, b) => a - b);
  const quantile = (share: number) => sorted[Math.floor(share * (sorted.length - 1))] as number;
  return { lowerQuartile: quantile(0.25), median: quantile(0.5), upperQuartile: quantile(0.75) };
}

function printTimes({ lowerQuartile, median, upperQuartile }: Times): string {
  return `${median.toFixed(3)} ms a step, half of them from ${lowerQuartile.toFixed(3)} to ${upperQuartile.toFixed(3)}`;
}

function wholeNumber(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It is a whole number, at least 1.");
}

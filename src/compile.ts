/** compileStep: an optimizer's whole step as one compiled function. */

import type { Backend, Numerics } from "./backends/backend.ts";
import { reference } from "./backends/reference/reference.ts";
import { defaultWasm } from "./backends/wasm/index.ts";
import { DISPOSE } from "./dispose.ts";
import { StepjitError } from "./error.ts";
import { type DumpStage, dump } from "./inspect/dump.ts";
import { type Explanation, explain } from "./inspect/explain.ts";
import { type Profile, profile } from "./inspect/profile.ts";
import { GradScaler } from "./optim/grad-scaler.ts";
import { Scalar, show } from "./optim/hyper.ts";
import { Optimizer } from "./optim/optimizer.ts";
import { type AroundOptions, arrange, NUMBERS } from "./step/around.ts";
import { Engine } from "./step/engine.ts";
import { rememberEngine } from "./step/engines.ts";
import type { StepEvent } from "./step/events.ts";
import type { Gradients } from "./step/gradients.ts";
import { LOG_TOPICS, Log, type LogTopic, topicsOfEnvironment } from "./step/log.ts";
import type { OnRecompile } from "./step/options.ts";

/** What `compileStep` takes beside the optimizer. */
export interface CompileOptions extends AroundOptions {
  /** Where the step runs. Default "wasm"; "reference" is slow and plain. */
  readonly backend?: "wasm" | "reference" | Backend;
  /** Threads that may work on a step, this one included. Default: what the machine offers; small steps use one. */
  readonly threads?: number;
  /** `default`: the same bits everywhere; `fast`: fused multiply-add where the engine has it. */
  readonly numerics?: Numerics;
  /** What happens when a kernel has to be compiled after the first step. Default: it is recorded in `events`. */
  readonly onRecompile?: OnRecompile;
  /** What is logged, a line each, to stderr or a browser's console. Default: what the environment variable STEPJIT_LOG lists; else nothing. */
  readonly log?: readonly LogTopic[];
}

/** Counts and sizes of a compiled step. */
export interface StepStats {
  /** Steps begun: with `accumulate`, every N-th call. */
  readonly steps: number;
  /** Steps that were given up whole, since a gradient was not finite (`scaler`). */
  readonly skipped: number;
  /** Calls since then that only added up gradients (`accumulate`). */
  readonly microSteps: number;
  /** Times the maths was recorded for this step; 0 where another instance had done it. */
  readonly traces: number;
  /** Kernels compiled for this step; 0 where they were in the cache. */
  readonly kernels: number;
  /** Times that tables were laid out. */
  readonly plans: number;
  /** Kernel launches of the last call. */
  readonly launches: number;
  /** Bytes of parameters, gradients and state that the last step's kernels read and wrote. */
  readonly bytesMoved: number;
  /** What it had to move at least: every tensor that it reads and writes, once. */
  readonly bytesIdeal: number;
  /** Bytes copied in the last step because kernels could not reach them. */
  readonly bytesCopied: number;
  /** Wall-clock time of the last step. */
  readonly milliseconds: number;
}

/** A compiled step. Call it with gradients by name, in order, or without an argument to read `tensor.grad`. */
export interface Step {
  /** Where the step runs on a device, it is queued there, and the call returns at once: see `finished`. */
  (gradients?: Gradients): void;
  /** Counts and sizes, as they are when they are read. */
  readonly stats: StepStats;
  /** Every trace, kernel compile and re-plan so far, with its reason. */
  readonly events: readonly StepEvent[];
  /** The largest global norm of the gradients. Setting it compiles nothing; undefined, and not to be set, where it was no option. */
  get clipNorm(): number | undefined;
  set clipNorm(value: number | Scalar);
  /** The largest absolute value of a gradient's element, in the same way. */
  get clipValue(): number | undefined;
  set clipValue(value: number | Scalar);
  /** Calls that make a step, in the same way. */
  get accumulate(): number | undefined;
  set accumulate(value: number | Scalar);
  /** The decay of the exponential average, in the same way. */
  get ema(): number | undefined;
  set ema(value: number | Scalar);
  /** The step at one stage of its compilation, as text. */
  dump(stage: DumpStage): string;
  /** What the compiler made of the optimizer, as data; printed, it reads as text. */
  explain(): Explanation;
  /**
   * Measures what the step does while `work` runs, which calls it and may be asynchronous: the host's time of each call, the time and
   * the bytes of each launch, what was compiled. Waits until all is done, then measures how fast this backend copies (once a process:
   * some tenths of a second, and up to 128 MiB that are given back).
   *
   *     const profile = await step.profile(() => { for (let i = 0; i < 10; i++) step(gradients); });
   *     console.log(String(profile));
   *     writeFileSync("trace.json", JSON.stringify(profile.toTrace())); // for chrome://tracing or Perfetto
   *
   * On WebGPU launches are timed by the device, which needs the feature `timestamp-query`: `webgpu()` asks for it, a device of your own
   * may not have it. Each launch is then a compute pass of its own. Browsers round these times to 100 microseconds, unless started with
   * flags that say otherwise. Rejects with `invalid-option` while another profile of this step is open, with what the work throws, and
   * as `finished` does.
   */
  profile(work: () => unknown): Promise<Profile>;
  /**
   * Resolves once all steps so far are done, and parameters that are the user's own arrays hold the result; at once on backends that
   * step while one waits. Rejects where the device was lost or has refused a step.
   *
   * On a device a parameter outside its memory is copied there before a step. After one, its values are on the device, and further
   * steps go on from them and do not look at the array, until `finished()` has brought them back. From then on what is in the array
   * counts again.
   */
  finished(): Promise<void>;
  /** Frees tables and copies; state stays with the optimizer. */
  dispose(): void;
  /** `dispose()`, for `using`. */
  [DISPOSE](): void;
}

/**
 * Compiles the step of an optimizer: its maths is traced, fused, and batched over all parameters into (usually) one launch.
 *
 * Hyperparameters stay data: changing a learning rate, a beta or a weight decay later compiles nothing. Several steps may be compiled
 * for one optimizer; they share its state. Throws `invalid-option`, `traced-value`, `unsupported` and `out-of-memory`.
 */
export function compileStep(optimizer: Optimizer, options: CompileOptions = {}): Step {
  const checked = checkOptions(optimizer, options);
  const { transforms, micro, numbers } = arrange(optimizer, checked);
  const engine = new Engine(optimizer, {
    backend: backendOf(checked.backend ?? "wasm"),
    threads: checked.threads ?? Number.POSITIVE_INFINITY,
    numerics: checked.numerics ?? "default",
    transforms,
    micro,
    scaler: checked.scaler,
    zeroGrad: checked.zeroGrad ?? false,
    onRecompile: checked.onRecompile,
    log: new Log(optimizer.definition.name, checked.log ?? topicsOfEnvironment()),
  });
  for (const [name, value] of Object.entries(numbers)) engine.setStepHyper(name, value);
  void engine.planned; // compiled now, so that an error in the maths shows here and not in the first step

  const step = (gradients?: Gradients) => engine.run(gradients);
  rememberEngine(step, engine);
  const stats = makeStats(engine);
  return Object.defineProperties(step as Step, {
    stats: { value: stats },
    events: { value: engine.events },
    ...numberProperties(engine),
    dump: { value: (stage: DumpStage) => dump(engine, stage) },
    explain: { value: () => explain(engine) },
    profile: { value: (work: () => unknown) => profile(engine, work) },
    finished: { value: () => engine.finished() },
    dispose: { value: () => engine.dispose() },
    [DISPOSE]: { value: () => engine.dispose() },
  });
}

function numberProperties(engine: Engine): PropertyDescriptorMap {
  const property = (option: string, name: string): PropertyDescriptor => ({
    get: () => engine.stepHyper.get(name)?.value,
    set: (value: number | Scalar) => {
      if (!engine.stepHyper.has(name))
        throw new StepjitError("invalid-option", `this step was compiled without ${option}`);
      engine.setStepHyper(name, value);
    },
  });
  return Object.fromEntries(
    Object.entries(NUMBERS).map(([option, name]) => [option, property(option, name)]),
  );
}

let referenceBackend: Backend | undefined;

function backendOf(backend: "wasm" | "reference" | Backend): Backend {
  if (backend === "wasm") return defaultWasm();
  if (backend !== "reference") return backend;
  referenceBackend ??= reference();
  return referenceBackend;
}

function makeStats(engine: Engine): StepStats {
  const counted = (kind: StepEvent["kind"]) => engine.events.filter((event) => event.kind === kind).length;
  return {
    get steps() {
      return engine.steps;
    },
    get skipped() {
      return engine.skipped;
    },
    get microSteps() {
      return engine.options.micro ? engine.optimizer.microSteps : 0;
    },
    get traces() {
      return counted("trace");
    },
    get kernels() {
      return counted("kernel");
    },
    get plans() {
      return counted("plan");
    },
    get launches() {
      return engine.launches;
    },
    get bytesMoved() {
      return engine.bytesMoved;
    },
    get bytesIdeal() {
      return engine.bytesIdeal;
    },
    get bytesCopied() {
      return engine.bytesCopied;
    },
    get milliseconds() {
      return engine.milliseconds;
    },
  };
}

interface Rule {
  readonly allowed: string;
  readonly fits: (value: unknown) => boolean;
}

const NUMBER: Rule = {
  allowed: "a number or a scalar",
  fits: (value) => typeof value === "number" || value instanceof Scalar,
};

/** For each option, what it may be, in words and as a test. */
const OPTIONS: Readonly<Record<keyof CompileOptions, Rule>> = {
  backend: {
    allowed: '"wasm", "reference" or a backend',
    fits: (value) =>
      value === "wasm" ||
      value === "reference" ||
      (typeof value === "object" && value !== null && "prepare" in value),
  },
  threads: {
    allowed: "a whole number, at least 1",
    fits: (value) => Number.isSafeInteger(value) && (value as number) >= 1,
  },
  clipNorm: NUMBER,
  clipValue: NUMBER,
  scaler: { allowed: "a GradScaler", fits: (value) => value instanceof GradScaler },
  accumulate: NUMBER,
  ema: NUMBER,
  swa: {
    allowed: "true, false, or { start, every }, each a number or a scalar",
    fits: (value) =>
      typeof value === "boolean" ||
      (typeof value === "object" &&
        value !== null &&
        Object.entries(value).every(
          ([name, number]) => (name === "start" || name === "every") && NUMBER.fits(number),
        )),
  },
  zeroGrad: { allowed: "true or false", fits: (value) => typeof value === "boolean" },
  numerics: { allowed: '"default" or "fast"', fits: (value) => value === "default" || value === "fast" },
  onRecompile: {
    allowed: '"warn", "error" or a function',
    fits: (value) => value === "warn" || value === "error" || typeof value === "function",
  },
  log: {
    allowed: `a list of ${Object.keys(LOG_TOPICS).join(", ")}`,
    fits: (value) => Array.isArray(value) && value.every((topic) => Object.hasOwn(LOG_TOPICS, topic)),
  },
};

function checkOptions(optimizer: unknown, options: CompileOptions): CompileOptions {
  if (!(optimizer instanceof Optimizer))
    throw new StepjitError(
      "invalid-option",
      `compileStep takes an optimizer such as new AdamW(…), got ${show(optimizer)}`,
    );
  if (typeof options !== "object" || options === null)
    throw new StepjitError(
      "invalid-option",
      `compileStep: options are an object such as { backend: "wasm" }, got ${show(options)}`,
    );
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(OPTIONS, name))
      throw new StepjitError(
        "invalid-option",
        `compileStep: no option ${show(name)}; there are ${Object.keys(OPTIONS).join(", ")}`,
      );
    const rule = OPTIONS[name as keyof CompileOptions];
    if (value !== undefined && !rule.fits(value))
      throw new StepjitError("invalid-option", `compileStep: ${name} is ${rule.allowed}, got ${show(value)}`);
  }
  return options;
}

/** step.profile(): what is recorded of a step, and what it says. Nothing here depends on how fast a machine is. */
import {
  Adafactor,
  AdamW,
  type Backend,
  type CompileOptions,
  compileStep,
  type Profile,
  reference,
  SGD,
  type Step,
  type Tensor,
  type TraceSpan,
  wasm,
} from "stepjit";
import { expectNoRecompiles } from "stepjit/vitest";
import { afterAll, describe, expect, test, vi } from "vitest";
import { intervals } from "../src/backends/webgpu/timestamps.ts";
import { LaunchTimes } from "../src/step/launch-times.ts";
import { listen } from "../src/step/listeners.ts";
import { WebGpu, webgpu } from "../src/webgpu.ts";
import { counted } from "./backends/webgpu/counted.ts";
import { describeOnGpu, isOffered, openGpu, testDevice } from "./backends/webgpu/gpu.ts";
import { fresh } from "./fresh.ts";
import { numbers } from "./models.ts";
import { expectSameArrays } from "./properties/compare.ts";
import { tensorOn } from "./tensor-on.ts";

const hasGpu = isOffered("step.profile()");
const timed = hasGpu
  ? new WebGpu(await testDevice({ requiredFeatures: ["timestamp-query"] }), undefined)
  : undefined;

/** Whose copy rate is measured once. */
const plain = reference();

const backends: readonly (readonly [string, Backend])[] = [
  ["reference", plain],
  ["wasm", wasm({ threads: 1 })],
  ["wasm, 2 threads", wasm({ threads: 2 })],
  ...(timed ? [["webgpu", timed] as const] : []),
];
afterAll(() => {
  for (const [, backend] of backends) backend.dispose();
});

const SHAPES = [[17, 5], [33], [4, 3, 3, 3], [1], [300]];
const sizeOf = (shape: readonly number[]) => shape.reduce((product, axis) => product * axis, 1);
const make = (backend: Backend, seed: number, shapes = SHAPES) =>
  shapes.map((shape, i) => tensorOn(backend, Float32Array.from(numbers(sizeOf(shape), seed + i)), shape));

interface Scene {
  readonly step: Step;
  readonly parameters: readonly Tensor[];
  readonly advance: () => void;
}

function start(known: typeof SGD, backend: Backend, options: CompileOptions = {}, shapes = SHAPES): Scene {
  const parameters = make(backend, 1, shapes);
  const gradients = make(backend, 500, shapes);
  const step = compileStep(new known(parameters), { backend, ...options });
  return { step, parameters, advance: () => step(gradients) };
}

const times = (count: number, work: () => void) => () => {
  for (let i = 0; i < count; i++) work();
};

const sum = (all: readonly number[]) => all.reduce((total, one) => total + one, 0);
const end = ({ start, milliseconds }: { start: number | null; milliseconds: number | null }) =>
  (start as number) + (milliseconds as number);
const isSorted = (all: readonly number[]) => all.every((one, i) => i === 0 || one >= (all[i - 1] as number));

/** Times of two clocks are compared with this much room, in milliseconds: those of floating-point arithmetic. */
const ROUNDING = 1e-6;

function expectInOrder({ launches, steps, milliseconds, clock }: Profile): void {
  expect(isSorted(steps.map(({ start }) => start))).toBe(true);
  expect(isSorted(launches.map(({ step }) => step))).toBe(true);
  expect(isSorted(launches.map(({ start }) => start as number))).toBe(true);
  for (const launch of launches) {
    const call = steps[launch.step] as Profile["steps"][number];
    expect(launch.milliseconds).toBeGreaterThanOrEqual(0);
    expect(launch.start).toBeGreaterThanOrEqual(call.start - ROUNDING);
    expect(end(launch)).toBeLessThanOrEqual((clock === "host" ? end(call) : milliseconds) + ROUNDING);
  }
}

/** What the format asks for, and what viewers need. */
function expectTrace(profile: Profile): TraceSpan[] {
  const { traceEvents, displayTimeUnit } = JSON.parse(JSON.stringify(profile.toTrace())) as ReturnType<
    Profile["toTrace"]
  >;
  expect(displayTimeUnit).toBe("ms");
  const lanes = new Map<number, string>();
  const spans: TraceSpan[] = [];
  for (const event of traceEvents) {
    expect(["X", "M"]).toContain(event.ph);
    expect(event.name).toMatch(/./);
    expect(event.pid).toBe(1);
    if (event.ph === "X") spans.push(event);
    else if (event.name === "thread_name") lanes.set(event.tid, event.args.name);
  }
  expect(traceEvents.filter(({ name }) => name === "process_name")).toHaveLength(1);
  expect(isSorted(spans.map(({ ts }) => ts))).toBe(true);
  for (const { ts, dur, tid, cat, args } of spans) {
    expect(ts).toBeGreaterThanOrEqual(0);
    expect(dur).toBeGreaterThanOrEqual(0);
    expect(lanes.get(tid)).toMatch(cat === "launch" ? /^launches/ : /^host$/);
    expect(args).toBeTypeOf("object");
  }
  return spans;
}

describe.each(backends)("on %s", (_, backend) => {
  const isDevice = backend.programs === "device";

  test.each([
    ["AdamW", AdamW as never, {}, 1, 1],
    ["AdamW, clipped", AdamW as never, { clipNorm: 1 }, 2, 3],
    ["Adafactor", Adafactor as never, {}, 4, 6],
    ["Adafactor, clipped", Adafactor as never, { clipNorm: 1 }, 5, 8],
  ])("every launch of %s is recorded, with its bytes", async (_, known, options, onHost, onDevice) => {
    const { step, advance } = start(known, backend, options);
    times(2, advance)();
    const profile = await step.profile(times(3, advance));
    expect(profile.steps.map(({ kind, step }) => `${kind} ${step}`)).toEqual(["step 3", "step 4", "step 5"]);
    for (const at of [0, 1, 2]) {
      const launches = profile.launches.filter(({ step }) => step === at);
      expect(launches).toHaveLength(isDevice ? onDevice : onHost);
      expect(sum(launches.map(({ dispatches }) => dispatches))).toBe(step.stats.launches);
      expect(sum(launches.map(({ bytes }) => bytes))).toBe(step.stats.bytesMoved);
    }
    const kernels = profile.launches.filter(({ kind }) => kind === "kernels");
    expect(kernels).toHaveLength(3 * onHost);
    for (const { bytes, kernels: names } of kernels) {
      expect(bytes).toBeGreaterThan(0);
      expect(names.length).toBeGreaterThan(0);
    }
    expect(profile.clock).toBe(isDevice ? "device" : "host");
    expect(profile.memoryRate).toBeGreaterThan(0);
    expectInOrder(profile);
    expect(expectTrace(profile)).toHaveLength(3 + profile.launches.length);
  });

  test("of sums over rows and columns, the numbers that one launch leaves for the next are counted", async () => {
    const { step, advance } = start(Adafactor as never, backend, {}, [[6, 4]]);
    const { launches } = await step.profile(advance);
    const [matrix, vectors, totals, mean] = [4 * 24, 4 * (6 + 4), 8 * (6 + 4), 8];
    expect(launches.flatMap(({ kind, bytes }) => (kind === "kernels" ? [bytes] : []))).toEqual([
      2 * matrix + totals, // param and grad, and the sums of their rows and columns
      totals + 2 * vectors + mean,
      matrix + vectors + mean,
      3 * matrix + vectors + mean,
    ]);
  });

  test("a step that is profiled gives the same bits", async () => {
    const [watched, plain] = [0, 1].map(() => start(Adafactor as never, backend, { clipNorm: 1 }));
    await watched?.step.profile(times(3, watched.advance));
    times(3, plain?.advance as () => void)();
    const read = (scene: Scene | undefined) =>
      Promise.all((scene?.parameters ?? []).map((one) => one.read()));
    expectSameArrays(await read(watched), await read(plain));
  });

  test("what is compiled meanwhile is recorded, with its reason", async () => {
    const optimizer = new (fresh(SGD))(make(backend, 1), { lr: 0.1 });
    const gradients = make(backend, 500);
    const step = compileStep(optimizer, { backend });
    step(gradients);
    const profile = await step.profile(() => {
      step(gradients);
      optimizer.paramGroups[0]?.assign({ momentum: 0.9 });
      step(gradients);
    });
    const reason = "param group 0, hasMomentum: false → true (momentum 0 → 0.9)";
    expect(profile.events.map(({ event }) => event)).toEqual(step.events.slice(-profile.events.length));
    expect(profile.events.map(({ event }) => [event.kind, event.reason])).toEqual([
      ["trace", reason],
      ["kernel", reason],
      ["plan", reason],
    ]);
    for (const { start } of profile.events)
      expect(start).toBeGreaterThanOrEqual((profile.steps[1]?.start as number) - ROUNDING);
    const compiled = expectTrace(profile).filter(({ cat }) => cat === "compile");
    expect(compiled.map(({ name }) => name)).toEqual([
      "trace",
      "kernel SGD f32 hasMomentum, phase 0",
      "plan",
    ]);
    for (const { args } of compiled) expect(args.reason).toBe(reason);
    expect(String(profile)).toContain(`planned in`);
  });

  test("calls that only add up gradients are micro-steps", async () => {
    const { step, advance } = start(AdamW as never, backend, { accumulate: 3 });
    const profile = await step.profile(times(6, advance));
    expect(profile.steps.map(({ kind }) => kind)).toEqual([
      "micro-step",
      "micro-step",
      "step",
      "micro-step",
      "micro-step",
      "step",
    ]);
    expect(profile.launches).toHaveLength(6);
    const [first, second] = profile.launches;
    expect(first?.bytes).toBe(second?.bytes);
    expect(profile.launches.filter((_, i) => i % 3 === 2).map(({ bytes }) => bytes)).toEqual(
      Array.from({ length: 2 }, () => step.stats.bytesMoved),
    );
    expect(String(profile)).toMatch(/: 2 steps, 4 micro-steps in /);
  });

  test("a parameter without a gradient moves nothing", async () => {
    const gradients = make(backend, 500);
    const step = compileStep(new AdamW(make(backend, 1)), { backend });
    step(gradients);
    const profile = await step.profile(() => step(gradients.map((one, i) => (i === 0 ? null : one))));
    expect(profile.launches[0]?.bytes).toBe(step.stats.bytesMoved);
    expect(step.stats.bytesMoved).toBe(28 * sum(SHAPES.slice(1).map(sizeOf)));
  });

  test("the text has a line for each kind of launch", async () => {
    const { step, advance } = start(AdamW as never, backend, { clipNorm: 1 });
    times(2, advance)();
    const text = String(await step.profile(times(3, advance)))
      .replaceAll(/\d+\.\d+/g, "N")
      .replaceAll(/ +\d+ %/g, " N %")
      .replaceAll(/ +/g, " ");
    const threads = backend.threads > 1 ? `, ${backend.threads} threads` : "";
    expect(text.split("\n ")).toEqual([
      `AdamW on ${backend.target}${threads}: 3 steps in N ms`,
      isDevice
        ? "step: queued in N ms, N ms in launches on the device"
        : "step: N ms, of which N ms in launches and N ms beside them",
      "launch calls ms MB GB/s of memory rate",
      "phase 0: AdamW f32 hasFirstMoment 3 N N N N %",
      ...(isDevice ? ["phase 1: programs 3 N N – –"] : []),
      "phase 1: AdamW f32 hasFirstMoment 3 N N N N %",
      "medians; memory moves at N GB/s, read and written, where tensors are too large for the caches",
    ]);
  });
});

describe("what is recorded", () => {
  test("is what happens while the work runs, which may be asynchronous", async () => {
    const { step, advance } = start(SGD, plain);
    advance();
    const profile = await step.profile(async () => {
      advance();
      await new Promise((resolve) => setTimeout(resolve, 1));
      advance();
    });
    advance();
    expect(profile.steps.map(({ step }) => step)).toEqual([2, 3]);
    expect((await step.profile(advance)).steps.map(({ step }) => step)).toEqual([5]);
  });

  test("is nothing where the step is not called", async () => {
    const { step } = start(SGD, plain);
    const profile = await step.profile(() => {});
    expect(profile).toMatchObject({ steps: [], launches: [], events: [], memoryRate: null });
    expect(String(profile)).toBe("SGD on reference: the step was not called");
    expect(expectTrace(profile)).toEqual([]);
  });

  test("goes through JSON", async () => {
    const { step, advance } = start(SGD, plain);
    const profile = await step.profile(advance);
    expect(JSON.parse(JSON.stringify(profile))).toEqual({ ...profile });
  });

  test("of two steps at once is each one's own", async () => {
    const [one, other] = [start(SGD, plain), start(AdamW as never, plain)];
    const [first, second] = await Promise.all([
      one.step.profile(times(2, one.advance)),
      other.step.profile(times(3, other.advance)),
    ]);
    expect([first?.steps.length, second?.steps.length]).toEqual([2, 3]);
  });
});

describe("the memory rate", () => {
  test("is measured once a backend, and nobody hears of it", async () => {
    const backend = reference();
    const { step, advance } = start(fresh(SGD), backend);
    advance();
    const [stats, events] = [{ ...step.stats }, step.events.length];
    const heard = vi.fn();
    const stop = listen(heard);
    const profile = await expectNoRecompiles(() => step.profile(advance)).finally(stop);
    expect(profile.memoryRate).toBeGreaterThan(0);
    expect(heard).not.toHaveBeenCalled();
    expect(step.events).toHaveLength(events);
    expect(step.stats).toMatchObject({
      traces: stats.traces,
      kernels: stats.kernels,
      plans: stats.plans,
      steps: 2,
    });
    const other = start(SGD, backend);
    expect((await other.step.profile(other.advance)).memoryRate).toBe(profile.memoryRate);
  });

  test("gives its memory back, and takes less where there is little", async () => {
    const backend = wasm({ threads: 1 });
    const allocate = backend.allocate.bind(backend);
    const [taken, freed]: [number[], number[]] = [[], []];
    backend.allocate = (dtype, length) => {
      if (length > 2 ** 20) throw new Error("no memory");
      const storage = allocate(dtype, length);
      const free = storage.free.bind(storage);
      taken.push(length);
      storage.free = () => {
        freed.push(length);
        free();
      };
      return storage;
    };
    const step = compileStep(new SGD([tensorOn(backend, new Float32Array(4), [4])]), { backend });
    const isProbe = (length: number) => length > 1000;
    const profile = await step.profile(() => step([new Float32Array(4)]));
    expect(profile.memoryRate).toBeGreaterThan(0);
    expect(taken.filter(isProbe).length).toBeGreaterThan(1);
    expect(freed).toEqual(taken.filter(isProbe));
    backend.dispose();
  });

  test("is not known where there is no memory", async () => {
    const backend = wasm({ threads: 1 });
    const allocate = backend.allocate.bind(backend);
    backend.allocate = (dtype, length) => {
      if (length > 1000) throw new Error("no memory");
      return allocate(dtype, length);
    };
    const step = compileStep(new SGD([tensorOn(backend, new Float32Array(4), [4])]), { backend });
    const profile = await step.profile(() => step([new Float32Array(4)]));
    expect(profile.memoryRate).toBeNull();
    expect(String(profile)).toContain("the memory rate could not be measured");
    expectTrace(profile);
    backend.dispose();
  });
});

describe("refused", () => {
  const scene = () => start(SGD, plain);

  test("is what is no function", async () => {
    for (const work of [undefined, 3, {}])
      await expect(scene().step.profile(work as never)).rejects.toMatchObject({
        code: "invalid-option",
        message: expect.stringMatching(/^profile: it takes a function that calls the step, got /),
      });
  });

  test("is a second profile while one is open; the first one goes on", async () => {
    const { step, advance } = scene();
    const profile = await step.profile(async () => {
      advance();
      await expect(step.profile(advance)).rejects.toMatchObject({
        code: "invalid-option",
        message: "profile: another profile of this step is not finished",
      });
      advance();
    });
    expect(profile.steps).toHaveLength(2);
  });

  test("is a step that was disposed", async () => {
    const { step, advance } = scene();
    step.dispose();
    await expect(step.profile(advance)).rejects.toMatchObject({
      code: "disposed",
      message: "a step of SGD was used after dispose()",
    });
  });

  test.each([
    [
      "throws",
      () => {
        throw new Error("mine");
      },
    ],
    ["rejects", () => Promise.reject(new Error("mine"))],
  ])("is nothing where the work %s: that passes through, and the profile is closed", async (_, fail) => {
    const { step, advance } = scene();
    const work = () => {
      advance();
      return fail();
    };
    await expect(step.profile(work)).rejects.toThrow("mine");
    advance();
    expect((await step.profile(advance)).steps.map(({ step }) => step)).toEqual([3]);
  });

  test("is nothing where the work disposes the step", async () => {
    const { step, advance } = scene();
    const profile = await step.profile(() => {
      advance();
      step.dispose();
    });
    expect(profile.launches).toHaveLength(1);
  });
});

describe("a device's clock", () => {
  const launch = (begin: number, end: number) =>
    ({ phase: 0, kind: "kernels", dispatches: 1, begin, end }) as const;

  test("is set so that no launch begins before it was queued", async () => {
    const intervals = [{ begin: 1000, end: 1002 }, null, { begin: 1010, end: 1011 }];
    const timer = {
      launches: 0,
      read: async () => intervals,
      dispose: vi.fn(),
    };
    const measured = new LaunchTimes({ programs: "device", makeTimer: () => timer } as never);
    for (const [begin, end] of [
      [1, 2],
      [3, 4],
      [15, 16],
    ] as const) {
      timer.launches++;
      measured.launched(launch(begin, end));
    }
    expect((await measured.read()).map(({ ran }) => ran)).toEqual([
      { begin: 6, end: 8 },
      null,
      { begin: 16, end: 17 },
    ]);
    measured.dispose();
    expect(timer.dispose).toHaveBeenCalled();
  });

  test("may be set back, or say nothing: then a launch is not timed", () => {
    const [zero, wide] = [0n, 2n ** 63n];
    const times = BigUint64Array.of(
      zero,
      zero,
      wide,
      wide + 1_500_000n,
      wide + 9n,
      wide + 8n,
      wide + 2_000_000n,
      zero,
    );
    expect(intervals(times)).toEqual([null, { begin: 0, end: 1.5 }, null, null]);
  });

  test("passes over what failed between a launch's times and the next", async () => {
    const timer = {
      launches: 2, // one was begun, and thrown out of
      read: async () => [
        { begin: 1, end: 2 },
        { begin: 5, end: 7 },
      ],
      dispose: () => {},
    };
    const measured = new LaunchTimes({ programs: "device", makeTimer: () => timer } as never);
    measured.launched(launch(0, 0));
    expect((await measured.read()).map(({ ran }) => ran)).toEqual([{ begin: 0, end: 2 }]);
  });
});

describeOnGpu("on webgpu", () => {
  const gpu = timed as WebGpu;

  test("each launch is a pass of its own while a profile is open, and only then", async () => {
    const own = new WebGpu(await testDevice({ requiredFeatures: ["timestamp-query"] }), undefined);
    const { step, advance } = start(AdamW as never, own, { clipNorm: 1 });
    times(2, advance)();
    await step.profile(advance); // measures the memory rate
    const { counts, reset } = counted(own.device);
    const one = { dispatches: 3, passes: 1, submits: 1, copies: 0, writes: 1, buffers: 0 };
    advance();
    expect(counts).toMatchObject(one);
    reset();
    await step.profile(() => {
      reset();
      times(2, advance)();
      expect(counts).toMatchObject({ ...one, dispatches: 6, passes: 6, submits: 2, writes: 2 });
    });
    reset();
    advance();
    expect(counts).toMatchObject(one);
    await step.finished();
    own.dispose();
  });

  test("there may be more launches than a query set holds", async () => {
    const { step, advance } = start(SGD, gpu, {}, [[8]]);
    const profile = await step.profile(times(2100, advance));
    expect(profile.launches).toHaveLength(2100);
    expect(profile.launches.filter(({ milliseconds }) => milliseconds === null)).toEqual([]);
    expectInOrder(profile);
  });

  test("what was queued before is waited for first", async () => {
    const { step, advance } = start(SGD, gpu);
    const finished = vi.spyOn(gpu, "finished");
    times(50, advance)();
    const profile = await step.profile(() => {
      expect(finished).toHaveBeenCalledTimes(1);
      advance();
    });
    finished.mockRestore();
    expect(profile.launches).toHaveLength(1);
    expectInOrder(profile);
  });

  test("tensors in large buffers of the user's own are several dispatches of a launch", async () => {
    const shapes = [[160, 160], [25_600]];
    const parameters = shapes.map((shape) =>
      gpu.wrap(gpu.device.createBuffer({ size: 4 * sizeOf(shape), usage: 0x4 | 0x8 | 0x80 }), shape),
    );
    const step = compileStep(new SGD(parameters), { backend: gpu });
    const gradients = make(gpu, 500, shapes);
    const profile = await step.profile(() => step(gradients));
    expect(profile.launches.map(({ dispatches }) => dispatches)).toEqual([2]);
    expect(step.stats.launches).toBe(2);
  });

  test("a device without timestamp queries: launches are not timed, which is said", async () => {
    const untimed = new WebGpu(await testDevice(), undefined);
    const { step, advance } = start(AdamW as never, untimed, { clipNorm: 1 });
    const profile = await step.profile(times(2, advance));
    expect(profile).toMatchObject({ clock: null, memoryRate: null, untilDone: expect.any(Number) });
    expect(profile.untilDone).toBeLessThanOrEqual(profile.milliseconds);
    expect(profile.launches).toHaveLength(6);
    for (const launch of profile.launches) expect(launch).toMatchObject({ start: null, milliseconds: null });
    expect(sum(profile.launches.map(({ bytes }) => bytes))).toBe(2 * step.stats.bytesMoved);
    expect(String(profile)).toMatch(
      /the device was made without the feature "timestamp-query", so launches are not timed; all was done [\d.]+ ms after/,
    );
    expect(expectTrace(profile).filter(({ cat }) => cat === "launch")).toEqual([
      expect.objectContaining({ name: "not timed", dur: 1000 * (profile.untilDone as number) }),
    ]);
    untimed.dispose();
  });

  test("a device that is lost meanwhile: rejects, as finished() does", async () => {
    const own = new WebGpu(await testDevice({ requiredFeatures: ["timestamp-query"] }), undefined);
    const { step, advance } = start(SGD, own);
    const profile = step.profile(async () => {
      advance();
      own.device.destroy();
    });
    await expect(profile).rejects.toMatchObject({ code: "device-error" });
    await expect(step.finished()).rejects.toMatchObject({ code: "device-error" });
  });

  test("webgpu() asks for timestamp queries, and a profile is timed", async () => {
    const close = openGpu();
    try {
      const own = await webgpu();
      expect(own.device.features.has("timestamp-query")).toBe(true);
      own.dispose();
    } finally {
      close();
    }
  });
});

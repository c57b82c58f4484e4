/** The WebGPU backend in a real browser, beside wasm with threads in the same page. */
import { rm } from "node:fs/promises";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { sayLeftOut } from "../left-out.ts";
import { numbers } from "../models.ts";
import { type Options, PAPER, PaperParameter } from "../optim/paper.ts";
import { dispatchesOf, SUBJECTS, type Subject } from "../optim/subjects.ts";
import { GOLDEN_CASES } from "../optim/torch.ts";
import { type GoldenCase, missed } from "../optim/torch-case.ts";
import { canLaunch, launch, WEBGPU } from "./chromium.ts";
import type { Where } from "./lab/main.ts";
import { ISOLATION, type Opened, open, PATIENCE } from "./opened.ts";
import { buildPage, type Site, serve } from "./site.ts";
import { installSpies, THREADS } from "./spies.ts";

/** On webgpu division and sqrt may be off by 2.5 units in the last place. */
const TOLERANCE = { webgpu: 5e-6, wasm: 2e-6 };

/** All that torch recorded of four optimizers, and one of each other. */
const WHOLE: readonly string[] = ["SGD", "Adam", "AdamW", "Adafactor"];
const TORCH = GOLDEN_CASES.filter(
  ({ dtype, name, optimizer }) => dtype === "float32" && (WHOLE.includes(optimizer) || name.endsWith("-0")),
);

/** LAMB as its paper has it, in the same form: torch has none. One parameter has more than one chunk. */
const LAMB: GoldenCase = paperCase("LAMB", [[40, 50], [4, 6], [6], []], {
  lr: 0.01,
  betas: [0.8, 0.99],
  eps: 1e-6,
  weightDecay: 0.1,
  adaptive: true,
});

describe.runIf(canLaunch("webgpu in a browser"))("webgpu in a browser", () => {
  let browser: Browser;
  let folder: string;
  let site: Site;
  let opened: Opened;
  let missing: string | undefined;

  beforeAll(async () => {
    browser = await launch(WEBGPU);
    folder = await buildPage("lab");
    site = await serve(folder, ISOLATION);
    opened = await open(browser, site.url, installSpies);
    const offered = await opened.ask("an adapter", async () =>
      Boolean(await navigator.gpu?.requestAdapter()),
    );
    if (offered) return;
    missing = `Chromium ${browser.version()} offers no WebGPU adapter, not even SwiftShader`;
    if (process.env.CI === "true") throw new Error(missing);
    sayLeftOut("webgpu in a browser", missing);
  }, 3 * PATIENCE);

  beforeEach(({ skip }) => skip(missing !== undefined, missing));

  afterAll(async () => {
    await browser?.close();
    await site?.close();
    if (folder) await rm(folder, { recursive: true });
  }, PATIENCE);

  test("has what it is to be tested on", async () => {
    expect(await opened.ask("describing", () => lab.describe())).toEqual({
      adapter: "swiftshader",
      threads: THREADS,
    });
  });

  describe.each(["webgpu", "wasm"] as const)("on %s", (where) => {
    test.each([...TORCH, LAMB])("$name is as recorded", async (golden) => {
      const result = await opened.ask(golden.name, ({ where, golden }) => lab.replay(where, golden), {
        where,
        golden,
      });
      expect(missed(result, TOLERANCE[where])).toEqual({});
      expect(Object.keys(result.errors).length).toBeGreaterThan(0);
      const subject = SUBJECTS[golden.optimizer] as Subject;
      const steps = golden.grads.length;
      expect(result.events).toEqual([]);
      expect(result.stats).toMatchObject({
        steps,
        launches: where === "wasm" ? (subject.launches ?? 1) : dispatchesOf(subject),
      });
      expect(result.dispatches).toBe(where === "wasm" ? 0 : steps * dispatchesOf(subject));
    });

    test("other numbers at each step compile nothing and make no event", async () => {
      const golden = named("AdamW-0");
      const counts = await opened.ask("training", ({ where, golden }) => lab.changeRates(where, golden), {
        where,
        golden,
      });
      expect(counts).toEqual({ events: 0, pipelines: 0, dispatches: where === "wasm" ? 0 : 100 });
    });

    test("clips a million elements by the norm of all", async () => {
      const { error, factors, launches } = await opened.ask("clipping", (where) => lab.clip(where), where);
      expect(factors[0]).toBeLessThan(0.9);
      expect(factors[1]).toBe(1);
      expect(error).toBeLessThan(TOLERANCE[where]);
      expect(launches).toBe(where === "wasm" ? 2 : 3);
    });
  });

  test.each(["webgpu", "wasm"] as const)("a profile on %s times each launch", async (where) => {
    const profile = await opened.ask("profiling", (where) => lab.profile(where), where);
    const kinds = where === "wasm" ? ["kernels 0", "kernels 1"] : ["kernels 0", "programs 1", "kernels 1"];
    expect(profile).toMatchObject({ clock: where === "wasm" ? "host" : "device", steps: 3, bytes: 1 });
    expect(profile.memoryRate).toBeGreaterThan(0);
    expect(profile.launches.map(({ kind, phase }) => `${kind} ${phase}`)).toEqual([
      ...kinds,
      ...kinds,
      ...kinds,
    ]);
    for (const { milliseconds } of profile.launches) expect(milliseconds).toBeGreaterThanOrEqual(0);
  });

  test.each<[Where, Where]>([
    ["webgpu", "webgpu"],
    ["webgpu", "wasm"],
    ["wasm", "webgpu"],
  ])("a state dict from %s goes on on %s", async (first, second) => {
    for (const name of ["AdamW-3", "Adafactor-1"]) {
      const errors = await opened.ask(
        `resuming ${name}`,
        ({ golden, first, second }) => lab.resume(golden, first, second),
        { golden: named(name), first, second },
      );
      expect(missed({ errors }, TOLERANCE.webgpu), name).toEqual({});
    }
  });

  test("parameters of the page's own are on the device until finished() brings them back", async () => {
    const { moved, error } = await opened.ask(
      "training",
      (golden) => lab.bringBack(golden),
      named("AdamW-0"),
    );
    expect(moved).toBe(0);
    expect(error).toBeLessThan(TOLERANCE.webgpu);
  });

  test("tf.train.adam, compiled, is itself, in one dispatch that reads nothing back", async () => {
    const result = await opened.ask("TensorFlow.js", () => lab.tfjs());
    expect(result).toMatchObject({ reads: 0, steps: 10, events: 0, dispatches: 1, submits: 1 });
    expect(result.moved).toBeGreaterThan(1e-2);
    expect(result.error).toBeLessThan(TOLERANCE.webgpu);
  });

  test("complained of nothing, and never waited on the main thread", async () => {
    expect(opened.complaints).toEqual([]);
    expect(await opened.ask("counting", () => spies.waits)).toBe(0);
  });
});

function named(name: string): GoldenCase {
  return TORCH.find((golden) => golden.name === name) as GoldenCase;
}

/** A case in torch's form, from a paper's own loops. */
function paperCase(
  optimizer: keyof typeof PAPER,
  shapes: readonly number[][],
  options: Partial<Options>,
): GoldenCase {
  const steps = 10;
  const params = shapes.map((shape, i) => ({ name: `p${i}`, shape, init: rounded(shape, i) }));
  const grads = Array.from({ length: steps }, (_, step) =>
    shapes.map((shape, i) => rounded(shape, 100 * (step + 1) + i)),
  );
  const papers = params.map(({ init }) => new PaperParameter(PAPER[optimizer], init));
  const after: Record<string, Record<string, number[]>> = {};
  grads.forEach((gradients, step) => {
    papers.forEach((paper, i) => {
      paper.step(gradients[i] as number[], options as Options);
    });
    after[step + 1] = Object.fromEntries(papers.map(({ values }, i) => [`p${i}`, [...values]]));
  });
  const state = Object.fromEntries(
    papers.map(({ memory }, i) => [
      `p${i}`,
      Object.fromEntries(
        Object.entries(memory).map(([slot, data]) => [slot, { shape: shapes[i] as number[], data }]),
      ),
    ]),
  );
  const kwargs = { ...options };
  return {
    name: optimizer,
    optimizer,
    kwargs,
    dtype: "float32",
    params,
    grads,
    after,
    state,
    param_groups: [],
  };
}

function rounded(shape: readonly number[], seed: number): number[] {
  const size = shape.reduce((product, axis) => product * axis, 1);
  return numbers(size, seed).map(Math.fround);
}

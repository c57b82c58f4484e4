/** The example page as it is built and served, in a real browser, on WebAssembly and on WebGPU. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { canLaunch, launch, WEBGPU } from "./chromium.ts";
import type { Site } from "./site.ts";

interface Setting {
  readonly name: string;
  readonly flags: readonly string[];
  /** What the page says it runs on, and why. */
  readonly says: RegExp;
  /** A line of every kernel's text. */
  readonly kernel: RegExp;
  /** After so many the loss has fallen for sure. */
  readonly steps: number;
}

const SETTINGS: readonly Setting[] = [
  {
    name: "without WebGPU",
    flags: [],
    says: /^Runs on TensorFlow.js's wasm backend \(up to \d+ threads\)\. Not on webgpu: navigator\.gpu gives no adapter\.$/,
    kernel: /^\(module$/m,
    steps: 80,
  },
  {
    name: "with WebGPU",
    flags: WEBGPU,
    says: /^Runs on TensorFlow.js's webgpu backend \(.*swiftshader.*\)\.$/i,
    kernel: /^@compute @workgroup_size/m,
    steps: 6,
  },
];

/** Milliseconds. SwiftShader takes about a second for a step of the networks, where two cores have other work. */
const PATIENCE = 100_000;

/** The page's own: what it shows changes after so many. */
const STEPS_A_TURN = 2;

/** What Chromium itself says where it has no adapter. */
const CHROMIUMS_OWN = ["No available adapters."];

describe.runIf(canLaunch("the example page"))("the example page", () => {
  let folder: string;
  let site: Site;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "stepjit-example-"));
    site = await buildAndServe(folder);
  });

  afterAll(async () => {
    await site?.close();
    if (folder) await rm(folder, { recursive: true });
  });

  describe.each(SETTINGS)("$name", ({ flags, says, kernel, steps }) => {
    let browser: Browser;
    let page: Page;
    const complaints: string[] = [];
    const foreign: string[] = [];

    beforeAll(async () => {
      browser = await launch(flags);
      page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
      page.setDefaultTimeout(PATIENCE);
      page.on("console", (message) => {
        const text = message.text();
        if (["error", "warning"].includes(message.type()) && !CHROMIUMS_OWN.includes(text))
          complaints.push(text);
      });
      page.on("pageerror", (error) => complaints.push(`uncaught: ${error.stack ?? error}`));
      page.on("request", (request) => {
        const url = request.url();
        if (![site.url, "blob:", "data:"].some((start) => url.startsWith(start))) foreign.push(url);
      });
      await page.goto(site.url);
    });

    afterAll(() => browser?.close());

    test("says which backend it runs on, and why", async () => {
      await page.locator("#backend[data-name]").waitFor();
      expect(await page.textContent("#backend")).toMatch(says);
      expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
    });

    test("trains: the loss falls, as much as with tf.train.adam", async () => {
      await stepped(page, STEPS_A_TURN);
      const first = await losses(page);
      await stepped(page, steps);
      const last = await losses(page);
      expect(last.stepjit).toBeLessThan(first.stepjit);
      expect(last.stepjit / last.tfjs).toBeCloseTo(1, 2);
    });

    test("times both optimizers", async () => {
      const times = await legend(page, "time");
      expect(times.map(Number.parseFloat).every((time) => time > 0)).toBe(true);
      expect(await page.textContent("#ratio")).toMatch(/^stepjit is [\d.]+ × as fast$/);
    });

    test("compiles nothing while the learning rate's slider moves", async () => {
      expect(await counts(page)).toEqual({ traces: 1, kernels: 1, plans: 1 });
      await page.fill("#exponent", "-4");
      expect(await page.textContent("#rate")).toBe("0.00010");
      await stepped(page, (await step(page)) + STEPS_A_TURN);
      await page.fill("#exponent", "-2");
      expect(await page.textContent("#rate")).toBe("0.010");
      await stepped(page, (await step(page)) + 2 * STEPS_A_TURN); // the turn under way, and one at this rate
      expect(await counts(page)).toEqual({ traces: 1, kernels: 1, plans: 1 });
      const { stepjit, tfjs } = await losses(page);
      expect(stepjit / tfjs).toBeCloseTo(1, 1); // tf.train.adam had the same rates
    });

    test("shows the kernel's text and the plan", async () => {
      expect(await text(page, "Kernel text")).toMatch(kernel);
      expect(await text(page, "Launch plan")).toMatch(/^\d+ chunks, 1 launch$/m);
      expect(await text(page, "Summary")).toMatch(/^Adam on .*: 1 launch a step$/m);
    });

    test("compiles for another optimizer and for a flag, and says why", async () => {
      await page.selectOption("#optimizer", "AdamW");
      await counted(page, { traces: 2, kernels: 2, plans: 2 });
      expect(await log(page, 3)).toEqual([
        expect.stringMatching(/^AdamW, step 0: plan first step /),
        expect.stringMatching(/^AdamW, step 0: kernel .* first step /),
        expect.stringMatching(/^AdamW, step 0: trace first step /),
      ]);
      await page.check("#amsgrad");
      await counted(page, { traces: 3, kernels: 3, plans: 3 });
      for (const line of await log(page, 3)) expect(line).toContain("amsgrad: false → true");
    });

    test("compiles nothing for an optimizer that was there before", async () => {
      await page.selectOption("#optimizer", "Adam");
      await counted(page, { traces: 3, kernels: 3, plans: 4 });
    });

    test("pauses, resets and starts", async () => {
      await page.click("#run");
      await page.click("#reset");
      const again = page.locator("#step", { hasText: new RegExp(`^step ${STEPS_A_TURN}$`) });
      await again.or(page.locator("#error:not([hidden])")).waitFor();
      await page.waitForTimeout(500);
      expect(await step(page)).toBe(STEPS_A_TURN);
      await page.click("#run");
      await stepped(page, 2 * STEPS_A_TURN);
    });

    test("fits a phone", async () => {
      await page.setViewportSize({ width: 390, height: 844 });
      await stepped(page, (await step(page)) + STEPS_A_TURN);
      const widths = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      expect(widths).toEqual([390, 390]);
    });

    test("complains of nothing, and asks no other site for anything", async () => {
      expect(complaints).toEqual([]);
      expect(foreign).toEqual([]);
      expect(await page.isVisible("#error")).toBe(false);
    });
  });

  test("without WebGPU and without WebAssembly's files, runs on cpu", async () => {
    const browser = await launch();
    try {
      const page = await browser.newPage();
      await page.route("**/*.wasm", (route) => route.abort());
      await page.goto(site.url);
      await stepped(page, 40);
      expect(await page.textContent("#backend")).toBe(
        "Runs on TensorFlow.js's cpu backend (plain JavaScript). Not on webgpu: navigator.gpu gives no adapter. Not on wasm: it did not start.",
      );
      const { stepjit, tfjs } = await losses(page);
      expect(stepjit).toBeLessThan(Math.log(2));
      expect(stepjit / tfjs).toBeCloseTo(1, 2);
    } finally {
      await browser.close();
    }
  });
});

/** As `npm run example:browser` has it, but minified. */
async function buildAndServe(outDir: string): Promise<Site> {
  const { build, preview } = await import("vite");
  const configFile = fileURLToPath(new URL("../../examples/browser/vite.config.ts", import.meta.url));
  const config = { configFile, logLevel: "error", build: { outDir, emptyOutDir: true } } as const;
  await build(config);
  const server = await preview({ ...config, preview: { host: "localhost", port: 0 } });
  const { port } = server.httpServer.address() as { port: number };
  return { url: `http://localhost:${port}/`, close: () => server.close() };
}

async function step(page: Page): Promise<number> {
  return Number((await page.textContent("#step"))?.replace("step ", ""));
}

function stepped(page: Page, steps: number): Promise<void> {
  return reached(page, "#step", steps);
}

/** Waits for a number that the page shows; rejects as soon as the page shows an error. */
async function reached(page: Page, selector: string, least: number): Promise<void> {
  const isThere = ({ selector, least }: { selector: string; least: number }) => {
    const error = document.querySelector("#error:not([hidden])");
    if (error) throw new Error(`the page says: ${error.textContent}`);
    return Number(document.querySelector(selector)?.textContent?.match(/\d+/)) >= least;
  };
  await page.waitForFunction(isThere, { selector, least });
}

/** The latest numbers beside a chart's lines: tf.train.adam's, then stepjit's. */
async function legend(page: Page, chart: "loss" | "time"): Promise<string[]> {
  return (await page.locator(`#${chart} .u-value`).allTextContents()).slice(1);
}

async function losses(page: Page): Promise<{ tfjs: number; stepjit: number }> {
  const [tfjs, stepjit] = (await legend(page, "loss")).map(Number);
  return { tfjs: tfjs as number, stepjit: stepjit as number };
}

interface Counts {
  readonly traces: number;
  readonly kernels: number;
  readonly plans: number;
}

async function counts(page: Page): Promise<Counts> {
  const [traces, kernels, plans] = await page.locator("#counts dd").allTextContents();
  return { traces: Number(traces), kernels: Number(kernels), plans: Number(plans) };
}

/** Waits for the next plan, and looks at all counters. */
async function counted(page: Page, expected: Counts): Promise<void> {
  await reached(page, "#plans", expected.plans);
  expect(await counts(page)).toEqual(expected);
}

async function text(page: Page, stage: string): Promise<string> {
  await page.getByRole("button", { name: stage }).click();
  return (await page.textContent("#text")) ?? "";
}

/** The latest lines, the last first. */
async function log(page: Page, lines: number): Promise<string[]> {
  return (await page.locator("#log li").allTextContents()).slice(0, lines);
}

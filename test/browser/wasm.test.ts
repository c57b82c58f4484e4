/** The default backend in a real browser: what a page that trains gets, with shared memory and without. */
import { rm } from "node:fs/promises";
import type { OutgoingHttpHeaders } from "node:http";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { canLaunch, launch } from "./chromium.ts";
import { ISOLATION, type Opened, open, PATIENCE } from "./opened.ts";
import type { Report } from "./page/main.ts";
import { type Outcome, type Setup, train } from "./page/training.ts";
import { buildPage, type Site, serve } from "./site.ts";
import { installSpies, THREADS } from "./spies.ts";

const SETUPS: readonly Setup[] = ["AdamW", "Damped"];
const NO_EVAL = { "Content-Security-Policy": "script-src 'self' 'wasm-unsafe-eval'; worker-src blob:" };

const SETTINGS: readonly { name: string; headers: OutgoingHttpHeaders; isolated: boolean; evals: boolean }[] =
  [
    { name: "an isolated page", headers: ISOLATION, isolated: true, evals: true },
    { name: "a page that is not isolated", headers: {}, isolated: false, evals: true },
    {
      name: "an isolated page without eval",
      headers: { ...ISOLATION, ...NO_EVAL },
      isolated: true,
      evals: false,
    },
  ];

describe.runIf(canLaunch("wasm in a browser"))("wasm in a browser", () => {
  let browser: Browser;
  let folder: string;
  let inNode: Record<Setup, Outcome>;

  beforeAll(async () => {
    browser = await launch();
    folder = await buildPage("page");
    inNode = { AdamW: await train("AdamW"), Damped: await train("Damped") };
  }, 2 * PATIENCE);

  afterAll(async () => {
    await browser?.close();
    if (folder) await rm(folder, { recursive: true });
  }, PATIENCE);

  describe.each(SETTINGS)("$name", ({ headers, isolated, evals }) => {
    let site: Site;
    let opened: Opened;
    let report: Report;

    beforeAll(async () => {
      site = await serve(folder, headers);
      opened = await open(browser, site.url, installSpies);
      report = await opened.ask("training at load", () => stepjit.report);
    }, 2 * PATIENCE);

    afterAll(async () => {
      await opened?.page.close();
      await site?.close();
    }, PATIENCE);

    test("is what it says", () => {
      expect(report.isolated).toBe(isolated);
      expect(report.threads).toBe(isolated ? THREADS : 1);
      for (const { outcome } of report.runs) expect(outcome.backend.includes("shared")).toBe(isolated);
    });

    test("trains to the same bits as Node", () => {
      expect(report.runs.map(({ setup, threads }) => [setup, threads])).toEqual(
        SETUPS.flatMap((setup) => [
          [setup, report.threads],
          [setup, 1],
        ]),
      );
      for (const { setup, outcome } of report.runs) expect(bits(outcome)).toEqual(bits(inNode[setup]));
    });

    test("compiles once, and nothing for a second instance or another learning rate", () => {
      const work = report.runs.map(({ outcome: { traces, kernels, launches } }) => ({
        traces,
        kernels,
        launches,
      }));
      expect(work).toEqual([
        { traces: 1, kernels: 1, launches: 1 },
        { traces: 0, kernels: 0, launches: 1 },
        { traces: 1, kernels: 2, launches: 2 },
        { traces: 0, kernels: 0, launches: 2 },
      ]);
    });

    test("keeps tensor.data right when memory grows between two steps", () => {
      const growth = report.runs[0]?.outcome.growth;
      expect(growth).toMatchObject({ intact: true, detached: !isolated });
      expect(growth?.after).toBeGreaterThan(growth?.before ?? Infinity);
    });

    test("says what is wrong with a gradient", () => {
      expect(report.runs[0]?.outcome.refusal).toBe(
        'StepjitError: AdamW, gradient of "layer4" has 84 elements, the parameter 85 (shape [17,5])',
      );
    });

    test.each(SETUPS)(
      isolated ? "%s: workers take part, and change no bit" : "%s: the page's own thread does all the work",
      async (setup) => {
        const all = await trainCounted(opened, setup, 1);
        expect(all.chunksHere).toBeGreaterThan(0);
        const end = Date.now() + PATIENCE;
        let shared: Counted;
        do {
          shared = await trainCounted(opened, setup, THREADS); // workers join when they are ready
          expect(bits(shared.outcome)).toEqual(bits(inNode[setup]));
        } while (isolated && shared.chunksHere === all.chunksHere && Date.now() < end);
        if (isolated) expect(shared.chunksHere, "chunks run by the main thread").toBeLessThan(all.chunksHere);
        else expect(shared.chunksHere).toBe(all.chunksHere);
      },
      2 * PATIENCE,
    );

    test("shows the report to people", async () => {
      const { page } = opened;
      expect(await page.textContent("#setting")).toContain(
        `Cross-origin isolated: ${isolated ? "yes" : "no"} · threads: ${report.threads}`,
      );
      const rows = await page.locator("#runs tr:has(td)").all();
      const cells = await Promise.all(rows.map((row) => row.locator("td").allTextContents()));
      expect(cells.map((row) => row.slice(0, 3))).toEqual(
        report.runs.map(({ setup, threads, outcome }) => [
          setup,
          String(threads),
          outcome.milliseconds.toFixed(2),
        ]),
      );
      expect(await page.textContent("#refusal")).toBe(report.runs[0]?.outcome.refusal);
    });

    test("complained of nothing, and never waited on the main thread", async () => {
      expect(opened.complaints).toEqual([]);
      expect(await opened.ask("counting", () => spies.waits)).toBe(0);
    });

    // Last, since a refusal is a complaint: the policy above was really in force.
    test(`${evals ? "may" : "may not"} run text as code`, async () => {
      const ran = await opened.ask("running text as code", async () => {
        setTimeout("globalThis.ranText = true");
        await new Promise((resolve) => setTimeout(resolve, 10));
        return "ranText" in globalThis;
      });
      expect(ran).toBe(evals);
    });
  });
});

interface Counted {
  readonly outcome: Outcome;
  readonly chunksHere: number;
}

function trainCounted({ ask }: Opened, setup: Setup, threads: number): Promise<Counted> {
  const run = async (argument: { setup: Setup; threads: number }) => {
    spies.chunksHere = 0;
    const outcome = await stepjit.train(argument.setup, { threads: argument.threads });
    return { outcome, chunksHere: spies.chunksHere };
  };
  return ask(`training ${setup} on ${threads} threads`, run, { setup, threads });
}

function bits({ parameters, state }: Outcome) {
  return { parameters, state };
}

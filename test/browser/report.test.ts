/** A report as it is opened from disk, in a real browser without a network. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildPage } from "../../build-page.js";
import { Adafactor, AdamW, compileStep, LAMB, tensor } from "../../src/index.ts";
import { reportData } from "../../src/report/data.ts";
import { fillPage } from "../../src/report/fill.ts";
import type { Engine } from "../../src/step/engine.ts";
import { engineOf } from "../../src/step/engines.ts";
import { type DryStep, type DryTarget, dryStep, type Shapes, shapesOf } from "../dry-step.ts";
import { canLaunch, launch } from "./chromium.ts";
import { open } from "./opened.ts";

const HOSTILE = '<img src="https://example.com/x.png" onerror="document.title = 1"></script><!--';

const STEPS: Readonly<Record<string, (target: DryTarget) => Pick<DryStep<never>, "step">>> = {
  "AdamW over resnet50": (target) =>
    dryStep(target, AdamW, [...shapesOf("resnet50"), [HOSTILE, [7]]] as Shapes),
  "Adafactor over gpt2-small": (target) => dryStep(target, Adafactor, shapesOf("gpt2-small")),
};

const CASES = (["wasm", "webgpu"] as const).flatMap((target) =>
  Object.keys(STEPS).map((name) => ({ name, target })),
);

describe.runIf(canLaunch("the report"))("the report", () => {
  let folder: string;
  let browser: Browser;
  let template: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "stepjit-report-"));
    template = await buildPage();
    browser = await launch();
  });

  afterAll(async () => {
    await browser?.close();
    if (folder) await rm(folder, { recursive: true });
  });

  describe.each(CASES)("of $name on $target", ({ name, target }) => {
    let page: Page;
    let complaints: readonly string[];
    const foreign: string[] = [];

    beforeAll(async () => {
      const engine = engineOf(
        (STEPS[name] as (target: DryTarget) => Pick<DryStep<never>, "step">)(target).step,
      );
      const html = fillPage(template, reportData(engine as NonNullable<typeof engine>));
      expect(Buffer.byteLength(html)).toBeLessThan(2e6);
      const file = join(folder, `${target}-${name.replaceAll(" ", "-")}.html`);
      await writeFile(file, html);
      const url = pathToFileURL(file).href;
      const start = performance.now();
      ({ page, complaints } = await open(browser, url, async (page) => {
        await page.setViewportSize({ width: 1280, height: 800 });
        await page.context().setOffline(true);
        page.on("request", (request) => {
          if (![url, "data:"].some((known) => request.url().startsWith(known))) foreign.push(request.url());
        });
      }));
      await page.locator("body[data-ready]").waitFor();
      const opened = (performance.now() - start).toFixed(0);
      console.info(
        `report of ${name} on ${target}: ${Buffer.byteLength(html)} bytes, open after ${opened} ms`,
      );
    });

    afterAll(() => page?.close());

    test("says what was compiled, and for how many bytes", async () => {
      expect(await page.textContent("h1")).toBe(name.split(" ")[0]);
      expect(await page.locator(".timeline .block.class").count()).toBeGreaterThan(0);
      expect(await page.locator(".bytes .part").count()).toBeGreaterThan(4);
      expect(await page.locator(".parameters tbody tr").count()).toBeGreaterThan(100);
    });

    test("shows what a pass did, and goes on with the arrow keys", async () => {
      await page.click("nav.views >> text=graph");
      expect(await stage(page)).toMatch(/^module/);
      await page.keyboard.press("ArrowRight");
      await page.keyboard.press("ArrowRight");
      expect(await stage(page)).toMatch(/^cse−\d+/);
      expect(await page.locator(".node.removed").count()).toBeGreaterThan(0);
      await page.uncheck("text=removed >> input");
      expect(await page.locator(".node.removed").count()).toBe(0);
      await page.check("text=removed >> input");
    });

    test("a node shows its source, and its lines in the kernel", async () => {
      await page.locator(".stages li button").last().click();
      await page.locator(".funcs button", { hasText: "kernel" }).last().click();
      const sqrt = page.locator(".node.value", { hasText: "sqrt" }).first();
      await sqrt.click();
      expect(await page.textContent(".details h3")).toMatch(/^%\d+ = sqrt %\d+$/);
      expect(await page.textContent(".source figcaption")).toMatch(/^src\/optim\/ada\w+\.ts:\d+:\d+$/);
      expect(await page.textContent(".source pre")).toContain("sqrt");
      const lines = await page.locator(".line.marked").allTextContents();
      expect(lines.length).toBeGreaterThan(0);
      for (const line of lines) expect(line).toContain("sqrt");
      const [box, holder] = await Promise.all(
        [".line.marked", ".holder"].map((selector) => page.locator(selector).first().boundingBox()),
      );
      expect(box?.y).toBeGreaterThan(holder?.y as number);
      expect(box?.y).toBeLessThan((holder?.y as number) + (holder?.height as number));
    });

    test("a line of the kernel shows its node, in the graph as it is and from the kernel's own view", async () => {
      await page.locator(".line.linked", { hasText: "= grad" }).first().click();
      expect(await page.textContent(".details h3")).toMatch(/= grad$/);
      await page.locator(".stages li button").first().click(); // it follows the value
      expect(await page.textContent(".details h3")).toMatch(/= grad$/);
      await page.click("nav.views >> text=kernels");
      await page.locator(".line.linked", { hasText: "= sqrt " }).first().click();
      expect(await page.textContent(".details h3")).toMatch(/= sqrt /);
      expect(await page.locator(".node.selected").count()).toBe(1);
    });

    test("a line of source shows what came of it", async () => {
      await page.keyboard.press("Escape");
      await page.locator(".lines button").last().click();
      expect(await page.locator(".node.selected").count()).toBeGreaterThan(0);
    });

    test("events have their reasons", async () => {
      await page.click("nav.views >> text=events");
      expect(await page.textContent(".verdict")).toBe(
        "Nothing was compiled after the first step, in 3 steps.",
      );
      expect(await page.textContent(".reason")).toBe("first step");
    });

    test("is legible in the light and in the dark, and fits a phone", async () => {
      for (const colorScheme of ["light", "dark"] as const) {
        await page.emulateMedia({ colorScheme });
        for (const view of ["overview", "graph", "kernels", "events"]) {
          await page.click(`nav.views >> text=${view}`);
          expect(await contrasts(page)).toEqual([]);
        }
      }
      await page.setViewportSize({ width: 390, height: 844 });
      for (const view of ["overview", "graph", "kernels", "events"]) {
        await page.click(`nav.views >> text=${view}`);
        expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
      }
    });

    test("complains of nothing, and asks nobody for anything", async () => {
      expect(complaints).toEqual([]);
      expect(foreign).toEqual([]);
      expect(await page.title()).toMatch(/ – stepjit report$/);
    });
  });

  test("shows times where a profile has them", async () => {
    const weight = [64, 32];
    const step = compileStep(new LAMB({ weight: tensor(weight) }));
    const profile = await step.profile(() => {
      for (let i = 0; i < 3; i++) step({ weight: tensor(weight) });
    });
    const file = join(folder, "timed.html");
    await writeFile(file, fillPage(template, reportData(engineOf(step) as Engine, profile)));
    const { page, complaints } = await open(browser, pathToFileURL(file).href);
    await page.locator("body[data-ready]").waitFor();
    expect(await page.textContent("main")).toContain("lengths are times, medians of 3 calls");
    expect(await page.locator(".timeline .block.class").allTextContents()).toEqual(
      expect.arrayContaining([expect.stringMatching(/^[\d.]+ (ms|µs)$/)]),
    );
    expect(complaints).toEqual([]);
    await page.close();
  });
});

async function stage(page: Page): Promise<string> {
  return (await page.textContent(".stages [aria-current]")) ?? "";
}

/** Texts of less contrast to what is behind them than WCAG's 4.5, or 3 where they only help. */
function contrasts(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    if (!canvas) throw new Error("no canvas");
    const paint = (colours: readonly string[]) => {
      canvas.clearRect(0, 0, 1, 1);
      for (const colour of colours) {
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
      }
      return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const luminance = (colour: readonly number[]) => {
      const [red = 0, green = 0, blue = 0] = colour.map((byte) => {
        const part = byte / 255;
        return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const behind = (element: Element | null): string[] =>
      element ? [...behind(element.parentElement), getComputedStyle(element).backgroundColor] : [];
    const seen = new Map<string, string>();
    for (const element of document.querySelectorAll("body *")) {
      const isText = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent?.trim());
      if (!isText || element instanceof SVGElement || element.closest("script, style, noscript, :disabled"))
        continue;
      const below = behind(element);
      const { color } = getComputedStyle(element);
      const [a, b] = [luminance(paint([...below, color])), luminance(paint(below))];
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      const least = element.closest(".t-mark, .t-comment") ? 3 : 4.5;
      if (ratio < least)
        seen.set(
          `${element.className} on ${below.at(-1)}`,
          `${element.className} "${element.textContent?.slice(0, 30)}": ${ratio.toFixed(2)}`,
        );
    }
    return [...seen.values()];
  });
}

/** A page that a test asks things, and what it complains about. */
import type { Browser, Page } from "playwright-core";

/** Milliseconds for anything that a page or the browser is asked to do. */
export const PATIENCE = 60_000;

/** Headers with which a page may share memory. */
export const ISOLATION = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

export interface Opened {
  readonly page: Page;
  /** Console errors, warnings and uncaught errors, of workers too. */
  readonly complaints: readonly string[];
  /** What a function gives in the page; rejects, with the page's complaints, where that takes too long. */
  ask<T>(what: string, run: () => T | Promise<T>): Promise<T>;
  ask<T, A>(what: string, run: (argument: A) => T | Promise<T>, argument: A): Promise<T>;
}

/** Opens a page; `prepare` is called before the page's own scripts run. */
export async function open(
  browser: Browser,
  url: string,
  prepare: (page: Page) => Promise<void> = async () => {},
): Promise<Opened> {
  const page = await browser.newPage();
  const complaints: string[] = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(`uncaught: ${error.stack ?? error}`));
  page.on("crash", () => complaints.push("the page crashed"));
  await prepare(page);
  await page.goto(url, { timeout: PATIENCE });
  const ask = (what: string, run: (argument: never) => unknown, argument?: unknown) =>
    within(page.evaluate(run as () => unknown, argument as undefined), () => {
      return `${what}: no answer within ${PATIENCE} ms; complaints: ${complaints.join("\n") || "none"}`;
    });
  return { page, complaints, ask: ask as Opened["ask"] };
}

async function within<T>(answer: Promise<T>, describe: () => string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(describe())), PATIENCE);
  });
  return Promise.race([answer, late]).finally(() => clearTimeout(timer));
}

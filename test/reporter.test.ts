import { afterEach, expect, test, vi } from "vitest";
import { sayLeftOut } from "./left-out.ts";
import CountReporter from "./reporter.ts";

afterEach(() => vi.restoreAllMocks());

/** What a function says on the console. */
function said(method: "log" | "error", work: () => void): string[] {
  const spy = vi.spyOn(console, method).mockImplementation(() => {});
  work();
  return spy.mock.calls.map(([line]) => line as string);
}

test("the last line counts; before it, each reason for leaving tests out is told once", () => {
  const reasons = ["no GPU: none at /dev", "no GPU: none at /dev", "no browser. To install one: x && y"];
  const lines = said("error", () => {
    for (const reason of reasons) sayLeftOut("some tests", reason);
  });
  const reporter = new CountReporter();
  const log = (content: string) => reporter.onUserConsoleLog({ content } as never);
  log(`${lines[0]}\nanything\n${lines[1]}\n`);
  log(`${lines[2]}\n`);
  expect(said("log", () => reporter.onTestRunEnd([], []))).toEqual([
    "Some tests were left out: no GPU: none at /dev",
    "Some tests were left out: no browser. To install one: x && y",
    "0 passed, 0 failed",
  ]);
});

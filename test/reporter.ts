import type { UserConsoleLog } from "vitest";
import type { Reporter, TestModule } from "vitest/node";
import { reasonsIn } from "./left-out.ts";

/**
 * Ends the output with one line that a script can read: `N passed, N failed`, and `, N skipped` if any were. Before it, why tests were
 * left out, each reason once.
 */
export default class CountReporter implements Reporter {
  readonly #reasons = new Set<string>();

  onUserConsoleLog({ content }: UserConsoleLog): void {
    for (const reason of reasonsIn(content)) this.#reasons.add(reason);
  }

  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const count = (state: string) => tests.filter((test) => test.result().state === state).length;
    const groups = modules.flatMap((module) => [module, ...module.children.allSuites()]);
    const broken = groups.filter((group) => group.errors().length > 0).length + errors.length;
    const skipped = count("skipped");
    for (const reason of this.#reasons) console.log(`Some tests were left out: ${reason}`);
    const line = `${count("passed")} passed, ${count("failed") + broken} failed`;
    console.log(skipped > 0 ? `${line}, ${skipped} skipped` : line);
  }
}

/** Tests that a machine cannot run: said when they are met, and summed up at the end of all (reporter.ts). */

/** Says on stderr that the tests of this name are left out. `reason` is one line, with what there is to do about it. */
export function sayLeftOut(name: string, reason: string): void {
  console.error(`SKIPPED: ${name}: ${reason}`);
}

/** The reasons that are told in what tests have said. */
export function reasonsIn(said: string): string[] {
  return Array.from(said.matchAll(/^SKIPPED: .+?: (.+)$/gm), ([, reason]) => reason as string);
}

import { printEvent } from "../step/events.ts";
import { listen } from "../step/listeners.ts";

/**
 * Runs some work, and throws if any step was traced or compiled again meanwhile, whoever made it; the message has each event with its
 * reason. What is compiled for a step's first call is no recompile, and neither is another plan. Gives what the work gives; of a
 * promise, waits for it.
 */
export function expectNoRecompiles<T>(work: () => T): T {
  const lines: string[] = [];
  const stop = listen((event, optimizer) => {
    if (event.step > 0 && event.kind !== "plan") lines.push(`  ${optimizer}, ${printEvent(event)}`);
  });
  const check = <R>(result: R): R => {
    if (lines.length > 0)
      throw new Error(`nothing was to be compiled again, and this was:\n${lines.join("\n")}`);
    return result;
  };
  let isPending = false;
  try {
    const result = work();
    if (!(result instanceof Promise)) return check(result);
    isPending = true;
    return result.then(check).finally(stop) as T;
  } finally {
    if (!isPending) stop();
  }
}

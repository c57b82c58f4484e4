/** A measurement in a process of its own: nothing is warm, nothing is left over, and its memory goes back. */
import { fork } from "node:child_process";

/** Runs a module of this folder, which answers with `answer`; Node's own options (loader, gc) are passed on. */
export function inFreshProcess<T>(module: string, ...args: readonly string[]): Promise<T> {
  const child = fork(new URL(module, import.meta.url), args, { serialization: "advanced" });
  return new Promise((resolve, reject) => {
    let result: T | undefined;
    child.on("message", (message) => {
      result = message as T;
    });
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      if (result !== undefined) resolve(result);
      else reject(new Error(`${module} ${args.join(" ")} ended without a result (${signal ?? code})`));
    });
  });
}

/** Sends the result to who asked and ends the process, whatever workers it has; printed where nobody asked. */
export function answer(result: unknown): void {
  if (process.send) process.send(result, () => process.exit());
  else console.dir(result, { depth: null });
}

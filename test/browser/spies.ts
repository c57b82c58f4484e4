/** What a test installs in a page before the page's own scripts run, to see what happens inside. */
import type { Page } from "playwright-core";
import { compile as assemble } from "watr";

export interface Spies {
  /** Chunks that the page's main thread has run, out of all threads. */
  chunksHere: number;
  /** Calls of Atomics.wait on the main thread, where a browser forbids it. */
  waits: number;
}

declare global {
  var spies: Spies;
}

/** More than one, however few cores the machine has. */
export const THREADS = 3;

/** A kernel that counts and then calls the real one. */
const COUNTING_KERNEL = `(module
  (import "env" "count" (func $count))
  (import "env" "run" (func $run (param i32 i32 i32 i32)))
  (func (export "run") (param i32 i32 i32 i32)
    (call $count)
    (call $run (local.get 0) (local.get 1) (local.get 2) (local.get 3))))`;

export async function installSpies(page: Page): Promise<void> {
  const countingKernel = Array.from(assemble(COUNTING_KERNEL) as Uint8Array);
  await page.addInitScript(spy, { threads: THREADS, countingKernel });
}

/** Runs in the page, not in its workers: what is counted is the main thread's share. */
function spy({ threads, countingKernel }: { threads: number; countingKernel: readonly number[] }): void {
  globalThis.spies = { chunksHere: 0, waits: 0 };
  Object.defineProperty(navigator, "hardwareConcurrency", { value: threads });
  Atomics.wait = () => {
    spies.waits++;
    throw new Error("Atomics.wait on the main thread");
  };

  const { Instance, Module } = WebAssembly;
  const counter = new Module(Uint8Array.from(countingKernel));
  const count = () => void spies.chunksHere++;
  const instantiate = (module: WebAssembly.Module, imports?: WebAssembly.Imports) => {
    const instance = new Instance(module, imports);
    const { run } = instance.exports;
    return run ? new Instance(counter, { env: { run, count } }) : instance;
  };
  WebAssembly.Instance = new Proxy(Instance, {
    construct: (_, [module, imports]) => instantiate(module, imports),
  });
}

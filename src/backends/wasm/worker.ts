/**
 * What a worker runs, as plain JavaScript text: it has to start from a string, without a file and without a loader, in Node
 * (`eval: true`) and in a browser (a Blob).
 *
 * It claims spans while there are any (a trap costs only its own span), spins for at most 50 microseconds for the next launch and then sleeps. A launch that
 * needs a kernel it has not got sends it back to its event loop to read its mail.
 */
import { CONTROL } from "./layout.ts";

/** A worker's first message; each later one is a compiled kernel, in the order of the function table. */
export interface WorkerStart {
  readonly memory: WebAssembly.Memory;
  /** Address of the control block. */
  readonly control: number;
  /** 1, 2, 3 …; the launching thread is 0. */
  readonly thread: number;
  readonly walker: WebAssembly.Module;
  readonly kernels: readonly WebAssembly.Module[];
}

export const WORKER_TEXT = `"use strict";
const port = typeof require === "function" ? require("node:worker_threads").parentPort : self;
let memory, control, thread, words, walker;

port.onmessage = ({ data }) => {
  if (data instanceof WebAssembly.Module) install(data);
  else start(data);
  workUntilMail();
};

function start(message) {
  ({ memory, control, thread } = message);
  words = new Int32Array(memory.buffer, control, ${CONTROL.bytes / 4});
  walker = new WebAssembly.Instance(message.walker, { env: { memory } }).exports;
  for (const kernel of message.kernels) install(kernel);
  port.postMessage("ready");
}

function install(kernel) {
  const { run } = new WebAssembly.Instance(kernel, { env: { memory }, Math }).exports;
  walker.kernels.set(walker.kernels.grow(1), run);
}

function workUntilMail() {
  while (Atomics.load(words, ${CONTROL.kernels / 4}) <= walker.kernels.length) {
    const epoch = Atomics.load(words, ${CONTROL.epoch / 4});
    while (!workUntilTrap());
    awaitLaunch(epoch);
  }
}

function workUntilTrap() {
  try {
    walker.work(control, thread);
    return true;
  } catch {
    Atomics.add(words, ${CONTROL.trapped / 4}, 1);
    Atomics.add(words, ${CONTROL.done / 4}, 1);
    return false;
  }
}

function awaitLaunch(epoch) {
  const end = performance.now() + 0.05;
  while (performance.now() < end) if (Atomics.load(words, ${CONTROL.epoch / 4}) !== epoch) return;
  Atomics.add(words, ${CONTROL.sleepers / 4}, 1);
  Atomics.wait(words, ${CONTROL.epoch / 4}, epoch);
  Atomics.sub(words, ${CONTROL.sleepers / 4}, 1);
}
`;

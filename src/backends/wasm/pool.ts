/**
 * Threads for one heap. A launch is published in the control block; whoever is awake claims spans of it, the caller included, so
 * a launch never waits for a worker that has claimed nothing. Workers are started by the second launch that is worth it,
 * and join when they are ready.
 */
import type { Worker as NodeWorker } from "node:worker_threads";
import type { Heap } from "./heap.ts";
import { alignTo, CLOSED, CONTROL } from "./layout.ts";
import type { Walker } from "./walker.ts";
import { WORKER_TEXT, type WorkerStart } from "./worker.ts";

/** What the pool needs of a worker, in Node and in a browser. */
interface Thread {
  post(message: WorkerStart | WebAssembly.Module): void;
  terminate(): void;
}

export interface Job {
  /** Of the job block. */
  readonly address: number;
  readonly spanCount: number;
  /** Kernels a thread must have installed to take part. */
  readonly kernels: number;
}

export class Pool {
  /** That may work, the caller included. */
  readonly threads: number;
  readonly #heap: Heap;
  readonly #walker: Walker;
  readonly #walkerModule: WebAssembly.Module;
  readonly #kernels: WebAssembly.Module[] = [];
  readonly #control: number;
  readonly #words: Int32Array;
  readonly #claim: BigInt64Array;
  #workers: Thread[] | undefined;
  #epoch = 0;

  constructor(heap: Heap, walker: Walker, walkerModule: WebAssembly.Module, threads: number) {
    this.threads = threads;
    this.#heap = heap;
    this.#walker = walker;
    this.#walkerModule = walkerModule;
    this.#control = alignTo(heap.allocate(CONTROL.bytes + 128), 128);
    this.#words = new Int32Array(heap.memory.buffer, this.#control, CONTROL.bytes / 4);
    this.#claim = new BigInt64Array(heap.memory.buffer, this.#control + CONTROL.claim, 1);
    this.#close();
  }

  /** Makes a kernel known to all workers, present and future. */
  add(kernel: WebAssembly.Module): void {
    this.#kernels.push(kernel);
    for (const worker of this.#workers ?? []) worker.post(kernel);
  }

  /** Runs a job to its end, on at most this many threads. Throws where a kernel trapped, on whichever thread. */
  run({ address, kernels }: Job, threads: number): void {
    // Not in the first launch: starting workers would be most of a first step's time.
    if (this.#epoch > 0) this.#workers ??= this.#start();
    const words = this.#words;
    words[CONTROL.job / 4] = address;
    words[CONTROL.threads / 4] = threads;
    words[CONTROL.kernels / 4] = kernels;
    Atomics.store(words, CONTROL.done / 4, 0);
    Atomics.store(words, CONTROL.trapped / 4, 0);
    this.#open();
    let trap: unknown;
    try {
      this.#walker.work(this.#control, 0);
    } catch (error) {
      trap = error;
    }
    // Whoever claimed a span says when it is done, even if it trapped there; only the caller's own trap is known here.
    const claimed = this.#close() - (trap ? 1 : 0);
    while (Atomics.load(words, CONTROL.done / 4) < claimed);
    if (trap) throw trap;
    if (Atomics.load(words, CONTROL.trapped / 4) > 0) throw new Error("on a worker");
  }

  dispose(): void {
    for (const worker of this.#workers ?? []) worker.terminate();
    this.#workers = [];
  }

  #open(): void {
    this.#epoch = (this.#epoch + 1) >>> 0;
    Atomics.store(this.#claim, 0, BigInt.asIntN(64, BigInt(this.#epoch) << 32n));
    if (Atomics.load(this.#words, CONTROL.sleepers / 4) > 0) Atomics.notify(this.#words, CONTROL.epoch / 4);
  }

  /** No span can be claimed from here on; says how many were. */
  #close(): number {
    const closed = (BigInt(this.#epoch) << 32n) | BigInt(CLOSED);
    const word = Atomics.exchange(this.#claim, 0, BigInt.asIntN(64, closed));
    return Number(BigInt.asUintN(32, word));
  }

  /** Where a page's policy forbids workers, the caller works alone. */
  #start(): Thread[] {
    const workers: Thread[] = [];
    try {
      while (workers.length < this.threads - 1) workers.push(this.#startOne(workers.length + 1));
    } catch {}
    return workers;
  }

  #startOne(thread: number): Thread {
    const worker = startThread();
    worker.post({
      memory: this.#heap.memory,
      control: this.#control,
      thread,
      walker: this.#walkerModule,
      kernels: this.#kernels,
    });
    return worker;
  }
}

/** Node's own modules without an import statement, which a bundle for browsers could not resolve. */
function nodeModule<T>(name: string): T | undefined {
  const { process } = globalThis as { process?: { getBuiltinModule?: (name: string) => T } };
  return process?.getBuiltinModule?.(name);
}

/** How many threads this machine can run at once. */
export function availableThreads(): number {
  const os = nodeModule<{ availableParallelism(): number }>("node:os");
  return os?.availableParallelism() ?? globalThis.navigator?.hardwareConcurrency ?? 1;
}

function startThread(): Thread {
  const node = nodeModule<{ Worker: typeof NodeWorker }>("node:worker_threads");
  return node ? startNodeThread(node.Worker) : startBrowserThread();
}

/** Referenced until it is ready (an exit before that would end Node with code 13), never after (it would keep Node alive). */
function startNodeThread(WorkerThread: typeof NodeWorker): Thread {
  const worker = new WorkerThread(WORKER_TEXT, { eval: true, execArgv: [] });
  worker.once("message", () => worker.unref());
  // A worker that cannot start claims nothing and so costs nothing.
  worker.on("error", () => {});
  return { post: (message) => worker.postMessage(message), terminate: () => void worker.terminate() };
}

function startBrowserThread(): Thread {
  const url = URL.createObjectURL(new Blob([WORKER_TEXT], { type: "text/javascript" }));
  const worker = new Worker(url);
  worker.onmessage = () => URL.revokeObjectURL(url);
  return { post: (message) => worker.postMessage(message), terminate: () => worker.terminate() };
}

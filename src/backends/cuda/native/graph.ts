/** Steps as CUDA graphs: what they would enqueue, with one launch. */
import type { Device } from "./device.ts";
import type { Slot } from "./pinned.ts";
import { shapeOf, type Work } from "./work.ts";

/** Runs on their way at once at most: each has pinned memory of its own for what it uploads. */
const INSTANCES = 3;
/** CU_STREAM_CAPTURE_MODE_THREAD_LOCAL. */
const THREAD_LOCAL = 1;

/** A captured list, which may be launched again once its last run is done. */
interface Instance {
  readonly executable: bigint;
  /** Pinned memory of its uploads and downloads, in order. */
  readonly slots: readonly Slot[];
  /** Its event is recorded after each launch. */
  readonly done: Slot;
}

/**
 * Steps that are launched as one: `gpu.graph()`.
 *
 *     const graph = gpu.graph();
 *     for (…) {
 *       optimizer.paramGroups[0].lr = schedule(i);
 *       graph.run(() => step(gradients));      // the same gradients' memory at each run
 *     }
 *
 * The driver gets a whole step, or several, with one call; that pays where a step has several launches (clipping, Adafactor). The work is
 * captured when it is seen for the second time, and again where it changes: other gradients, another plan. Hyperparameters are numbers in
 * what is uploaded.
 */
export class Graph {
  readonly #device: Device;
  /** Of the work that was seen last. */
  #shape = "";
  #captures = 0;
  /** The one that was launched longest ago comes first. */
  readonly #instances: Instance[] = [];

  /** @internal Use `gpu.graph()`. */
  constructor(device: Device) {
    this.#device = device;
  }

  /** How often other work than before was captured: 1 as long as all runs did the same. */
  get captures(): number {
    return this.#captures;
  }

  /** Takes the steps in `work`, which must not wait for any. What it throws is thrown; then its steps were launched one by one. */
  run(work: () => void): void {
    const listed = this.#device.list(work);
    if (listed.length === 0) return;
    const shape = listed.map(shapeOf).join("\n");
    if (shape !== this.#shape) {
      // Seen for the first time, and maybe the last: what fills memory at the start. Its kernels are loaded by it, too.
      this.dispose();
      this.#shape = shape;
      this.#device.doListed(listed);
      return;
    }
    if (this.#instances.length === 0) this.#captures++;
    this.#launch(this.#instanceFor(listed), listed);
  }

  /** Gives back what the driver keeps of it, once that is done. */
  dispose(): void {
    const { driver, pinned } = this.#device;
    for (const { executable, slots, done } of this.#instances.splice(0)) {
      driver.call("cuEventSynchronize", done.event);
      fetchAll(slots);
      driver.call("cuGraphExecDestroy", executable);
      for (const slot of [...slots, done]) pinned.free(slot);
    }
    this.#shape = "";
  }

  #instanceFor(listed: readonly Work[]): Instance {
    const { driver, pinned } = this.#device;
    const [oldest] = this.#instances;
    if (!oldest || (this.#instances.length < INSTANCES && !isFree(oldest))) {
      const made = this.#capture(listed);
      this.#instances.push(made);
      return made;
    }
    if (!isFree(oldest)) {
      pinned.waits++;
      driver.call("cuEventSynchronize", oldest.done.event);
      fetchAll(oldest.slots);
    }
    this.#instances.push(this.#instances.shift() as Instance);
    return oldest;

    function isFree({ done, slots }: Instance): boolean {
      return pinned.isDone(done) && slots.every(({ fetch }) => !fetch);
    }
  }

  #capture(listed: readonly Work[]): Instance {
    const device = this.#device;
    const { driver, pinned, stream } = device;
    // Nothing may be allocated while a stream is captured.
    const slots = listed.flatMap((work) => {
      if (work.kind === "upload") return [pinned.allocate(work.bytes.length)];
      return work.kind === "download" ? [pinned.allocate(work.bytes)] : [];
    });
    const done = pinned.allocate(8);
    let next = 0;
    const slotFor = () => slots[next++] as Slot;
    driver.call("cuStreamBeginCapture_v2", stream, THREAD_LOCAL);
    const graph = captured(() => {
      for (const work of listed)
        device.enqueue(work.kind === "download" ? { ...work, take: () => {} } : work, slotFor);
    });
    const executable = driver.make("cuGraphInstantiateWithFlags", graph, 0);
    driver.call("cuGraphDestroy", graph);
    return { executable, slots, done };

    /** A capture is ended whatever happens: else the stream would be of no use. */
    function captured(enqueue: () => void): bigint {
      try {
        enqueue();
      } catch (error) {
        driver.ask("cuStreamEndCapture", stream, new BigUint64Array(1));
        throw error;
      }
      const graph = new BigUint64Array(1);
      driver.call("cuStreamEndCapture", stream, graph);
      return graph[0] as bigint;
    }
  }

  #launch({ executable, slots, done }: Instance, listed: readonly Work[]): void {
    const { driver, stream } = this.#device;
    const moves = listed.filter(({ kind }) => kind === "upload" || kind === "download");
    moves.forEach((work, index) => {
      if (work.kind === "upload") slots[index]?.bytes.set(work.bytes);
    });
    driver.call("cuGraphLaunch", executable, stream);
    driver.call("cuEventRecord", done.event, stream);
    moves.forEach((work, index) => {
      if (work.kind !== "download") return;
      const slot = slots[index] as Slot;
      driver.call("cuEventRecord", slot.event, stream);
      work.take(slot);
    });
    this.#device.afterGraph();
  }
}

/** What was copied there is read now: who asked for it has not come to it yet. */
function fetchAll(slots: readonly Slot[]): void {
  for (const slot of slots) slot.fetch?.();
}

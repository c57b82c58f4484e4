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
    const device = this.#device;
    const listed = device.list(work);
    let instance: Instance | undefined;
    try {
      if (listed.length > 0) instance = this.#launch(listed);
    } catch (error) {
      device.doListed(listed);
      throw error;
    }
    if (instance) this.#launched(instance, listed);
    else device.doListed(listed);
  }

  /** Gives back what the driver keeps of it, once that is done. */
  dispose(): void {
    const { driver, pinned } = this.#device;
    this.#device.graphs.delete(this);
    for (const { executable, slots, done } of this.#instances.splice(0)) {
      if (driver.broken) continue; // it has gone with all else
      driver.call("cuEventSynchronize", done.event);
      fetchAll(slots);
      driver.call("cuGraphExecDestroy", executable);
      for (const slot of [...slots, done]) pinned.free(slot);
    }
    this.#shape = "";
  }

  /** Undefined where work is seen for the first time, and maybe the last: what fills memory at the start. Its kernels are loaded without. */
  #launch(listed: readonly Work[]): Instance | undefined {
    const { driver, stream } = this.#device;
    const shape = listed.map(shapeOf).join("\n");
    if (shape !== this.#shape) {
      this.dispose();
      this.#shape = shape;
      return undefined;
    }
    if (this.#instances.length === 0) this.#captures++;
    const instance = this.#instanceFor(listed);
    movesIn(listed).forEach((work, index) => {
      if (work.kind === "upload") instance.slots[index]?.bytes.set(work.bytes);
    });
    driver.call("cuGraphLaunch", instance.executable, stream);
    return instance;
  }

  #instanceFor(listed: readonly Work[]): Instance {
    const { driver, pinned } = this.#device;
    const [oldest] = this.#instances;
    if (!oldest || (this.#instances.length < INSTANCES && !isFree(oldest))) {
      const made = this.#capture(listed);
      this.#instances.push(made);
      this.#device.graphs.add(this);
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
    const { driver, pinned } = this.#device;
    const slots: Slot[] = [];
    try {
      // First, since nothing can be allocated while a stream is captured.
      for (const { bytes } of movesIn(listed))
        slots.push(pinned.allocate(typeof bytes === "number" ? bytes : bytes.length));
      const done = pinned.allocate(8);
      slots.push(done);
      const graph = this.#record(listed, slots);
      try {
        const executable = driver.make("cuGraphInstantiateWithFlags", graph, 0);
        return { executable, slots: slots.slice(0, -1), done };
      } finally {
        driver.ask("cuGraphDestroy", graph);
      }
    } catch (error) {
      if (!driver.broken) for (const slot of slots) pinned.free(slot);
      throw error;
    }
  }

  /** The list as the driver's graph, with pinned memory for all that it moves, in order. A capture is ended whatever happens: else the stream would be of no use. */
  #record(listed: readonly Work[], slots: readonly Slot[]): bigint {
    const { driver, stream } = this.#device;
    const graph = new BigUint64Array(1);
    driver.call("cuStreamBeginCapture_v2", stream, THREAD_LOCAL);
    try {
      let moves = 0;
      for (const work of listed) this.#device.enqueue(work, isMove(work) ? slots[moves++] : undefined);
    } catch (error) {
      driver.ask("cuStreamEndCapture", stream, graph);
      if (graph[0]) driver.ask("cuGraphDestroy", graph[0]);
      throw error;
    }
    driver.call("cuStreamEndCapture", stream, graph);
    return graph[0] as bigint;
  }

  /** Says to downloads where their bytes will be. */
  #launched({ slots, done }: Instance, listed: readonly Work[]): void {
    const { driver, stream } = this.#device;
    const moves = movesIn(listed);
    try {
      driver.call("cuEventRecord", done.event, stream);
      moves.forEach((work, index) => {
        if (work.kind !== "download") return;
        const slot = slots[index] as Slot;
        driver.call("cuEventRecord", slot.event, stream);
        work.take(slot);
      });
    } catch (error) {
      for (const work of moves) if (work.kind === "download") work.lose(error);
      throw error;
    }
    this.#device.afterGraph();
  }
}

type Move = Extract<Work, { readonly kind: "upload" | "download" }>;

function isMove(work: Work): work is Move {
  return work.kind === "upload" || work.kind === "download";
}

function movesIn(listed: readonly Work[]): Move[] {
  return listed.filter(isMove);
}

/** What was copied there is read now: who asked for it has not come to it yet. */
function fetchAll(slots: readonly Slot[]): void {
  for (const slot of slots) slot.fetch?.();
}

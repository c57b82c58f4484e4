/**
 * Host memory that the device copies from and to by itself while the program goes on. It is taken in slots of a few sizes, each with an
 * event that says when its copy is done; only then is it used again.
 */
import { StepjitError } from "../../../error.ts";
import { CUDA_ERROR_NOT_READY, CUDA_SUCCESS, type Driver } from "./driver.ts";

/** Makes a Uint8Array of memory at an address. */
export type ViewOf = (address: bigint, bytes: number) => Uint8Array;

/** Slots are powers of two from here on. */
const LEAST_BYTES = 4096;
/** Larger memory is taken for one copy and given back. */
export const MOST_BYTES = 4 * 2 ** 20;
/** Slots of one size, unless all of them hold what nobody has fetched yet. */
const SLOTS = 8;

/** CU_EVENT_DISABLE_TIMING. */
const NO_TIMING = 2;

export class Slot {
  readonly address: bigint;
  readonly bytes: Uint8Array;
  /** Recorded after its copy. */
  readonly event: bigint;
  /** Whether it is given back after its copy. */
  readonly isForOnce: boolean;
  /** Where somebody is still to read it: what does that now, once its copy is done. */
  fetch: (() => void) | undefined;

  constructor(address: bigint, bytes: Uint8Array, event: bigint, isForOnce: boolean) {
    this.address = address;
    this.bytes = bytes;
    this.event = event;
    this.isForOnce = isForOnce;
  }
}

export class Pinned {
  /** How often the host had to wait for a slot. */
  waits = 0;
  readonly #driver: Driver;
  readonly #viewOf: ViewOf;
  /** All that were not given back. */
  readonly #slots = new Set<Slot>();
  /** By size; the one that was used longest ago comes first. */
  readonly #rings = new Map<number, Slot[]>();

  constructor(driver: Driver, viewOf: ViewOf) {
    this.#driver = driver;
    this.#viewOf = viewOf;
  }

  /** At least so many bytes, which no copy uses any more: to be used for one, and its event recorded then. Throws `out-of-memory`. */
  take(bytes: number): Slot {
    if (bytes > MOST_BYTES) return this.allocate(bytes, true);
    const size = Math.max(LEAST_BYTES, 2 ** Math.ceil(Math.log2(bytes)));
    const ring = this.#rings.get(size) ?? [];
    this.#rings.set(size, ring);
    const at = ring.findIndex(({ fetch }) => !fetch);
    const oldest = ring[at];
    if (!oldest || (ring.length < SLOTS && !this.isDone(oldest))) {
      const slot = this.allocate(size);
      ring.push(slot);
      return slot;
    }
    if (!this.isDone(oldest)) {
      this.waits++;
      this.#driver.call("cuEventSynchronize", oldest.event);
    }
    ring.splice(at, 1);
    ring.push(oldest);
    return oldest;
  }

  /** Memory of one's own, until it is freed. Throws `out-of-memory`. */
  allocate(bytes: number, isForOnce = false): Slot {
    const driver = this.#driver;
    const event = driver.make("cuEventCreate", NO_TIMING);
    try {
      const address = driver.make("cuMemHostAlloc", bytes, 0);
      const slot = new Slot(address, this.#viewOf(address, bytes), event, isForOnce);
      this.#slots.add(slot);
      return slot;
    } catch (error) {
      driver.ask("cuEventDestroy_v2", event);
      if (!(error instanceof StepjitError) || error.code !== "out-of-memory") throw error;
      throw new StepjitError("out-of-memory", `cuda: no pinned memory of the host for ${bytes} bytes`, {
        cause: error,
      });
    }
  }

  /** It was read. */
  release(slot: Slot): void {
    slot.fetch = undefined;
    if (slot.isForOnce) this.free(slot);
  }

  free(slot: Slot): void {
    if (!this.#slots.delete(slot)) return; // given back when all was
    this.#driver.call("cuMemFreeHost", slot.address);
    this.#driver.call("cuEventDestroy_v2", slot.event);
  }

  isDone({ event }: Slot): boolean {
    const code = this.#driver.ask("cuEventQuery", event);
    if (code === CUDA_SUCCESS) return true;
    if (code === CUDA_ERROR_NOT_READY) return false;
    throw this.#driver.errorOf("cuEventQuery", code);
  }

  /** Gives all slots back: nothing is queued any more, so what is to be read can be. */
  close(): void {
    for (const slot of this.#slots) {
      slot.fetch?.();
      this.free(slot);
    }
    this.#rings.clear();
  }
}

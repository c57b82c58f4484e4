/** The WebAssembly SIMD backend: the default, and nothing to install. */
import { DISPOSE } from "../../dispose.ts";
import { StepjitError } from "../../error.ts";
import { ELEMENT_BYTES, type FloatType } from "../../ir/type.ts";
import type { Backend, FloatArray, Pipeline, Runner, SlotRequest, Storage, Tables } from "../backend.ts";
import { WatGenerator } from "./generator.ts";
import { ForeignHeap, type ForeignMemory, OwnHeap } from "./heap.ts";
import { availableThreads } from "./pool.ts";
import { type WasmPipeline, WasmRunner } from "./runner.ts";
import { WasmStorage } from "./storage.ts";
import { employ, install, type Workforce } from "./workforce.ts";

/** What `wasm()` takes: threads, and the memory of another WebAssembly program. */
export interface WasmOptions extends Partial<ForeignMemory> {
  /** Threads that may work on a launch, the caller included. Default: as many as the machine runs at once. */
  readonly threads?: number;
}

/**
 * A WebAssembly backend. Its memory is shared wherever a SharedArrayBuffer can be made (Node; a cross-origin isolated page), and
 * then worker threads join large launches.
 *
 * To work inside the memory of another WebAssembly program, give `memory` and the program's `allocate` and `free`.
 */
export function wasm(options: WasmOptions = {}): WasmBackend {
  return new WasmBackend(options);
}

let common: WasmBackend | undefined;

/** The backend that the whole process has in common, made at the first call. */
export function defaultWasm(): WasmBackend {
  common ??= wasm();
  return common;
}

/** What `wasm()` makes. Works on float32 and float64. */
export class WasmBackend extends WatGenerator implements Backend {
  readonly threads: number;
  readonly #workforce: Workforce;

  constructor({ threads = availableThreads(), memory, allocate, free }: WasmOptions) {
    if (!Number.isInteger(threads) || threads < 1)
      throw new StepjitError("invalid-option", `threads: ${threads} given, a whole number from 1 is allowed`);
    if (
      (memory === undefined) !== (allocate === undefined) ||
      (memory === undefined) !== (free === undefined)
    )
      throw new StepjitError("invalid-option", "memory, allocate and free go together: give all or none");
    const heap = memory && allocate && free ? new ForeignHeap({ memory, allocate, free }) : new OwnHeap();
    super(heap.shared);
    this.threads = heap.shared ? threads : 1;
    this.#workforce = employ(heap, this.threads);
  }

  allocate(dtype: FloatType, length: number): Storage {
    const { heap } = this.#workforce;
    const address = heap.allocate(ELEMENT_BYTES[dtype] * length);
    return new WasmStorage(heap, dtype, length, () => address, { release: () => heap.free(address) });
  }

  allocateState(requests: readonly SlotRequest[]): Storage[] {
    return requests.map(({ dtype, length }) => this.allocate(dtype, length));
  }

  adopt(data: FloatArray): Storage | undefined {
    const { heap } = this.#workforce;
    if (!heap.recognises(data.buffer)) return undefined;
    const { byteOffset, length } = data;
    return new WasmStorage(heap, data instanceof Float32Array ? "f32" : "f64", length, () => byteOffset);
  }

  /** A tensor whose place somebody else decides: `address`, in bytes, is asked at each bind and each view. */
  foreignStorage(dtype: FloatType, length: number, address: () => number): Storage {
    return new WasmStorage(this.#workforce.heap, dtype, length, address, { moves: true });
  }

  owns(storage: Storage): boolean {
    return storage instanceof WasmStorage && storage.heap === this.#workforce.heap;
  }

  compile(text: string): Pipeline {
    const pipeline: WasmPipeline = { text, index: install(this.#workforce, text) };
    return pipeline;
  }

  prepare(tables: Tables): Runner {
    return new WasmRunner(tables, this.#workforce);
  }

  check(): void {}

  async finished(): Promise<void> {}

  dispose(): void {
    this.#workforce.pool?.dispose();
  }

  /** `dispose()`, for `using`. */
  [DISPOSE](): void {
    this.dispose();
  }
}

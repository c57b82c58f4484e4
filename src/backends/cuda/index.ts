/** The CUDA backend: CUDA C++, compiled by NVRTC while a program runs, over addresses in an NVIDIA GPU's memory. float32 and float64. */
import { DISPOSE } from "../../dispose.ts";
import type { FloatType } from "../../ir/type.ts";
import type {
  Backend,
  DeviceRunner,
  DeviceTimer,
  Pipeline,
  SlotRequest,
  Storage,
  Tables,
} from "../backend.ts";
import { CudaGenerator } from "./generator.ts";
import { Memory } from "./memory.ts";
import type { Address, Device } from "./native/device.ts";
import { CudaRunner } from "./runner.ts";
import { CudaStorage, checkLength } from "./storage.ts";
import { MarkTimer } from "./timer.ts";

export class CudaBackend extends CudaGenerator implements Backend {
  readonly threads = 1;
  readonly #memory: Memory;

  /** @internal Use `cuda()`. */
  constructor(device: Device) {
    super();
    this.#memory = new Memory(device);
  }

  /** @internal What everything is done on. */
  get device(): Device {
    return this.#memory.device;
  }

  allocate(dtype: FloatType, length: number): Storage {
    return this.#memory.allocate(dtype, length);
  }

  allocateState(requests: readonly SlotRequest[]): Storage[] {
    return this.#memory.allocateState(requests);
  }

  /** Arrays of the host cannot be worked on in place. */
  adopt(): undefined {
    return undefined;
  }

  /** Memory of the device that belongs to somebody else. */
  protected wrapped(address: Address, dtype: FloatType, length: number): Storage {
    checkLength(length);
    return new CudaStorage(this.#memory, dtype, length, address);
  }

  owns(storage: Storage): boolean {
    return this.#memory.owns(storage);
  }

  compile(text: string): Pipeline {
    return this.device.compile(text);
  }

  prepare(tables: Tables): DeviceRunner {
    return new CudaRunner(tables, this.#memory);
  }

  makeTimer(): DeviceTimer {
    return new MarkTimer(this.device);
  }

  check(): void {
    this.device.check();
  }

  finished(): Promise<void> {
    return this.device.finished();
  }

  /** Waits for queued steps and gives back all memory; a stream that was handed in stays. What is done on the backend from here on throws `disposed`. */
  dispose(): void {
    this.device.close();
  }

  /** `dispose()`, for `using`. */
  [DISPOSE](): void {
    this.dispose();
  }
}

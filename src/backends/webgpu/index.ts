/** The WebGPU backend: WGSL on any device of a browser, or of Node with the package `webgpu`. float32 only. */
import { DISPOSE } from "../../dispose.ts";
import { StepjitError } from "../../error.ts";
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
import { type Commands, Device } from "./device.ts";
import { WgslGenerator } from "./generator.ts";
import { type Home, Memory, type Place } from "./memory.ts";
import { compilePipeline } from "./pipeline.ts";
import { WebGpuRunner } from "./runner.ts";
import { placeSlots } from "./state.ts";
import { WebGpuStorage } from "./storage.ts";
import { canTime, Timestamps } from "./timestamps.ts";

export type { Commands } from "./device.ts";

export class WebGpuBackend extends WgslGenerator implements Backend {
  readonly threads = 1;
  readonly #device: Device;
  readonly #tensors: Memory;
  readonly #homes = new WeakMap<GPUBuffer, Home>();
  readonly #state: { readonly state: Memory; readonly axes: Memory };

  /** `commands`: who owns the command encoder, where it is not the backend. */
  constructor(gpu: GPUDevice, commands?: Commands) {
    super();
    this.#device = new Device(gpu, commands);
    this.#tensors = new Memory(this.#device, "tensors");
    this.#state = { state: new Memory(this.#device, "state"), axes: new Memory(this.#device, "axes") };
  }

  /** The device that everything is on. */
  get device(): GPUDevice {
    return this.#device.gpu;
  }

  allocate(dtype: FloatType, length: number): Storage {
    return this.#tensorIn(this.#tensors, dtype, length, ({ home, offset, bytes }) =>
      home.free(offset, bytes),
    );
  }

  /** In a buffer of its own, so that no arena grows. */
  allocateScratch(dtype: FloatType, length: number): Storage {
    const memory = new Memory(this.#device, "scratch");
    return this.#tensorIn(memory, dtype, length, () => memory.dispose());
  }

  #tensorIn(memory: Memory, dtype: FloatType, length: number, release: (place: Place) => void): Storage {
    this.#refuseDouble(dtype);
    const place = memory.allocate([4 * length])[0] as Place;
    const { home, offset } = place;
    return new WebGpuStorage(this.#device, "tensor", [{ home, offset, start: 0, length }], {
      release: () => release(place),
    });
  }

  allocateState(requests: readonly SlotRequest[]): Storage[] {
    for (const { dtype } of requests) this.#refuseDouble(dtype);
    return placeSlots(this.#device, this.#state, requests);
  }

  /** Arrays of the host cannot be worked on in place. */
  adopt(): undefined {
    return undefined;
  }

  /** A tensor that fills a buffer which belongs to somebody else; `buffer` is asked at each step. */
  foreignStorage(length: number, buffer: () => GPUBuffer): Storage {
    const home = {
      get buffer() {
        return buffer();
      },
    };
    return new WebGpuStorage(this.#device, "foreign", [{ home, offset: 0, start: 0, length }], {
      moves: true,
    });
  }

  /** Part of a buffer that belongs to somebody else and stays where it is. */
  protected wrapped(buffer: GPUBuffer, length: number, offset: number): Storage {
    const home = this.#homes.get(buffer) ?? { buffer };
    this.#homes.set(buffer, home); // one home a buffer: its tensors share a dispatch
    return new WebGpuStorage(this.#device, "foreign", [{ home, offset, start: 0, length }]);
  }

  owns(storage: Storage): boolean {
    return storage instanceof WebGpuStorage && storage.device === this.#device;
  }

  compile(text: string): Pipeline {
    return compilePipeline(this.#device, text);
  }

  prepare(tables: Tables): DeviceRunner {
    return new WebGpuRunner(tables, this.#device, this.#state.axes);
  }

  makeTimer(): DeviceTimer | undefined {
    return canTime(this.#device) ? new Timestamps(this.#device) : undefined;
  }

  check(): void {
    this.#device.check();
  }

  finished(): Promise<void> {
    return this.#device.finished();
  }

  /** Gives back all memory; a device that was handed in stays. What is done on the backend from here on throws `disposed`. */
  dispose(): void {
    this.#device.close();
    for (const memory of [this.#tensors, ...Object.values(this.#state)]) memory.dispose();
  }

  /** `dispose()`, for `using`. */
  [DISPOSE](): void {
    this.dispose();
  }

  #refuseDouble(dtype: FloatType): void {
    if (dtype !== "f32")
      throw new StepjitError(
        "unsupported",
        "webgpu works on float32: WGSL has no 64-bit floating-point numbers",
      );
  }
}

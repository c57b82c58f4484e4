import { COPY_DST, type Device, MAP_READ } from "./device.ts";

interface Asked {
  readonly staging: GPUBuffer;
  readonly hear: (committed: boolean) => void;
}

/** Whether the device committed each step: asked in the step's own command buffer, heard later and in order, never waited for. */
export class Verdicts {
  readonly #device: Device;
  /** Staging buffers that nobody uses; as many as there ever were steps on their way. */
  readonly #idle: GPUBuffer[] = [];
  #asked: Asked | undefined;
  #heard: Promise<void> = Promise.resolve();

  constructor(device: Device) {
    this.#device = device;
  }

  ask(
    encoder: GPUCommandEncoder,
    flags: GPUBuffer,
    offset: number,
    hear: (committed: boolean) => void,
  ): void {
    const staging = this.#idle.pop() ?? this.#device.createBuffer("verdict", 4, MAP_READ | COPY_DST);
    encoder.copyBufferToBuffer(flags, offset, staging, 0, 4);
    this.#asked = { staging, hear };
  }

  /** After the submit. */
  listen(): void {
    const asked = this.#asked;
    if (!asked) return;
    this.#asked = undefined;
    const { staging, hear } = asked;
    const taken = this.#device.take(staging);
    taken.catch(() => {}); // whoever settles hears of it
    this.#heard = this.#heard.then(async () => {
      const [flag] = new Float32Array(await taken);
      this.#idle.push(staging);
      hear(flag !== 0);
    });
    this.#heard.catch(() => {});
  }

  settled(): Promise<void> {
    return this.#heard;
  }
}

/** What a GPU reports, which is later than the calls that caused it. */
import { type ErrorCode, StepjitError } from "../../error.ts";

/** Is told what came of some work; what it does then is waited for. */
export type Hear = (error: StepjitError | undefined) => void | Promise<void>;

const CODES: Readonly<Record<GPUErrorFilter, ErrorCode>> = {
  validation: "device-error",
  internal: "device-error",
  "out-of-memory": "out-of-memory",
};

export class Reports {
  readonly #gpu: GPUDevice;
  #heard: Promise<void> = Promise.resolve();

  constructor(gpu: GPUDevice) {
    this.#gpu = gpu;
  }

  /** Runs some work. Of the device's first error of that kind `hear` is told, as `what`'s; nobody else is. */
  guard<T>(filter: GPUErrorFilter, what: string, work: () => T, hear: Hear): T {
    this.#gpu.pushErrorScope(filter);
    try {
      return work();
    } finally {
      this.#heard = this.#take(this.#heard, this.#gpu.popErrorScope(), (error) =>
        hear(error ? new StepjitError(CODES[filter], `${what}: ${error.message}`) : undefined),
      );
    }
  }

  /** Resolves once everybody was told what came of all work so far. */
  heard(): Promise<void> {
    return this.#heard;
  }

  /** In order. A lost device has nothing to report: that is told elsewhere. */
  async #take(
    before: Promise<void>,
    popped: Promise<GPUError | null>,
    hear: (error: GPUError | null) => void | Promise<void>,
  ): Promise<void> {
    const settled = popped.catch(() => null);
    await before;
    await hear(await settled);
  }
}

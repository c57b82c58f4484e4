/** The floor: copies on the device that read and write together as many bytes as a step, and compute nothing. */
import type { Cuda } from "stepjit/cuda";
import { BYTES_MOVED_PER_PARAMETER } from "../../problem.ts";
import type { CudaEntry } from "./contender.ts";

/** Bytes of a copy at most: those of a large step go in several, so that the floor holds less than the step. */
const MOST = 2 ** 30;

export const copy: CudaEntry = {
  name: "copy on the device",
  async make({ parameters }, gpu) {
    const total = (BYTES_MOVED_PER_PARAMETER / 2) * parameters;
    const bytes = Math.min(total, MOST);
    const [from, to] = [gpu.device.allocate(bytes), gpu.device.allocate(bytes)];
    gpu.device.fill(from, 0, Math.ceil(bytes / 4));
    return {
      step() {
        for (let left = total; left > 0; left -= bytes) gpu.device.copy(to, from, Math.min(left, bytes));
      },
      finished: () => gpu.finished(),
      dispose: () => free(gpu, from, to),
    };
  },
};

function free(gpu: Cuda, ...addresses: readonly bigint[]): void {
  for (const address of addresses) gpu.device.free(address);
}

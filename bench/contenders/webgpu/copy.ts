/** The floor: copies from buffer to buffer that read and write together as many bytes as a step, and compute nothing. */
import { BYTES_MOVED_PER_PARAMETER } from "../../problem.ts";
import { createBuffer } from "./adam.ts";
import type { GpuEntry } from "./contender.ts";

/** A buffer has at most as many bytes as the parameters: a device that holds those holds it. */
const BYTES_PER_PARAMETER = 4;

export const copy: GpuEntry = {
  name: "copy from buffer to buffer",
  bytesHeld: BYTES_MOVED_PER_PARAMETER,
  make({ parameters }, device) {
    const copies: { from: GPUBuffer; to: GPUBuffer; bytes: number }[] = [];
    for (let left = (BYTES_MOVED_PER_PARAMETER / 2) * parameters; left > 0; ) {
      const bytes = Math.min(left, BYTES_PER_PARAMETER * parameters);
      copies.push({ from: createBuffer(device, bytes), to: createBuffer(device, bytes), bytes });
      left -= bytes;
    }
    return {
      step() {
        const encoder = device.createCommandEncoder();
        for (const { from, to, bytes } of copies)
          encoder.copyBufferToBuffer(from, 0, to, 0, 4 * Math.floor(bytes / 4));
        device.queue.submit([encoder.finish()]);
      },
      finished: () => device.queue.onSubmittedWorkDone(),
      dispose() {
        for (const { from, to } of copies) {
          from.destroy();
          to.destroy();
        }
      },
    };
  },
};

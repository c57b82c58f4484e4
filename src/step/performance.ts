import { counted } from "./counted.ts";
import type { Engine } from "./engine.ts";

/** What a call took, on one line. Where it is queued on a device, its time is the host's. */
export function printPerformance({
  steps,
  options: { backend },
  launches,
  milliseconds,
  bytesMoved,
  bytesIdeal,
  bytesCopied,
}: Engine): string {
  const isQueued = backend.programs === "device";
  const rate = `, ${(bytesMoved / 1e6 / milliseconds).toFixed(2)} GB/s`;
  const times = bytesIdeal === 0 ? "" : ` (${(bytesMoved / bytesIdeal).toFixed(2)} × the least there is)`;
  return [
    `step ${steps}: ${isQueued ? "queued in " : ""}${milliseconds.toFixed(3)} ms`,
    `, ${counted(launches, "launch", "launches")}`,
    `, ${(bytesMoved / 1e6).toFixed(3)} MB moved${times}`,
    isQueued ? "" : rate,
    bytesCopied === 0 ? "" : `, ${(bytesCopied / 1e6).toFixed(3)} MB copied besides`,
  ].join("");
}

import type { Shapes } from "../../problem.ts";
import type { Contender } from "../contender.ts";

/** One way to take steps of Adam on a GPU: `step` queues one. */
export interface GpuContender extends Omit<Contender, "parameters"> {
  finished(): Promise<unknown>;
  /** Copies of the parameters, a tensor after the other. The memory floor computes none. */
  read?(): Promise<Float32Array[]>;
}

export interface GpuEntry {
  readonly name: string;
  /** Bytes of GPU memory that it takes for each parameter. */
  readonly bytesHeld: number;
  /** Why it cannot take part; undefined where it can. */
  refuses?(shapes: Shapes, device: GPUDevice): string | undefined;
  make(shapes: Shapes, device: GPUDevice): GpuContender | Promise<GpuContender>;
}

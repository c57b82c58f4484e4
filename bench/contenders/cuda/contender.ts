import type { Cuda } from "stepjit/cuda";
import type { Problem } from "../../problem.ts";
import type { Contender } from "../contender.ts";

/** One way to take steps on a CUDA device: `step` queues one. */
export interface CudaContender extends Omit<Contender, "parameters"> {
  finished(): Promise<unknown>;
  /** Milliseconds from the parameters to the end of the first step, nothing compiled before. */
  readonly coldStart?: number;
  /** Copies of the parameters, a tensor after the other. The memory floor computes none. */
  read?(): Promise<Float32Array[]>;
}

export interface CudaProblem extends Problem {
  /** With the shapes, for another process. */
  readonly file: URL;
}

export interface CudaEntry {
  readonly name: string;
  /** Throws where it cannot take part; its message says why. */
  make(problem: CudaProblem, gpu: Cuda): Promise<CudaContender>;
}

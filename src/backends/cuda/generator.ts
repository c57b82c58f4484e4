/** Kernels as CUDA C++: the same texts for any device. */
import { StepjitError } from "../../error.ts";
import type { ClassLayout, CodeGenerator, Numerics, PhaseText, PhaseWork } from "../backend.ts";

export class CudaGenerator implements CodeGenerator {
  readonly name = "cuda";
  readonly target = "cuda";
  readonly dtypes = ["f32", "f64"] as const;
  readonly programs = "device";

  chunkElements(total: number): number {
    return 2 ** Math.min(14, Math.max(11, Math.floor(Math.log2(total / 1024))));
  }

  emit(_work: PhaseWork, _layouts: readonly ClassLayout[], _numerics: Numerics): PhaseText[] {
    throw new StepjitError("unsupported", "cuda: no kernels yet");
  }
}

/** Kernels as CUDA C++: the same texts for any device. */
import type { ClassLayout, CodeGenerator, Numerics, PhaseText, PhaseWork } from "../backend.ts";
import { textsOf } from "../gpu/texts.ts";
import { emitKernels, emitPrograms } from "./emit.ts";

export class CudaGenerator implements CodeGenerator {
  readonly name = "cuda";
  readonly target = "cuda";
  readonly dtypes = ["f32", "f64"] as const;
  readonly programs = "device";

  /**
   * Some thousands of chunks, so that a device that runs a thousand blocks at once has several rounds of them and none runs long alone;
   * at least a pack of the smallest size for every thread.
   */
  chunkElements(total: number): number {
    return 2 ** Math.min(13, Math.max(10, Math.floor(Math.log2(total / 8192))));
  }

  emit(work: PhaseWork, layouts: readonly ClassLayout[], numerics: Numerics): PhaseText[] {
    return textsOf(work, layouts, { emitKernels: (...of) => emitKernels(...of, numerics), emitPrograms });
  }
}

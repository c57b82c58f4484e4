/** Kernels as WGSL: the same texts for any device. */
import type { ClassLayout, CodeGenerator, PhaseText, PhaseWork } from "../backend.ts";
import { textsOf } from "../gpu/texts.ts";
import { emitKernels } from "./emit.ts";
import { emitPrograms } from "./programs.ts";

export class WgslGenerator implements CodeGenerator {
  readonly name = "webgpu";
  readonly target = "wgsl";
  readonly dtypes = ["f32"] as const;
  readonly programs = "device";

  /**
   * About a thousand workgroups, so that every core of a GPU has some, of at least 64 elements a thread: reading the tables costs a
   * thread as much as a few elements.
   */
  chunkElements(total: number): number {
    return 2 ** Math.min(14, Math.max(11, Math.floor(Math.log2(total / 1024))));
  }

  emit(work: PhaseWork, layouts: readonly ClassLayout[]): PhaseText[] {
    return textsOf(work, layouts, { emitKernels, emitPrograms });
  }
}

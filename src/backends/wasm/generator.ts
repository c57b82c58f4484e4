/** Kernels as WAT, for memory that is shared with other threads or not, and for what the engine has. */
import { CHUNK_ELEMENTS } from "../../plan/chunks.ts";
import type { ClassLayout, CodeGenerator, Numerics, PhaseText, PhaseWork } from "../backend.ts";
import { emitKernel, type Features } from "./emit.ts";
import { hasRelaxedSimd } from "./workforce.ts";

export class WatGenerator implements CodeGenerator {
  readonly name = "wasm";
  readonly target: string;
  readonly dtypes = ["f32", "f64"] as const;
  readonly programs = "host";
  readonly #features: Features;

  constructor(shared: boolean) {
    this.#features = { shared, relaxed: hasRelaxedSimd() };
    this.target = `wasm32 simd128${shared ? " shared" : ""}${this.#features.relaxed ? " relaxed" : ""}`;
  }

  chunkElements(): number {
    return CHUNK_ELEMENTS;
  }

  emit({ phase, kernels }: PhaseWork, layouts: readonly ClassLayout[], numerics: Numerics): PhaseText[] {
    return kernels.map((kernel) => {
      const classIndex = layouts.findIndex(({ name }) => name === kernel.name);
      const text = emitKernel(kernel, layouts[classIndex] as ClassLayout, numerics, this.#features);
      return { name: kernel.name, phase, text, classes: [classIndex] };
    });
  }
}

import type { Device } from "./device.ts";
import type { WebGpuPipeline } from "./pipeline.ts";

/** Bind groups that one place of a step has used; others of its buffers come round again, since whoever owns them rotates them. */
const KEPT = 8;

export type ByBinding = readonly (GPUBufferBinding | undefined)[];

interface Known {
  readonly pipeline: WebGpuPipeline;
  readonly buffers: readonly GPUBuffer[];
  readonly group: GPUBindGroup;
}

/** Bind groups by the buffers in them: in the steady state none is made. */
export class BindGroups {
  readonly #device: Device;
  readonly #known = new Map<string, Known[]>();
  readonly #dummies = new Map<number, GPUBuffer>();

  constructor(device: Device) {
    this.#device = device;
  }

  /** `buffers` by binding number. `place`: for what in a step; at one place offsets and sizes never change. What a text declares and nobody has is a dummy. */
  of(pipeline: WebGpuPipeline, place: string, buffers: ByBinding): GPUBindGroup {
    const known = this.#known.get(place) ?? [];
    this.#known.set(place, known);
    const index = known.findIndex(
      (candidate) => candidate.pipeline === pipeline && this.#fits(candidate, buffers),
    );
    if (index >= 0) return (known[index] as Known).group;
    const entries = pipeline.declared.map(({ binding }) => ({
      binding,
      resource: buffers[binding] ?? { buffer: this.#dummy(binding) },
    }));
    const group = this.#device.gpu.createBindGroup({
      label: pipeline.label,
      layout: pipeline.layout,
      entries,
    });
    known.unshift({ pipeline, buffers: entries.map(({ resource }) => resource.buffer), group });
    known.length = Math.min(known.length, KEPT);
    return group;
  }

  dispose(): void {
    for (const buffer of this.#dummies.values()) buffer.destroy();
  }

  clear(): void {
    this.#known.clear();
  }

  #fits({ pipeline, buffers }: Known, wanted: ByBinding): boolean {
    return pipeline.declared.every(
      ({ binding }, i) => buffers[i] === (wanted[binding]?.buffer ?? this.#dummy(binding)),
    );
  }

  #dummy(binding: number): GPUBuffer {
    const known = this.#dummies.get(binding) ?? this.#device.createBuffer("nothing", 256);
    this.#dummies.set(binding, known);
    return known;
  }
}

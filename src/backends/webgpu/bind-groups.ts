import type { Device } from "./device.ts";
import type { WebGpuPipeline } from "./pipeline.ts";
import type { Hear } from "./reports.ts";

/** Bind groups that one place of a step has used; others of its buffers come round again, since whoever owns them rotates them. */
const KEPT = 8;

export type ByBinding = readonly (GPUBufferBinding | undefined)[];

interface Known {
  readonly pipeline: WebGpuPipeline;
  /** As the text declares them. */
  readonly bindings: readonly GPUBufferBinding[];
  readonly group: GPUBindGroup;
}

/** Bind groups by what is bound in them: in the steady state none is made. */
export class BindGroups {
  readonly #device: Device;
  readonly #hear: Hear;
  readonly #known = new Map<string, Known[]>();
  readonly #dummies = new Map<number, GPUBuffer>();

  /** `hear` is told of those that could not be made. */
  constructor(device: Device, hear: Hear) {
    this.#device = device;
    this.#hear = hear;
  }

  /** All buffers that are bound in them. */
  get buffers(): Set<GPUBuffer> {
    const bindings = [...this.#known.values()].flat().flatMap((known) => known.bindings);
    return new Set(bindings.map(({ buffer }) => buffer));
  }

  /** `buffers` by binding number. `place`: for what in a step. What a text declares and nobody has is a dummy. */
  of(pipeline: WebGpuPipeline, place: string, buffers: ByBinding): GPUBindGroup {
    const known = this.#known.get(place) ?? [];
    this.#known.set(place, known);
    const index = known.findIndex(
      (candidate) => candidate.pipeline === pipeline && this.#fits(candidate, buffers),
    );
    if (index >= 0) return (known[index] as Known).group;
    const bindings = pipeline.declared.map(
      ({ binding }) => buffers[binding] ?? { buffer: this.#dummy(binding) },
    );
    const group = this.#make(pipeline, bindings);
    known.unshift({ pipeline, bindings, group });
    known.length = Math.min(known.length, KEPT);
    return group;
  }

  dispose(): void {
    for (const buffer of this.#dummies.values()) buffer.destroy();
  }

  #make({ label, layout, declared }: WebGpuPipeline, bindings: readonly GPUBufferBinding[]): GPUBindGroup {
    const entries = declared.map(({ binding }, i) => ({
      binding,
      resource: bindings[i] as GPUBufferBinding,
    }));
    const make = () => this.#device.gpu.createBindGroup({ label, layout, entries });
    return this.#device.guard("validation", label, make, this.#hear);
  }

  #fits({ pipeline, bindings }: Known, wanted: ByBinding): boolean {
    return pipeline.declared.every(({ binding }, i) => {
      const { buffer, offset, size } = bindings[i] as GPUBufferBinding;
      const other = wanted[binding];
      if (!other) return buffer === this.#dummy(binding);
      return buffer === other.buffer && offset === other.offset && size === other.size;
    });
  }

  #dummy(binding: number): GPUBuffer {
    const known = this.#dummies.get(binding) ?? this.#device.createBuffer("nothing", 256);
    this.#dummies.set(binding, known);
    return known;
  }
}

/** Pipelines, with bind group layouts read off the text: what a text declares is what a bind group has. */
import type { Pipeline } from "../backend.ts";
import type { Device } from "./device.ts";

/** A buffer that a text declares. */
export interface Declared {
  readonly binding: number;
  readonly type: "uniform" | "read-only-storage" | "storage";
}

export interface WebGpuPipeline extends Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  readonly declared: readonly Declared[];
  /** The text's first line, without its slashes. */
  readonly label: string;
}

const DECLARATION = /@group\(0\)\s*@binding\((\d+)\)\s*var<(uniform|storage)(?:,\s*(read|read_write))?>/g;
const COMPUTE = 0x4; // GPUShaderStage.COMPUTE

export function compilePipeline(device: Device, text: string): WebGpuPipeline {
  const label = `stepjit ${/^\/\/\s*(.*)/.exec(text)?.[1] ?? "kernel"}`;
  const declared = [...text.matchAll(DECLARATION)].map(
    ([, binding, space, access]): Declared => ({
      binding: Number(binding),
      type: space === "uniform" ? "uniform" : access === "read_write" ? "storage" : "read-only-storage",
    }),
  );
  const { gpu } = device;
  let made: Pick<WebGpuPipeline, "pipeline" | "layout"> | undefined;
  device.guard(`compiling ${label}`, () => {
    const layout = gpu.createBindGroupLayout({
      label,
      entries: declared.map(({ binding, type }) => ({ binding, visibility: COMPUTE, buffer: { type } })),
    });
    const module = gpu.createShaderModule({ label, code: text });
    const pipeline = gpu.createComputePipeline({
      label,
      layout: gpu.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: "main" },
    });
    made = { layout, pipeline };
  });
  return { ...(made as Pick<WebGpuPipeline, "pipeline" | "layout">), text, declared, label };
}

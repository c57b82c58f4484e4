/** Pipelines, with bind group layouts read off the text: what a text declares is what a bind group has. */
import type { StepjitError } from "../../error.ts";
import type { Pipeline } from "../backend.ts";
import type { Device } from "./device.ts";

/** A buffer that a text declares. */
export interface Declared {
  readonly binding: number;
  readonly type: "uniform" | "read-only-storage" | "storage";
}

interface Made {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

export interface WebGpuPipeline extends Pipeline, Made {
  readonly declared: readonly Declared[];
  /** The text's first line, without its slashes. */
  readonly label: string;
  /** What the device said of it later, if it does not work. */
  failure: StepjitError | undefined;
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
  const guard = (filter: GPUErrorFilter, work: () => Made): Made =>
    device.guard(filter, `compiling ${label}`, work, (error) => {
      compiled.failure ??= error;
    });
  const made = guard("internal", () => guard("validation", () => make(device.gpu, label, text, declared)));
  const compiled: WebGpuPipeline = { ...made, text, declared, label, failure: undefined };
  return compiled;
}

function make(gpu: GPUDevice, label: string, text: string, declared: readonly Declared[]): Made {
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
  return { layout, pipeline };
}

/** Pipelines, with bind group layouts read off the text: what a text declares is what a bind group has. */
import type { StepjitError } from "../../error.ts";
import type { Pipeline } from "../backend.ts";
import type { Device } from "./device.ts";
import { GRAD_BESIDE_PARAM } from "./layout.ts";

/** A buffer that a text declares. */
export interface Declared {
  readonly binding: number;
  readonly type: "uniform" | "read-only-storage" | "storage";
}

export interface WebGpuPipeline extends Pipeline {
  readonly declared: readonly Declared[];
  readonly layout: GPUBindGroupLayout;
  /** The text's first line, without its slashes. */
  readonly label: string;
  /** For dispatches whose gradients lie in their parameters' buffer, or not; made when it is first needed, which is one of both. */
  pipelineFor(gradBesideParam: boolean): GPUComputePipeline;
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
  const guarded = <T>(work: () => T): T => {
    const guard = (filter: GPUErrorFilter, inner: () => T): T =>
      device.guard(filter, `compiling ${label}`, inner, (error) => {
        compiled.failure ??= error;
      });
    return guard("internal", () => guard("validation", work));
  };
  const { gpu } = device;
  const made = guarded(() => ({
    module: gpu.createShaderModule({ label, code: text }),
    layout: makeLayout(gpu, label, declared),
  }));
  const known = new Map<boolean, GPUComputePipeline>();
  const varies = text.includes(`override ${GRAD_BESIDE_PARAM}`);
  const compiled: WebGpuPipeline = {
    text,
    label,
    declared,
    layout: made.layout,
    failure: undefined,
    pipelineFor(gradBesideParam) {
      const beside = varies && gradBesideParam;
      const pipeline =
        known.get(beside) ??
        guarded(() => makePipeline(gpu, label, made, varies ? { [GRAD_BESIDE_PARAM]: Number(beside) } : {}));
      known.set(beside, pipeline);
      return pipeline;
    },
  };
  return compiled;
}

function makeLayout(gpu: GPUDevice, label: string, declared: readonly Declared[]): GPUBindGroupLayout {
  return gpu.createBindGroupLayout({
    label,
    entries: declared.map(({ binding, type }) => ({ binding, visibility: COMPUTE, buffer: { type } })),
  });
}

function makePipeline(
  gpu: GPUDevice,
  label: string,
  { module, layout }: { module: GPUShaderModule; layout: GPUBindGroupLayout },
  constants: Record<string, number>,
): GPUComputePipeline {
  return gpu.createComputePipeline({
    label,
    layout: gpu.createPipelineLayout({ bindGroupLayouts: [layout] }),
    compute: { module, entryPoint: "main", constants },
  });
}

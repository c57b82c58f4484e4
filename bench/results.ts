import type { Agreement } from "./agree.ts";
import type { ColdStart } from "./cold-start.ts";
import type { Environment } from "./environment.ts";
import type { HostCost } from "./host-cost.ts";
import type { WebGpuHost } from "./host-webgpu.ts";
import type { CudaResult } from "./run-cuda.ts";
import type { OptimizerResult } from "./run-optimizer.ts";
import type { SetResult } from "./run-set.ts";
import type { WebGpuResult } from "./run-webgpu.ts";

/** All that a run finds out: what is written to the JSON file. */
export interface Results {
  readonly environment: Environment;
  readonly quick: boolean;
  readonly agreements: readonly Agreement[];
  readonly sets: readonly SetResult[];
  readonly optimizers: readonly OptimizerResult[];
  readonly webGpu: readonly WebGpuMeasured[];
  readonly cuda: readonly CudaResult[];
  readonly coldStarts: readonly ColdStarts[];
  readonly hostCost?: HostCost;
}

/** Every process's cold start with so many parameters. */
export interface ColdStarts {
  readonly parameters: number;
  readonly runs: readonly ColdStart[];
}

/** A set of shapes on a GPU, and what the host does for it. */
export interface WebGpuMeasured {
  readonly result: WebGpuResult;
  readonly host: WebGpuHost;
}

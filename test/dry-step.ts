/** Steps over the tensors of real models, without their elements. */
import { readFileSync } from "node:fs";
import { CudaGenerator } from "../src/backends/cuda/generator.ts";
import { DryBackend } from "../src/backends/dry/dry.ts";
import { WatGenerator } from "../src/backends/wasm/generator.ts";
import { WgslGenerator } from "../src/backends/webgpu/generator.ts";
import { type CompileOptions, compileStep, type Optimizer, type Step, type Tensor } from "../src/index.ts";
import { makeTensor } from "../src/make-tensor.ts";

const GENERATORS = {
  wasm: () => new WatGenerator(true),
  webgpu: () => new WgslGenerator(),
  cuda: () => new CudaGenerator(),
};

export type DryTarget = keyof typeof GENERATORS;

export type Shapes = readonly (readonly [name: string, shape: readonly number[]])[];

/** Of bench/shapes. */
export function shapesOf(set: "resnet50" | "gpt2-small"): Shapes {
  return JSON.parse(readFileSync(new URL(`../bench/shapes/${set}.json`, import.meta.url), "utf8")).shapes;
}

export interface DryStep<O extends Optimizer> {
  readonly step: Step;
  readonly optimizer: O;
  readonly gradients: Record<string, Tensor>;
}

/** A step that was taken three times. */
export function dryStep<O extends Optimizer>(
  target: DryTarget,
  Kind: new (parameters: Record<string, Tensor>) => O,
  shapes: Shapes,
  options: CompileOptions = {},
): DryStep<O> {
  const backend = new DryBackend(GENERATORS[target]());
  const tensors = () =>
    Object.fromEntries(shapes.map(([name, shape]) => [name, makeTensor(backend, [...shape])]));
  const optimizer = new Kind(tensors());
  const step = compileStep(optimizer, { ...options, backend });
  const gradients = tensors();
  for (let i = 0; i < 3; i++) step(gradients);
  return { step, optimizer, gradients };
}

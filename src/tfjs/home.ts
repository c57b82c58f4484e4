/** A home is the memory in which a TensorFlow.js backend keeps its tensors, seen as a place where our kernels can work. */
import { engine, type Tensor as TfTensor, type Variable } from "@tensorflow/tfjs-core";
import type { WasmBackend } from "../backends/wasm/index.ts";
import type { Gradient } from "../step/gradients.ts";

/** A gradient or a weight by its variable's or slot's name. */
export interface NamedTensor {
  name: string;
  tensor: TfTensor;
}

export interface Home {
  readonly backend: WasmBackend;
  /**
   * Makes a variable's data its own (aliases keep what they see) and workable in place. To be called before each step:
   * `assign`, a clone or a switch of backends undoes it.
   */
  adopt(variable: Variable): void;
  /** Where an adopted variable is now, in bytes; 0 for one that is gone. */
  address(name: string): number;
  /** For one parameter: makes a gradient of this shape readable for kernels, until the next one. */
  gradientReader(shape: readonly number[]): (gradient: TfTensor) => Gradient;
  /** Kernels may have written these variables: makes TensorFlow.js see it. */
  written(names: readonly string[]): void;
  /** Hands a variable's memory back to TensorFlow.js, contents included. */
  release(name: string): void;
}

/** The variable of this name, if there is one. */
export function variableOf(name: string): Variable | undefined {
  const variables: Readonly<Record<string, Variable>> = engine().registeredVariables;
  return Object.hasOwn(variables, name) ? variables[name] : undefined;
}

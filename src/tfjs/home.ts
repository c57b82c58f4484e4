/** A home is the memory in which a TensorFlow.js backend keeps its tensors, seen as a place where our kernels can work. */
import { engine, type Tensor as TfTensor, type Variable } from "@tensorflow/tfjs-core";
import type { Backend, Storage } from "../backends/backend.ts";
import type { Gradient } from "../step/gradients.ts";

/** A gradient or a weight by its variable's or slot's name. */
export interface NamedTensor {
  /** The variable's or the slot's. */
  name: string;
  /** Of the variable's shape. */
  tensor: TfTensor;
}

export interface Home {
  readonly backend: Backend;
  /**
   * Makes a variable's data its own (aliases keep what they see) and workable in place. To be called before each step:
   * `assign`, a clone or a switch of backends undoes it.
   */
  adopt(variable: Variable): void;
  /** An adopted variable's elements, wherever they are when a step asks. */
  storage(variable: Variable): Storage;
  /** For one variable: makes a gradient of it readable for kernels, until the next one. */
  gradientReader(variable: Variable): (gradient: TfTensor) => Gradient;
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

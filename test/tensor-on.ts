import type { Backend, Tensor } from "stepjit";
import { Tensor as TensorClass } from "../src/tensor.ts";

/** A tensor in a backend's own memory. */
export function tensorOn(
  backend: Backend,
  data: Float32Array | Float64Array,
  shape: readonly number[],
): Tensor {
  const storage = backend.allocate(data instanceof Float32Array ? "f32" : "f64", data.length);
  storage.write(data);
  return new TensorClass(storage, shape);
}

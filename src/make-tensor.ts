import type { Backend } from "./backends/backend.ts";
import { defaultWasm } from "./backends/wasm/index.ts";
import { StepjitError } from "./error.ts";
import type { FloatType } from "./ir/type.ts";
import { show } from "./optim/hyper.ts";
import { isFloatArray, sizeOf, Tensor, type TensorDType } from "./tensor.ts";

/** Numbers that a tensor can be made from: they are copied. */
export type TensorData = readonly number[] | Float32Array | Float64Array;

/**
 * A tensor in the memory that WebAssembly kernels work on, so that a step copies nothing.
 *
 *     tensor([784, 256])                        zeros, float32
 *     tensor(data, [784, 256])                  a copy of data; a Float64Array makes a float64 tensor
 *     tensor([256], "float64")
 *
 * Throws `invalid-parameters` for a shape or data that do not fit, `out-of-memory` past 4 GiB.
 */
export function tensor(shape: readonly number[], dtype?: TensorDType): Tensor;
export function tensor(data: TensorData, shape: readonly number[], dtype?: TensorDType): Tensor;
export function tensor(
  first: TensorData,
  second?: readonly number[] | TensorDType,
  third?: TensorDType,
): Tensor {
  return makeTensor(defaultWasm(), first, second, third);
}

/** The same in another backend's memory. */
export function makeTensor(
  backend: Pick<Backend, "allocate">,
  first: TensorData,
  second?: readonly number[] | TensorDType,
  third?: TensorDType,
): Tensor {
  const hasData = Array.isArray(second);
  const shape = checkShape(hasData ? second : first);
  const asked = hasData ? third : (second as TensorDType | undefined);
  const dtype = asked ?? (hasData && first instanceof Float64Array ? "float64" : "float32");
  if (!Object.hasOwn(FLOAT_TYPES, dtype)) refuse(`dtype is "float32" or "float64", got ${show(dtype)}`);
  if (hasData && !isData(first))
    refuse(`data is a list of numbers, a Float32Array or a Float64Array, got ${show(first)}`);
  if (hasData && first.length !== sizeOf(shape))
    refuse(`${first.length} numbers do not fill shape [${shape}], which takes ${sizeOf(shape)}`);
  const storage = backend.allocate(FLOAT_TYPES[dtype], sizeOf(shape));
  if (hasData) storage.write(isFloatArray(first) ? first : Float64Array.from(first));
  return new Tensor(storage, shape);
}

const FLOAT_TYPES: Readonly<Record<TensorDType, FloatType>> = { float32: "f32", float64: "f64" };

function isData(value: unknown): value is TensorData {
  return isFloatArray(value) || (Array.isArray(value) && value.every((number) => typeof number === "number"));
}

export function checkShape(shape: unknown): readonly number[] {
  if (isFloatArray(shape)) return refuse("data needs a shape: tensor(data, shape)");
  const fits = Array.isArray(shape) && shape.every((size) => Number.isSafeInteger(size) && size >= 0);
  return fits ? shape : refuse(`a shape is a list of whole numbers, got ${show(shape)}`);
}

function refuse(message: string): never {
  throw new StepjitError("invalid-parameters", `tensor: ${message}`);
}

/** What a set of shapes gives every contender: the tensors, and the numbers they start from. */
import { readFileSync } from "node:fs";

export const SETS = ["mlp-small", "many-tiny", "resnet50", "gpt2-small"] as const;
export type SetName = (typeof SETS)[number];

/** What a GPU is measured on; the last leaves any cache. */
export const GPU_SETS = ["many-tiny", "resnet50", "gpt2-small", "one-billion"] as const;

/** Those that there is somebody to compare with. */
export const OPTIMIZERS = ["AdamW", "Adam"] as const;
export type OptimizerName = (typeof OPTIMIZERS)[number];

/** Adam is AdamW without weight decay. */
export const HYPER = { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8 } as const;
export const WEIGHT_DECAY: Readonly<Record<OptimizerName, number>> = { Adam: 0, AdamW: 1e-2 };

/** Reads p, g, m, v and writes p, m, v, four bytes each. */
export const BYTES_MOVED_PER_PARAMETER = 28;
/** p, g, m and v. */
export const BYTES_HELD_PER_PARAMETER = 16;

export interface TensorShape {
  readonly name: string;
  readonly shape: readonly number[];
  readonly size: number;
}

export interface Shapes {
  readonly tensors: readonly TensorShape[];
  /** Elements of all tensors. */
  readonly parameters: number;
}

export interface Problem extends Shapes {
  readonly optimizer: OptimizerName;
}

export function problemOf(set: AnySet, optimizer: OptimizerName): Problem {
  return { optimizer, ...shapesOf(set) };
}

export type AnySet = SetName | (typeof GPU_SETS)[number];

/** Where a set's shapes are: `shapes`, a list of names and sizes. */
export function fileOf(set: AnySet): URL {
  return new URL(`shapes/${set}.json`, import.meta.url);
}

export function shapesOf(set: AnySet): Shapes {
  const file = fileOf(set);
  const { shapes } = JSON.parse(readFileSync(file, "utf8")) as { shapes: [string, number[]][] };
  return sized(shapes);
}

export function problem(optimizer: OptimizerName, shapes: NamedShapes): Problem {
  return { optimizer, ...sized(shapes) };
}

type NamedShapes = readonly (readonly [string, readonly number[]])[];

function sized(shapes: NamedShapes): Shapes {
  const tensors = shapes.map(([name, shape]) => ({ name, shape, size: shape.reduce((a, b) => a * b, 1) }));
  return { tensors, parameters: tensors.reduce((sum, { size }) => sum + size, 0) };
}

/** Fills a tensor's parameters: the same for every contender. */
export function fillParameters(tensor: number, target: Float32Array): void {
  fill(tensor, target);
}

/** Fills a tensor's gradient: the same for every contender, and none of it zero. */
export function fillGradient(tensor: number, target: Float32Array): void {
  fill(tensor + 7919, target);
}

/** Pseudo-random numbers in (-1, 1), as many as are cheap to make; tensors start at different places in them. */
const NUMBERS = makeNumbers(1 << 16);

function fill(tensor: number, target: Float32Array): void {
  let from = (tensor * 4099) % NUMBERS.length;
  for (let at = 0; at < target.length; from = 0) {
    const part = NUMBERS.subarray(from, from + target.length - at);
    target.set(part, at);
    at += part.length;
  }
}

function makeNumbers(count: number): Float32Array {
  let state = 2463534242;
  return Float32Array.from({ length: count }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state / 2 ** 31;
  });
}

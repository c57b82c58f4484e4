/** torch's optimizers as plain JavaScript in f64, one object a parameter: what the public face is compared with. */
import { expect } from "vitest";

export interface SgdOptions {
  lr: number;
  momentum: number;
  dampening: number;
  weightDecay: number;
  nesterov: boolean;
}

export class PlainSgd {
  readonly values: number[];
  buffer: number[] | undefined;

  constructor(values: readonly number[]) {
    this.values = [...values];
  }

  step(gradient: readonly number[] | null, options: Partial<SgdOptions>): void {
    if (!gradient) return;
    const { lr = 1e-3, momentum = 0, dampening = 0, weightDecay = 0, nesterov = false } = options;
    const decayed = gradient.map((g, i) => g + weightDecay * at(this.values, i));
    const previous = this.buffer;
    if (momentum !== 0)
      this.buffer = previous
        ? decayed.map((g, i) => momentum * at(previous, i) + (1 - dampening) * g)
        : [...decayed];
    decayed.forEach((g, i) => {
      const buffered = at(this.buffer ?? decayed, i);
      const direction = momentum === 0 ? g : nesterov ? g + momentum * buffered : buffered;
      this.values[i] = at(this.values, i) - lr * direction;
    });
  }
}

export interface AdamOptions {
  lr: number;
  betas: readonly [number, number];
  eps: number;
  weightDecay: number;
}

/** AdamW: decay is decoupled. */
export class PlainAdamW {
  readonly values: number[];
  readonly first: number[];
  readonly second: number[];
  steps = 0;

  constructor(values: readonly number[]) {
    this.values = [...values];
    this.first = values.map(() => 0);
    this.second = values.map(() => 0);
  }

  step(gradient: readonly number[] | null, options: Partial<AdamOptions>): void {
    if (!gradient) return;
    const { lr = 1e-3, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 1e-2 } = options;
    const [beta1, beta2] = betas;
    this.steps++;
    gradient.forEach((g, i) => {
      const m = at(this.first, i) + (1 - beta1) * (g - at(this.first, i));
      const v = beta2 * at(this.second, i) + (1 - beta2) * g * g;
      this.first[i] = m;
      this.second[i] = v;
      const denominator = Math.sqrt(v) / Math.sqrt(1 - beta2 ** this.steps) + eps;
      const decayed = at(this.values, i) * (1 - lr * weightDecay);
      this.values[i] = decayed - (lr / (1 - beta1 ** this.steps)) * (m / denominator);
    });
  }
}

export function at(values: ArrayLike<number>, index: number): number {
  return values[index] as number;
}

/** Numbers between -1 and 1 that look random and never change. */
export function numbers(count: number, seed = 1): number[] {
  let state = seed >>> 0;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    return ((state ^ (state >>> 13)) >>> 0) / 2 ** 31 - 1;
  });
}

/** Within 1e-12: what f64 allows. */
export function expectClose(actual: ArrayLike<number>, expected: readonly number[], tolerance = 1e-12): void {
  expect(actual.length).toBe(expected.length);
  const worst = expected.reduce(
    (error, value, i) => Math.max(error, Math.abs(at(actual, i) - value) / Math.max(1, Math.abs(value))),
    0,
  );
  expect(worst).toBeLessThanOrEqual(tolerance);
}

import type { Level } from "../ir/extent.ts";
import { opInfo, REDUCE_IDENTITY } from "../ir/ops.ts";
import type { Share } from "./work.ts";

/** Finishes reductions on the host: partial results of chunks, added in chunk order in f64, whoever computed them. */
export class Totals {
  /** One number a step, a group or a parameter, by name; parameter-level names are per class but never share a tensor. */
  readonly #numbers = new Map<string, Float64Array>();
  readonly #places: Readonly<Record<Level, number>>;

  constructor(groups: number, tensors: number) {
    this.#places = { step: 1, group: groups, param: tensors };
  }

  /** The numbers of one total, made on first use. */
  numbers(level: Level, name: string): Float64Array {
    const key = `${level} ${name}`;
    const known = this.#numbers.get(key) ?? new Float64Array(this.#places[level]);
    this.#numbers.set(key, known);
    return known;
  }

  /** Adds up one launch: `shares` by class, `partials` holding `stride` numbers a chunk. */
  finish(
    shares: readonly (readonly Share[])[],
    partials: Float64Array,
    stride: number,
    chunks: Uint32Array,
    tensors: readonly { readonly classIndex: number; readonly group: number; readonly active: boolean }[],
  ): void {
    shares.forEach((ofClass, classIndex) => {
      for (const { level, name, op } of ofClass) {
        const numbers = this.numbers(level, name);
        const identity = REDUCE_IDENTITY[op] as number;
        // Another class may have a number by the same name, from an earlier phase.
        if (level !== "param") numbers.fill(identity);
        else
          tensors.forEach((tensor, index) => {
            if (tensor.classIndex === classIndex) numbers[index] = identity;
          });
      }
    });
    const arrays = shares.map((ofClass) => ofClass.map(({ level, name }) => this.numbers(level, name)));
    const combine = shares.map((ofClass) =>
      ofClass.map(({ op }) => opInfo(op).evaluate as (a: number, b: number) => number),
    );
    for (let chunk = 0; chunk < chunks.length; chunk += 4) {
      const index = chunks[chunk] as number;
      const tensor = tensors[index];
      if (!tensor?.active) continue;
      const { classIndex, group } = tensor;
      const base = (chunks[chunk + 3] as number) * stride;
      (shares[classIndex] ?? []).forEach(({ level }, position) => {
        const numbers = arrays[classIndex]?.[position] as Float64Array;
        const place = level === "step" ? 0 : level === "group" ? group : index;
        const add = combine[classIndex]?.[position] as (a: number, b: number) => number;
        numbers[place] = add(numbers[place] as number, partials[base + position] as number);
      });
    }
  }
}

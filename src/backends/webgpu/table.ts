import { COPY_DST, COPY_SRC, type Device, STORAGE } from "./device.ts";

/** Numbers that the host writes and the device reads: what has changed is uploaded when it is asked for. */
export class Table {
  readonly #device: Device;
  readonly #label: string;
  readonly #usage: number;
  #words = new Uint32Array(0);
  #floats = new Float32Array(0);
  #buffer: GPUBuffer | undefined;
  /** The words that changed: from, to. */
  #from = Infinity;
  #to = 0;

  constructor(device: Device, label: string, usage = STORAGE | COPY_DST | COPY_SRC) {
    this.#device = device;
    this.#label = label;
    this.#usage = usage;
  }

  /** Made when it is first needed. */
  get buffer(): GPUBuffer {
    this.#buffer ??= this.#device.createBuffer(
      this.#label,
      Math.max(16, 4 * this.#words.length),
      this.#usage,
    );
    return this.#buffer;
  }

  /** Room for so many words; where there is less, all are zero. */
  reserve(words: number): void {
    if (words <= this.#words.length) return;
    this.#buffer?.destroy();
    this.#buffer = undefined;
    this.#words = new Uint32Array(words);
    this.#floats = new Float32Array(this.#words.buffer);
    this.#from = 0;
    this.#to = words;
  }

  /** The first words, from now on. */
  replace(words: Uint32Array): void {
    this.reserve(words.length);
    words.forEach((word, index) => {
      this.setWord(index, word);
    });
  }

  word(index: number): number | undefined {
    return this.#words[index];
  }

  setWord(index: number, value: number): void {
    if (this.#words[index] === value) return;
    this.#words[index] = value;
    this.#touch(index);
  }

  setFloat(index: number, value: number): void {
    const before = this.#words[index];
    this.#floats[index] = value;
    if (this.#words[index] !== before) this.#touch(index);
  }

  /** Uploads what has changed since the last time. */
  upload(): void {
    if (this.#from >= this.#to) return;
    this.#device.write(this.buffer, 4 * this.#from, this.#words, this.#from, this.#to - this.#from);
    this.#from = Infinity;
    this.#to = 0;
  }

  /** Uploads the first words, changed or not: the device writes there, too. */
  uploadAll(words: number): void {
    this.#device.write(this.buffer, 0, this.#words, 0, words);
    this.#from = Infinity;
    this.#to = 0;
  }

  dispose(): void {
    this.#buffer?.destroy();
  }

  #touch(index: number): void {
    this.#from = Math.min(this.#from, index);
    this.#to = Math.max(this.#to, index + 1);
  }
}

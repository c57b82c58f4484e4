/** A backend whose memory the host does not see, as a GPU's is: the reference behind a curtain. Reads take a while. */
import { type Backend, reference } from "stepjit";
import type { FloatArray, Runner, SlotRequest, Storage } from "../src/backends/backend.ts";
import { StepjitError } from "../src/error.ts";
import type { FloatType } from "../src/ir/type.ts";

export class BlindStorage implements Storage {
  readonly visible = false;
  readonly owner: BlindBackend;
  readonly inner: Storage;

  constructor(owner: BlindBackend, inner: Storage) {
    this.owner = owner;
    this.inner = inner;
  }

  get dtype(): FloatType {
    return this.inner.dtype;
  }

  get length(): number {
    return this.inner.length;
  }

  view(): FloatArray {
    throw new StepjitError("device-memory", "the host does not see this");
  }

  /** As of now, some time later. */
  async read(): Promise<FloatArray> {
    this.owner.log.push("read");
    const copy = this.inner.view().slice();
    await this.owner.delay();
    return copy;
  }

  write(data: FloatArray): void {
    this.owner.log.push("write");
    this.inner.write(data);
  }

  fill(value: number): void {
    this.inner.fill(value);
  }

  copyFrom(source: Storage): void {
    if (!(source instanceof BlindStorage)) this.inner.write(source.view());
    else if (source.owner === this.owner) this.inner.copyFrom(source.inner);
    else throw new Error("copied from another backend's memory");
  }

  free(): void {
    this.owner.freed++;
  }
}

export class BlindBackend implements Backend {
  readonly #inner = reference();
  readonly name = "blind";
  readonly target = "blind";
  readonly threads = 1;
  readonly programs = "host";
  readonly dtypes: readonly FloatType[];
  /** What was done to storages, in order. */
  readonly log: string[] = [];
  /** Of each time that state was asked for. */
  readonly requests: (readonly SlotRequest[])[] = [];
  freed = 0;
  /** Set to say that the device is lost. */
  lost: StepjitError | undefined;
  readonly emit: Backend["emit"] = (...given) => this.#inner.emit(...given);
  readonly chunkElements: Backend["chunkElements"] = (total) => this.#inner.chunkElements(total);
  readonly compile: Backend["compile"] = (text) => this.#inner.compile(text);

  constructor(dtypes: readonly FloatType[] = ["f32", "f64"]) {
    this.dtypes = dtypes;
  }

  async delay(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 2));
    if (this.lost) throw this.lost;
  }

  allocate(dtype: FloatType, length: number): BlindStorage {
    return new BlindStorage(this, this.#inner.allocate(dtype, length));
  }

  allocateState(requests: readonly SlotRequest[]): BlindStorage[] {
    this.requests.push(requests);
    return requests.map(({ dtype, length }) => this.allocate(dtype, length));
  }

  adopt(): undefined {
    return undefined;
  }

  owns(storage: Storage): boolean {
    return storage instanceof BlindStorage && storage.owner === this;
  }

  prepare(tables: Parameters<Backend["prepare"]>[0]): Runner {
    const runner = this.#inner.prepare(tables);
    const bind = runner.bind.bind(runner);
    runner.bind = (tensor, role, storage) => bind(tensor, role, (storage as BlindStorage).inner);
    return runner;
  }

  check(): void {}

  finished(): Promise<void> {
    return this.delay();
  }

  dispose(): void {}

  [Symbol.dispose](): void {}
}

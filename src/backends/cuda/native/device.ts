/** An address in device memory; always a bigint, whatever the FFI gave. */
export type Address = bigint;

export interface Kernel {
  readonly text: string;
  readonly threads: number;
  /** Blocks that fit the device at once. */
  readonly blocks: number;
}

/** A point in the stream, with a time. */
export interface Mark {
  dispose(): void;
}

export class Device {
  static open(_options: { index?: number; stream?: bigint }): Promise<Device> {
    throw new Error("stub");
  }
  declare readonly name: string;
  declare readonly architecture: string;
  declare readonly multiprocessors: number;
  declare readonly totalMemory: number;
  declare readonly stream: Address;
  check(): void {
    throw new Error("stub");
  }
  allocate(_bytes: number): Address {
    throw new Error("stub");
  }
  free(_address: Address): void {
    throw new Error("stub");
  }
  compile(_text: string): Kernel {
    throw new Error("stub");
  }
  upload(_to: Address, _bytes: Uint8Array): void {
    throw new Error("stub");
  }
  copy(_to: Address, _from: Address, _bytes: number): void {
    throw new Error("stub");
  }
  fill(_to: Address, _word: number, _words: number): void {
    throw new Error("stub");
  }
  launch(_kernel: Kernel, _grid: number, _params: Uint8Array): void {
    throw new Error("stub");
  }
  download(_from: Address, _bytes: number): Promise<ArrayBuffer> {
    throw new Error("stub");
  }
  mark(): Mark {
    throw new Error("stub");
  }
  elapsed(_from: Mark, _to: Mark): Promise<number> {
    throw new Error("stub");
  }
  finished(): Promise<void> {
    throw new Error("stub");
  }
  declare readonly counts: {
    launches: number;
    uploads: number;
    uploadedBytes: number;
    graphLaunches: number;
    waits: number;
  };
  close(): void {
    throw new Error("stub");
  }
}

export class Graph {
  constructor(device: Device) {
    void device;
  }
  run(_work: () => void): void {
    throw new Error("stub");
  }
  declare readonly captures: number;
  dispose(): void {
    throw new Error("stub");
  }
}

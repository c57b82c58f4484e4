/** The wasm backend keeps tensors in its own WebAssembly memory. Our kernels are instantiated over that memory and work there. */
import { type DataId, type Tensor as TfTensor, tensor, tidy, type Variable } from "@tensorflow/tfjs-core";
import type { Storage } from "../backends/backend.ts";
import { type WasmBackend, wasm } from "../backends/wasm/index.ts";
import type { Gradient } from "../step/gradients.ts";
import { Tensor } from "../tensor.ts";
import { type Home, variableOf } from "./home.ts";

/** The parts of the wasm backend that we touch. `get` brings over the data of another backend. */
interface TfjsWasm {
  readonly dataIdMap: {
    get(id: DataId): { readonly id: number; readonly memoryOffset: number; readonly refCount: number };
  };
  readonly wasm: {
    readonly wasmMemory?: WebAssembly.Memory;
    readonly asm?: { readonly memory: WebAssembly.Memory };
    _malloc(bytes: number): number;
    _free(address: number): void;
    readonly tfjs: {
      registerTensor(id: number, size: number, address: number): void;
      disposeData(id: number): void;
    };
  };
}

export class WasmHome implements Home {
  readonly backend: WasmBackend;
  readonly #tfjs: TfjsWasm;

  constructor(backend: object) {
    this.#tfjs = backend as TfjsWasm;
    const module = this.#tfjs.wasm;
    this.backend = wasm({
      memory: (module.wasmMemory ?? module.asm?.memory) as WebAssembly.Memory,
      allocate: (bytes) => module._malloc(bytes),
      free: (address) => module._free(address),
    });
  }

  adopt(variable: Variable): void {
    if (this.#entry(variable).refCount === 1) return;
    tidy(() => variable.assign(tensor(variable.dataSync(), variable.shape)));
  }

  storage({ name, size }: Variable): Storage {
    return this.backend.foreignStorage("f32", size, () => {
      const variable = variableOf(name);
      return variable ? this.#entry(variable).memoryOffset : 0; // 0: it is gone, and no step touches it
    });
  }

  gradientReader({ shape, size }: Variable): (gradient: TfTensor) => Gradient {
    let address = 0;
    const readable = new Tensor(
      this.backend.foreignStorage("f32", size, () => address),
      shape,
    );
    return (gradient) => {
      address = this.#entry(gradient).memoryOffset;
      return readable;
    };
  }

  /** XNNPACK keeps packed copies of weights by tensor id: registering anew drops them, so that matMul sees the new values. */
  written(names: readonly string[]): void {
    const { registerTensor, disposeData } = this.#tfjs.wasm.tfjs;
    for (const name of names) {
      const variable = variableOf(name);
      if (!variable) continue;
      const { id, memoryOffset } = this.#entry(variable);
      disposeData(id);
      registerTensor(id, variable.size, memoryOffset);
    }
  }

  release(): void {}

  #entry({ dataId }: TfTensor): ReturnType<TfjsWasm["dataIdMap"]["get"]> {
    return this.#tfjs.dataIdMap.get(dataId);
  }
}

/** One home for each backend of TensorFlow.js, whoever asks for it. */
import { engine } from "@tensorflow/tfjs-core";
import { StepjitError } from "../error.ts";
import { CpuHome } from "./cpu.ts";
import type { Home } from "./home.ts";
import { WasmHome } from "./wasm.ts";
import { WebGpuHome } from "./webgpu.ts";

const MAKERS: Readonly<Record<string, (backend: object) => Home>> = {
  cpu: (backend) => new CpuHome(backend),
  wasm: (backend) => new WasmHome(backend),
  webgpu: (backend) => new WebGpuHome(backend),
};

const homes = new WeakMap<object, Home>();

/** The home in TensorFlow.js's current backend. Throws `unsupported`. */
export function currentHome(): Home {
  const { backend, backendName } = engine();
  const make = Object.hasOwn(MAKERS, backendName) ? MAKERS[backendName] : undefined;
  if (!make)
    throw new StepjitError(
      "unsupported",
      `stepjit/tfjs works with the TensorFlow.js backends ${Object.keys(MAKERS).join(", ")}; the current one is ` +
        `${backendName}. Choose one with await tf.setBackend("wasm").`,
    );
  const home = homes.get(backend) ?? make(backend);
  homes.set(backend, home);
  return home;
}

/** Which backend of TensorFlow.js the page runs on: the first of webgpu, wasm and cpu that starts, and why not an earlier one. */
import * as tf from "@tensorflow/tfjs-core";

export interface Chosen {
  readonly name: string;
  /** What it runs on, where there is more to say than its name. */
  readonly detail: string;
  /** Why the backends before it were not taken; empty for the first. */
  readonly refusals: readonly string[];
}

/** Loads what a backend needs and gives its detail; throws, with words for people, where it cannot run here. */
type Load = () => Promise<string>;

const BACKENDS: Readonly<Record<string, Load>> = {
  async webgpu() {
    if (!navigator.gpu) throw new Error("this browser has no navigator.gpu");
    const adapter = await navigator.gpu.requestAdapter();
    if (!adapter) throw new Error("navigator.gpu gives no adapter");
    await import("@tensorflow/tfjs-backend-webgpu");
    const { description, vendor, architecture } = adapter.info;
    return description || [vendor, architecture].filter(Boolean).join(" ");
  },

  async wasm() {
    const { setWasmPaths, paths } = await import("./wasm-files.ts");
    setWasmPaths(paths);
    return crossOriginIsolated
      ? `up to ${navigator.hardwareConcurrency} threads`
      : "one thread, since the page is not cross-origin isolated";
  },

  async cpu() {
    await import("@tensorflow/tfjs-backend-cpu");
    return "plain JavaScript";
  },
};

export async function chooseBackend(): Promise<Chosen> {
  const refusals: string[] = [];
  for (const [name, load] of Object.entries(BACKENDS)) {
    try {
      const detail = await load();
      if (!(await tf.setBackend(name))) throw new Error("it did not start");
      return { name, detail, refusals };
    } catch (error) {
      refusals.push(`${name}: ${error instanceof Error ? error.message : error}`);
    }
  }
  throw new Error(`No backend of TensorFlow.js starts here. ${refusals.join("; ")}.`);
}

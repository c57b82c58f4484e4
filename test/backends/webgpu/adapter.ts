/** A WebGPU for Node: the machine's own GPU, else SwiftShader, which computes on the CPU and comes with Chromium. */
import { existsSync } from "node:fs";
import { constants } from "node:os";

/** Where Debian's chromium puts SwiftShader, and a Vulkan loader for machines that have none. */
const SWIFTSHADER = "/usr/lib/chromium/vk_swiftshader_icd.json";
const LOADERS = ["libvulkan.so.1", "/usr/lib/chromium/libvulkan.so.1"];
const INSTALL = "apt-get update && apt-get install -y chromium";
/** Of dlopen: what was loaded stays, although Node closes it when it finds no addon in it. */
const RTLD_NODELETE = 0x1000;

/** `globals`: classes and constants that browsers have as globals. */
export interface NodeGpu {
  readonly gpu: GPU;
  readonly globals: object;
  readonly reason?: undefined;
}
export type Found = NodeGpu | { readonly reason: string };

/** Dawn crashes where a device outlives the object that it came from. */
const found: { gpu?: Promise<Found>; none?: Promise<Found> } = {};

/** The same object each time. */
export function findGpu(): Promise<Found> {
  found.gpu ??= search();
  return found.gpu;
}

/** One whose devices check what they are asked for, and do nothing. */
export function findNoGpu(): Promise<Found> {
  found.none ??= open(["backend=null"]);
  return found.none;
}

async function search(): Promise<Found> {
  if (process.platform === "linux") offerSwiftShader();
  const opened = await open([]);
  if (opened.reason !== undefined || (await opened.gpu.requestAdapter())) return opened;
  if (existsSync(SWIFTSHADER))
    return { reason: `no GPU, and the SwiftShader of ${SWIFTSHADER} does not start` };
  return { reason: `no GPU, and no SwiftShader at ${SWIFTSHADER}. To install it: ${INSTALL}` };
}

async function open(flags: string[]): Promise<Found> {
  try {
    const { create, globals } = await import("webgpu");
    return { gpu: create(flags), globals };
  } catch (error) {
    return { reason: `the package "webgpu" does not load: ${(error as Error).message}` };
  }
}

/** Next to the drivers of the machine. The package `webgpu` looks for the loader and reads these variables when it is first used. */
function offerSwiftShader(): void {
  if (!existsSync(SWIFTSHADER)) return;
  process.env.VK_ADD_DRIVER_FILES ??= SWIFTSHADER;
  process.env.XDG_RUNTIME_DIR ??= "/tmp"; // else the loader says so
  LOADERS.some(loads);
}

function loads(library: string): boolean {
  try {
    process.dlopen({ exports: {} }, library, constants.dlopen.RTLD_NOW | RTLD_NODELETE);
    return true;
  } catch (error) {
    return /did not self-register/.test((error as Error).message); // loaded, and no addon
  }
}

/** Makes this process look like a browser: navigator.gpu, and WebGPU's classes and constants as globals. Call the result to end that. */
export function installGlobals({ gpu, globals }: NodeGpu): () => void {
  const before = Object.getOwnPropertyDescriptors(globalThis) as Record<string, PropertyDescriptor>;
  const changed = { ...globals, navigator: { gpu } };
  for (const [name, value] of Object.entries(changed))
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  return () => {
    for (const name of Object.keys(changed)) {
      const old = before[name];
      if (old) Object.defineProperty(globalThis, name, old);
      else Reflect.deleteProperty(globalThis, name);
    }
  };
}

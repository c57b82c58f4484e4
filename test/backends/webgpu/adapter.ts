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
export type Found =
  | { readonly gpu: GPU; readonly globals: object; readonly reason?: undefined }
  | { readonly reason: string };

let found: Promise<Found> | undefined;

/** The same object each time: Dawn crashes where a device outlives the object that it came from. */
export function findGpu(): Promise<Found> {
  found ??= search();
  return found;
}

async function search(): Promise<Found> {
  if (process.platform === "linux") offerSwiftShader();
  try {
    const { create, globals } = await import("webgpu");
    const gpu = create([]);
    if (await gpu.requestAdapter()) return { gpu, globals };
  } catch (error) {
    return { reason: `the package "webgpu" does not load: ${(error as Error).message}` };
  }
  if (existsSync(SWIFTSHADER))
    return { reason: `no GPU, and the SwiftShader of ${SWIFTSHADER} does not start` };
  return { reason: `no GPU, and no SwiftShader at ${SWIFTSHADER}. To install it: ${INSTALL}` };
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

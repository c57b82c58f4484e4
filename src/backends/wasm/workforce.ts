/** Who does the work over one heap: a walker on this thread and, where memory is shared, a pool; and what kernels they know. */
import { compile as assemble } from "watr";
import { StepjitError } from "../../error.ts";
import type { Heap } from "./heap.ts";
import { Pool } from "./pool.ts";
import { type Walker, walkerText } from "./walker.ts";

export interface Workforce {
  readonly heap: Heap;
  readonly walker: Walker;
  readonly pool: Pool | undefined;
}

export function employ(heap: Heap, threads: number): Workforce {
  const module = moduleOf(walkerText(heap.shared));
  const walker = new WebAssembly.Instance(module, imports(heap)).exports as unknown as Walker;
  return { heap, walker, pool: threads > 1 ? new Pool(heap, walker, module, threads) : undefined };
}

/** Compiles a kernel and gives it to every thread; its index is the same in every thread's function table. */
export function install({ heap, walker, pool }: Workforce, text: string): number {
  const module = moduleOf(text);
  const { run } = new WebAssembly.Instance(module, imports(heap)).exports;
  const index = walker.kernels.grow(1);
  walker.kernels.set(index, run);
  pool?.add(module);
  return index;
}

/** Asks the engine, by the smallest module that uses it. */
export function hasRelaxedSimd(): boolean {
  const sum = "(f32x4.relaxed_madd (local.get 0) (local.get 0) (local.get 0))";
  return WebAssembly.validate(binary(`(module (func (param v128) (result v128) ${sum}))`));
}

/** A kernel that needs more than memory imports it from JavaScript's Math itself. */
function imports({ memory }: Heap): WebAssembly.Imports {
  return { env: { memory }, Math: Math as unknown as WebAssembly.ModuleImports };
}

/** Our own text always compiles, so a refusal is the page's doing. */
function moduleOf(text: string): WebAssembly.Module {
  try {
    return new WebAssembly.Module(binary(text));
  } catch (cause) {
    throw new StepjitError(
      "unsupported",
      `WebAssembly refused a kernel (${cause}). Under a Content-Security-Policy a page has to allow script-src ` +
        "'wasm-unsafe-eval', and worker-src blob: for threads.",
      { cause },
    );
  }
}

function binary(text: string): Uint8Array<ArrayBuffer> {
  return assemble(text) as Uint8Array<ArrayBuffer>;
}

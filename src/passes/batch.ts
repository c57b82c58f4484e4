/**
 * Batch: kernels of one phase, over all classes, become one launch. A launch starts once over one chunk table; a row names its
 * kernel, so the number of parameters and their shapes never enter a kernel's text.
 *
 *     kernel "SGD f32" phase 0                        step phase 1
 *     kernel "SGD f32 nesterov" phase 0       →       scalars "SGD f32" phase 1
 *     step phase 1                                    …
 *     …                                               kernel "SGD f32" phase 0, kernel "SGD f32 nesterov" phase 0: launch 0
 *
 * Functions are put in the order in which they run: phase by phase, the step body, the scalar programs, then the kernels. Sorting is
 * stable: of one phase and kind, classes keep their order, and what offload put on the host stays before what it put on the device.
 * It never pays to split: a launch costs more than the switch over its kernels.
 */
import type { Func, FuncKind, Module } from "../ir/module.ts";

const ORDER: readonly FuncKind[] = ["step", "body", "scalars", "kernel"];

export function batch(module: Module): Module {
  const funcs = [...module.funcs].sort(
    (a, b) => (a.phase ?? 0) - (b.phase ?? 0) || ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind),
  );
  return { ...module, funcs };
}

/** What runs in one phase. */
export interface Phase {
  /** On the host. */
  readonly step?: Func;
  readonly scalars: readonly Func[];
  /** On the device, before the kernels: what offload cut off. */
  readonly programs: { readonly step: Func | undefined; readonly scalars: readonly Func[] };
  /** One launch. */
  readonly kernels: readonly Func[];
}

/** The phases of a batched module, in order; phases are contiguous from 0. */
export function phasesOf(module: Module): Phase[] {
  const count = Math.max(-1, ...module.funcs.map(({ phase }) => phase ?? 0)) + 1;
  return Array.from({ length: count }, (_, index) => {
    const pick = (wanted: FuncKind, where?: "device") =>
      module.funcs.filter(({ phase, kind, on }) => phase === index && kind === wanted && on === where);
    const [step] = pick("step");
    return {
      ...(step && { step }),
      scalars: pick("scalars"),
      programs: { step: pick("step", "device")[0], scalars: pick("scalars", "device") },
      kernels: pick("kernel"),
    };
  });
}

import type { ClassLayout } from "../backends/backend.ts";
import { type Func, type Module, tensorTraffic } from "../ir/module.ts";
import type { DType, FloatType } from "../ir/type.ts";

/** The tensors and scalar slots of one class, over all its kernels and scalar programs. */
export function layoutOf(module: Module, name: string, dtype: FloatType): ClassLayout {
  const ofClass = (kind: Func["kind"]) =>
    module.funcs.filter((func) => func.kind === kind && func.name === name);
  const touched = ofClass("kernel").flatMap((kernel) => tensorTraffic(kernel).map(roleOf));
  const scalarTypes: DType[] = [];
  for (const { values, outputs } of ofClass("scalars"))
    for (const { target, value } of outputs) {
      const slot = /^scalar\.(\d+)$/.exec(target)?.[1];
      if (slot !== undefined)
        scalarTypes[Number(slot)] = values[value]?.type.dtype === "bool" ? "bool" : dtype;
    }
  return { name, dtype, roles: [...new Set(["param", ...touched])], scalarTypes };
}

/** `state.exp_avg'` is written where `state.exp_avg` is read. */
export function roleOf(tensor: string): string {
  return tensor.replace(/'$/, "");
}

/**
 * Fuse: the work of one class in one phase becomes kernels, one for each iteration space its outputs have.
 *
 *     body "Adam f32" phase 0 flat {              kernel "Adam f32" phase 0 flat {
 *       state.exp_avg' = %8                         state.exp_avg' = %8
 *       state.exp_avg_sq' = %12           →         state.exp_avg_sq' = %12
 *       param' = %20                                param' = %20
 *     }                                           }
 *
 * Outputs over one space share their loads and whatever they have in common; a kernel's results may have several extents, since a
 * reduction is produced by the kernel that walks its operand. Work over a smaller space (a row's sums) is a kernel of its own: one
 * that walked all elements for it would compute it once an element.
 */
import { axesOf, type Extent, extentOf } from "../ir/extent.ts";
import { type Func, type Module, type Output, valueAt } from "../ir/module.ts";
import { opInfo } from "../ir/ops.ts";
import { slice } from "./slice.ts";

export function fuse(module: Module): Module {
  return {
    ...module,
    funcs: module.funcs.flatMap((func) => (func.kind === "body" ? kernelsOf(func) : [func])),
  };
}

function kernelsOf(body: Func): Func[] {
  const spaces = new Map<Extent, Output[]>();
  for (const output of body.outputs) {
    const space = spaceOf(body, output);
    spaces.set(space, [...(spaces.get(space) ?? []), output]);
  }
  return [...spaces].map(([space, outputs]) => {
    const kernel = slice(body, outputs, { kind: "kernel" });
    return spaces.size > 1 ? { ...kernel, name: `${body.name} over ${space}` } : kernel;
  });
}

/** The axes walked to produce an output: its own, or for a reduction its operand's. */
function spaceOf(body: Func, output: Output): Extent {
  const value = valueAt(body, output.value);
  const operands = opInfo(value.op).rule === "reduce" ? value.args.map((arg) => valueAt(body, arg)) : [value];
  return extentOf(operands.flatMap(({ type }) => [...axesOf(type.extent)]));
}

import type { AxisTotal, ClassLayout } from "../backends/backend.ts";
import { type Dims, elementsOf, placesOf, type View } from "../ir/dims.ts";
import { axesOf, ELEMENT, isLevel } from "../ir/extent.ts";
import { type Access, type Func, type Module, tensorTraffic, valueAt } from "../ir/module.ts";
import { spaceOf, totalName } from "../ir/spaces.ts";
import { type DType, ELEMENT_BYTES, type FloatType } from "../ir/type.ts";
import { blocksOf } from "./chunks.ts";

/** The tensors and scalar slots of one class, over all its kernels and scalar programs. */
export function layoutOf(module: Module, name: string, dtype: FloatType, view: View): ClassLayout {
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
  return {
    name,
    dtype,
    view: view === "points" ? "vector" : view,
    roles: [...new Set(["param", ...touched])],
    written: [
      ...new Set(
        ofClass("kernel").flatMap(({ outputs }) =>
          outputs.flatMap(({ target }) => (target.endsWith("'") ? target.slice(0, -1) : [])),
        ),
      ),
    ],
    scalarTypes,
    totals: ofClass("kernel").flatMap(axisTotalsOf),
  };
}

/** `state.exp_avg'` is written where `state.exp_avg` is read. */
function roleOf({ tensor }: Access): string {
  return tensor.replace(/'$/, "");
}

function axisTotalsOf(kernel: Func): AxisTotal[] {
  return kernel.outputs.flatMap((output) => {
    const name = totalName(output.target);
    const { type, op } = valueAt(kernel, output.value);
    if (name === undefined || isLevel(type.extent)) return [];
    const blocked = spaceOf(kernel, output) === ELEMENT && !axesOf(type.extent).includes("row");
    return [{ name, extent: type.extent, op: op as AxisTotal["op"], blocked }];
  });
}

/** Numbers that one parameter keeps for a total. */
export function totalPlaces({ extent, blocked }: AxisTotal, dims: Dims): number {
  return placesOf(extent, dims) * (blocked ? blocksOf(dims).count : 1);
}

/** Of one parameter with these sizes. */
export type Bytes = (dims: Dims) => number;

/** What one step over a parameter moves through memory. */
export interface Traffic {
  readonly moved: Bytes;
  /** What it would have to move at least: every tensor that it reads or writes, once. */
  readonly ideal: Bytes;
  /** What of `moved` each phase moves; undefined where the class has no kernel. */
  readonly phases: readonly (Bytes | undefined)[];
}

export function trafficOf(module: Module, layout: ClassLayout): Traffic {
  const kernels = module.funcs.filter((func) => func.kind === "kernel" && func.name === layout.name);
  const size = ELEMENT_BYTES[layout.dtype];
  const distinct = new Map(kernels.flatMap(tensorTraffic).map((access) => [access.tensor, access]));
  const phases: Bytes[] = [];
  for (const kernel of kernels) phases[kernel.phase ?? 0] = movedBy([kernel], layout);
  return { moved: movedBy(kernels, layout), ideal: bytesOf([...distinct.values()], size), phases };
}

/** Tensors, and the totals over axes that one launch leaves for the next. */
function movedBy(kernels: readonly Func[], { dtype, totals }: ClassLayout): Bytes {
  const tensors = bytesOf(kernels.flatMap(tensorTraffic), ELEMENT_BYTES[dtype]);
  const names = kernels.flatMap(axisTotalsMovedBy);
  const moved = names.flatMap((name) => totals.filter((total) => total.name === name));
  return (dims) => moved.reduce((sum, total) => sum + 8 * totalPlaces(total, dims), tensors(dims));
}

/** By name, those that a kernel writes and those that it reads. */
function axisTotalsMovedBy(kernel: Func): string[] {
  const read = kernel.values.filter(({ op, type }) => op === "total" && !isLevel(type.extent));
  return [...axisTotalsOf(kernel).map(({ name }) => name), ...read.map(({ attribute }) => String(attribute))];
}

/** Most tensors are over elements: those are counted once for all parameters. */
function bytesOf(accesses: readonly Access[], size: number): Bytes {
  const smaller = accesses.filter(({ extent }) => extent !== ELEMENT);
  const whole = accesses.length - smaller.length;
  return (dims) => {
    let places = whole * elementsOf(dims);
    for (const { extent } of smaller) places += placesOf(extent, dims);
    return size * places;
  };
}

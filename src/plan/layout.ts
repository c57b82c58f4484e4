import type { AxisTotal, ClassLayout } from "../backends/backend.ts";
import { type Dims, elementsOf, placesOf, type View } from "../ir/dims.ts";
import { axesOf, ELEMENT, isLevel } from "../ir/extent.ts";
import { type Access, type Func, funcsOf, type Module, tensorTraffic, valueAt } from "../ir/module.ts";
import { spaceOf, totalName } from "../ir/spaces.ts";
import { type DType, ELEMENT_BYTES, type FloatType } from "../ir/type.ts";
import { blocksOf } from "./chunks.ts";

/** The tensors and scalar slots of one class, over all its kernels and scalar programs. */
export function layoutOf(module: Module, name: string, dtype: FloatType, view: View): ClassLayout {
  const ofClass = (kind: Func["kind"]) => funcsOf(module, kind, name);
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

/** What one launch of a class reads or writes: a tensor, or a total over axes that one launch leaves for later ones. */
export interface Movement {
  /** `param`, `state.exp_avg`, `total.local0`. */
  readonly tensor: string;
  readonly kind: "read" | "write";
  readonly phase: number;
  /** Whether a step has to move this: each tensor once; totals are the launches' own. */
  readonly isIdeal: boolean;
  /** Whether it is over elements. */
  readonly isWhole: boolean;
  readonly bytes: Bytes;
}

/** All that the kernels of one class move. */
export function movementsOf(module: Module, layout: ClassLayout): Movement[] {
  const kernels = funcsOf(module, "kernel", layout.name);
  return [...tensorMovements(kernels, layout), ...totalMovements(kernels, layout)];
}

function* tensorMovements(kernels: readonly Func[], { dtype }: ClassLayout): Generator<Movement> {
  const seen = new Set<string>();
  for (const kernel of kernels)
    for (const { tensor, extent } of tensorTraffic(kernel)) {
      yield {
        tensor: tensor.replace(/'$/, ""),
        kind: tensor.endsWith("'") ? "write" : "read",
        phase: kernel.phase ?? 0,
        isIdeal: !seen.has(tensor),
        isWhole: extent === ELEMENT,
        bytes: (dims) => ELEMENT_BYTES[dtype] * placesOf(extent, dims),
      };
      seen.add(tensor);
    }
}

function* totalMovements(kernels: readonly Func[], { totals }: ClassLayout): Generator<Movement> {
  for (const total of totals)
    for (const kernel of kernels) {
      const movement = {
        tensor: `total.${total.name}`,
        phase: kernel.phase ?? 0,
        isIdeal: false,
        isWhole: false,
        bytes: (dims: Dims) => 8 * totalPlaces(total, dims),
      };
      if (axisTotalsOf(kernel).some(({ name }) => name === total.name)) yield { ...movement, kind: "write" };
      if (readsTotal(kernel, total.name)) yield { ...movement, kind: "read" };
    }
}

function readsTotal({ values }: Func, name: string): boolean {
  return values.some(
    ({ op, attribute, type }) => op === "total" && attribute === name && !isLevel(type.extent),
  );
}

/** What one step over a parameter moves through memory. */
export interface Traffic {
  readonly moved: Bytes;
  /** What it would have to move at least: every tensor that it reads or writes, once. */
  readonly ideal: Bytes;
  /** What of `moved` each phase moves; undefined where the class has no kernel. */
  readonly phases: readonly (Bytes | undefined)[];
}

export function trafficOf(module: Module, layout: ClassLayout): Traffic {
  const movements = movementsOf(module, layout);
  const phases: Bytes[] = [];
  for (const { phase } of movements)
    phases[phase] ??= sumOf(
      movements.filter((movement) => movement.phase === phase),
      layout,
    );
  return {
    moved: sumOf(movements, layout),
    ideal: sumOf(
      movements.filter(({ isIdeal }) => isIdeal),
      layout,
    ),
    phases,
  };
}

/** Most tensors are over elements: those are counted once for all parameters. */
function sumOf(movements: readonly Movement[], { dtype }: ClassLayout): Bytes {
  const smaller = movements.filter(({ isWhole }) => !isWhole);
  const whole = ELEMENT_BYTES[dtype] * (movements.length - smaller.length);
  return (dims) => {
    let sum = whole * elementsOf(dims);
    for (const { bytes } of smaller) sum += bytes(dims);
    return sum;
  };
}

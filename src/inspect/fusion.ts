/** What became of an optimizer's maths, op by op: which are fused into kernels, and why the others are not. */
import type { Level } from "../ir/extent.ts";
import { type Func, funcsOf, isInput, type Module, type Value } from "../ir/module.ts";
import { opInfo } from "../ir/ops.ts";

/** An op of the maths, and where it was written. */
export interface Node {
  readonly op: string;
  /** Undefined for what a pass added. */
  readonly source: string | undefined;
}

/** What became of the maths of one class. Loads, constants and broadcasts are no maths. */
export interface Fusion {
  /** The class. */
  readonly name: string;
  /** Ops that were traced; those that are not below were simplified away, found twice, or not needed. */
  readonly traced: number;
  /** Ops that are fused into each kernel; there are several where one needs what another leaves finished only at its end. */
  readonly kernels: readonly {
    readonly phase: number;
    readonly nodes: readonly Node[];
    /** Those that an earlier kernel has computed, too: that moves less than to store them. */
    readonly again: readonly Node[];
  }[];
  /** Ops that are in no kernel: one number serves a step, a group or a parameter, and is computed once before a launch. */
  readonly once: readonly (Node & { readonly every: Level })[];
}

export function fusionOf(module: Module, traced: Module, name: string): Fusion {
  const kernels = funcsOf(module, "kernel", name);
  return {
    name,
    traced: funcsOf(traced, "body", name).flatMap(mathsOf).length,
    kernels: kernels.map((kernel, index) => {
      const nodes = mathsOf(kernel).map(nodeOf);
      const before = new Set(kernels.slice(0, index).flatMap(mathsOf).map(nodeOf).map(nameOf));
      return { phase: kernel.phase ?? 0, nodes, again: nodes.filter((node) => before.has(nameOf(node))) };
    }),
    once: funcsOf(module, "scalars", name)
      .flatMap(mathsOf)
      .map((value) => ({ ...nodeOf(value), every: value.type.extent as Level })),
  };
}

function mathsOf({ values }: Func): Value[] {
  return values.filter((value) => !isInput(value) && opInfo(value.op).rule !== "broadcast");
}

function nodeOf({ op, source }: Value): Node {
  return { op, source };
}

function nameOf({ op, source }: Node): string {
  return `${op} ${source}`;
}

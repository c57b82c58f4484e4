/** The stages of a compilation: the module as traced, and what each pass leaves of it. */
import type { Func, Module } from "../ir/module.ts";
import { printModule } from "../ir/print.ts";
import { printType } from "../ir/type.ts";
import { type PassName, runPasses } from "../passes/pipeline.ts";
import type { Compiled } from "../step/cache.ts";
import { type Origins, originsOf, type Place } from "./lineage.ts";

export interface StageData {
  /** As `dump` names it. */
  readonly name: string;
  /** In a sentence. */
  readonly what: string;
  readonly funcs: readonly FuncData[];
}

export interface FuncData {
  readonly kind: Func["kind"];
  readonly name: string;
  readonly phase?: number;
  readonly on?: "device";
  readonly values: readonly ValueData[];
  readonly outputs: readonly { readonly target: string; readonly value: number }[];
}

export interface ValueData {
  readonly op: string;
  /** As it is printed: `f32[lead,row]`. */
  readonly type: string;
  readonly extent: string;
  readonly args: readonly number[];
  readonly attribute?: string | number;
  readonly source?: string;
  /** The value of the stage before that this one is; not there where it is new. */
  readonly from?: Place;
}

const WHAT: Readonly<Record<"module" | PassName | "fused", string>> = {
  module: "The maths as it was traced.",
  simplify: "Local rules: cheaper operations for the same numbers.",
  cse: "What is computed twice is computed once.",
  dce: "What no result needs goes.",
  hoist: "All that lives above elements becomes the scalar program, run once a row of the scalar table.",
  schedule: "Phases are cut at reductions: a finished total starts the next one.",
  fuse: "The work of one class in one phase becomes one kernel.",
  batch: "The kernels of all classes of a phase become one launch.",
  fused: "Offload: what only the device knows is computed there, between its launches.",
};

/** The last stage is what was planned: `fused`, where the backend wants something done besides, else `batch`. */
export function stagesOf({ traced, module }: Compiled): StageData[] {
  const named: [name: keyof typeof WHAT, module: Module][] = [["module", traced]];
  const last = runPasses(traced, ({ name }, result) => named.push([name as PassName, result]));
  if (printModule(last) !== printModule(module)) named.push(["fused", module]);
  return named.map(([name, { funcs }], index) => {
    const before = named[index - 1]?.[1];
    const origins = before && originsOf({ name: "", funcs }, before);
    return { name, what: WHAT[name], funcs: funcs.map((func, at) => funcData(func, origins?.[at])) };
  });
}

function funcData(func: Func, origins: Origins[number] | undefined): FuncData {
  const { kind, name, phase, on, values, outputs } = func;
  return {
    kind,
    name,
    ...(phase !== undefined && { phase }),
    ...(on && { on }),
    values: values.map(({ op, type, args, attribute, source }, id) => {
      const from = origins?.[id];
      return {
        op,
        type: printType(type),
        extent: type.extent,
        args,
        ...(attribute !== undefined && { attribute: printAttribute(attribute) }),
        ...(source !== undefined && { source }),
        ...(from && { from }),
      };
    }),
    outputs: outputs.map(({ target, value }) => ({ target, value })),
  };
}

/** JSON has no infinities and no negative zero. */
function printAttribute(attribute: string | number): string | number {
  return Number.isFinite(attribute) && !Object.is(attribute, -0)
    ? attribute
    : Object.is(attribute, -0)
      ? "-0"
      : String(attribute);
}

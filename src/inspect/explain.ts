/** What the compiler made of an optimizer, as data that prints as text. */
import type { Placement } from "../backends/backend.ts";
import { ELEMENT } from "../ir/extent.ts";
import { type Func, funcsOf, tensorTraffic, type Value, valueAt } from "../ir/module.ts";
import { opInfo } from "../ir/ops.ts";
import { totalName } from "../ir/spaces.ts";
import { ELEMENT_BYTES, type FloatType } from "../ir/type.ts";
import type { Traffic } from "../plan/layout.ts";
import { counted } from "../step/counted.ts";
import type { Engine } from "../step/engine.ts";
import { type Fusion, fusionOf } from "./fusion.ts";

/** What `step.explain()` gives: data; `String(…)` of it is text. */
export interface Explanation {
  /** The optimizer's name, and what is around it: `AdamW + clip`. */
  readonly optimizer: string;
  /** What its kernels are for: `wasm32 simd128 shared`. */
  readonly backend: string;
  /** Parameters of the same flags, dtype and rank class share kernels. */
  readonly classes: readonly {
    readonly name: string;
    readonly parameters: number;
    readonly elements: number;
  }[];
  /** One for each class and phase. `tensors` are those that it reads, and with `'` those that it writes. */
  readonly kernels: readonly {
    readonly name: string;
    readonly phase: number;
    readonly ops: number;
    /** Those of them that compute something for each element: neither loads nor broadcasts. */
    readonly arithmetic: number;
    /** The files whose maths is fused in it. */
    readonly fuses: readonly string[];
    readonly tensors: readonly string[];
  }[];
  /** By class: which ops are fused into which kernel, and which are in none. */
  readonly fusion: readonly Fusion[];
  /** Launches a step. */
  readonly launches: number;
  /** What tells kernels where to work: rows, and bytes where they are the same on every backend. */
  readonly tables: {
    /** A row a parameter. */
    readonly tensors: number;
    readonly chunks: { readonly rows: number; readonly bytes: number };
    /** Written at every step; a row for all parameters that share their numbers. None before the first step. */
    readonly scalars: { readonly rows: number; readonly bytes: number };
  };
  /** An element, by class: bytes moved, and the least there is to move. */
  readonly bytes: readonly { readonly name: string; readonly moved: number; readonly ideal: number }[];
  /** Memory that the optimizer's state takes, by slot, over all parameters; none before the first step. */
  readonly state: readonly { readonly name: string; readonly bytes: number }[];
  /** Parameters whose hyperparameters are scaled by name, and by what. */
  readonly scales: readonly {
    readonly factors: Readonly<Record<string, number>>;
    readonly parameters: readonly string[];
  }[];
  /** What is copied at every step because it is not in the backend's memory. */
  readonly copies: readonly {
    readonly parameter: string;
    readonly what: "parameter" | "gradient";
    readonly bytes: number;
  }[];
  /** On a GPU; null elsewhere. */
  readonly device: {
    /** Of the last step. */
    readonly dispatches: number;
    /** Buffer-to-buffer copies a step, and the bytes that they move. */
    readonly copies: number;
    readonly bytes: number;
    /** Parameters whose foreign buffers are copied in and out, and those that are bound where they are, in a dispatch of their own. */
    readonly copied: readonly string[];
    readonly bound: readonly string[];
    /** What decides between the two. */
    readonly rule: string;
  } | null;
  /** Why work is in more than one launch. */
  readonly barriers: readonly string[];
  /** All of it, a line each. */
  toString(): string;
}

const CHUNK_ROW_BYTES = 16;

export function explain(engine: Engine): Explanation {
  const { plan, compiled } = engine.planned;
  const { layouts } = compiled;
  const kernels = funcsOf(compiled.module, "kernel");
  const explanation = {
    optimizer: compiled.module.name,
    backend: engine.options.backend.target,
    classes: layouts.map(({ name }, index) => ({
      name,
      parameters: membersOf(engine, index).length,
      elements: sum(membersOf(engine, index).map(({ elements }) => elements)),
    })),
    kernels: kernels.map((kernel) => ({
      name: kernel.name,
      phase: kernel.phase ?? 0,
      ops: kernel.values.length,
      arithmetic: kernel.values.filter((value) => isArithmetic(kernel, value)).length,
      fuses: filesOf(kernel),
      tensors: tensorTraffic(kernel).map(({ tensor }) => tensor),
    })),
    fusion: layouts.map(({ name }) => fusionOf(compiled.module, compiled.traced, name)),
    launches: plan.launches,
    tables: {
      tensors: engine.optimizer.parameters.length,
      chunks: { rows: plan.chunkCount, bytes: CHUNK_ROW_BYTES * plan.chunkCount },
      scalars: plan.scalarTable,
    },
    bytes: layouts.map(({ name }, index) => bytesOf(engine, name, index)),
    state: stateOf(engine),
    scales: scalesOf(engine),
    copies: copiesOf(engine),
    device: deviceOf(engine),
    barriers: kernels.flatMap(barriersOf),
  };
  return Object.defineProperty(explanation, "toString", { value: () => asText(explanation) }) as Explanation;
}

function membersOf({ optimizer }: Engine, index: number) {
  return optimizer.parameters.filter(({ classIndex }) => classIndex === index);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function bytesOf(engine: Engine, name: string, index: number): Explanation["bytes"][number] {
  const members = membersOf(engine, index);
  const elements = sum(members.map((member) => member.elements));
  const { moved, ideal } = engine.planned.traffic[index] as Traffic;
  const anElement = (total: number) => (elements === 0 ? 0 : Number((total / elements).toFixed(2)));
  return {
    name,
    moved: anElement(sum(members.map(({ dims }) => moved(dims)))),
    ideal: anElement(sum(members.map(({ dims }) => ideal(dims)))),
  };
}

/** Whether a value is computed for each element, or from each. */
function isArithmetic(kernel: Func, { op, args, type }: Value): boolean {
  const { rule } = opInfo(op);
  if (rule === "input" || rule === "broadcast") return false;
  return [type, ...args.map((arg) => valueAt(kernel, arg).type)].some(({ extent }) => extent === ELEMENT);
}

function filesOf({ values }: Func): string[] {
  return [...new Set(values.flatMap(({ source }) => source?.replace(/:\d+:\d+$/, "") ?? []))];
}

function stateOf({ optimizer }: Engine): Explanation["state"] {
  const bytes = new Map<string, number>();
  for (const { slots } of optimizer.parameters)
    for (const [name, { storage, live }] of slots)
      if (live) bytes.set(name, (bytes.get(name) ?? 0) + storage.length * ELEMENT_BYTES[storage.dtype]);
  return [...bytes].map(([name, bytes]) => ({ name, bytes }));
}

function scalesOf({ optimizer }: Engine): Explanation["scales"] {
  const scaled = optimizer.parameters.flatMap(({ name, scaled }) => (scaled ? [{ name, ...scaled }] : []));
  return [...new Set(scaled.map(({ label }) => label))].map((label) => {
    const members = scaled.filter((one) => one.label === label);
    return {
      factors: Object.fromEntries(members[0]?.factors ?? []),
      parameters: members.map(({ name }) => name),
    };
  });
}

function copiesOf({ planned, mirrors }: Engine): Explanation["copies"] {
  const bytes = (elements: number, dtype: FloatType) => elements * ELEMENT_BYTES[dtype];
  return [
    ...mirrors.parameters.map(({ name, elements, tensor }) => ({
      parameter: name,
      what: "parameter" as const,
      bytes: 2 * bytes(elements, tensor.storage.dtype),
    })),
    ...planned.gradients.copied.map((parameter) => ({
      parameter: parameter.name,
      what: "gradient" as const,
      bytes: bytes(parameter.elements, parameter.tensor.storage.dtype),
    })),
  ];
}

function deviceOf({ planned, optimizer }: Engine): Explanation["device"] {
  const { report } = planned.plan;
  if (!report) return null;
  const { copies, bytes, placements, rule } = report;
  const named = (placement: Placement) =>
    optimizer.parameters.flatMap(({ name }, index) => (placements[index] === placement ? [name] : []));
  return {
    dispatches: planned.plan.launched,
    copies,
    bytes,
    copied: named("copied"),
    bound: named("bound"),
    rule,
  };
}

function barriersOf(kernel: Func): string[] {
  const { name, phase, outputs } = kernel;
  return outputs.flatMap(({ target, value }) => {
    const total = totalName(target);
    if (total === undefined) return [];
    const { op, source } = valueAt(kernel, value);
    const what = source === undefined ? op : `${op} ${source}`;
    return [
      `"${name}" phase ${phase}: later launches wait for ${total} (${what}), and read again what they need`,
    ];
  });
}

function asText(explanation: Omit<Explanation, "toString">): string {
  const { optimizer, backend, classes, kernels, fusion, launches, tables } = explanation;
  const { bytes, state, scales, copies, device, barriers } = explanation;
  const copied = copies.reduce((sum, copy) => sum + copy.bytes, 0);
  return [
    `${optimizer} on ${backend}: ${counted(launches, "launch", "launches")} a step`,
    ...classes.map(
      ({ name, parameters, elements }) =>
        `  class "${name}": ${counted(parameters, "parameter")}, ${counted(elements, "element")}`,
    ),
    ...kernels.map(
      ({ name, phase, ops, arithmetic, fuses, tensors }) =>
        `  kernel "${name}" phase ${phase}: ${ops} ops, ${arithmetic} of them arithmetic on each element, of ${fuses.join(", ")}, over ${tensors.join(", ")}`,
    ),
    ...fusion.map(fusionText),
    tablesText(tables),
    ...bytes.map(({ name, moved, ideal }) => `  bytes "${name}": ${moved} an element, ${ideal} at least`),
    ...(state.length > 0
      ? [`  state: ${state.map(({ name, bytes }) => `${name} ${bytes} bytes`).join(", ")}`]
      : []),
    ...scales.map(({ factors, parameters }) => {
      const products = Object.entries(factors).map(([name, factor]) => `${name} × ${factor}`);
      return `  scaled ${products.join(", ")}: ${counted(parameters.length, "parameter")}`;
    }),
    ...barriers.map((barrier) => `  barrier ${barrier}`),
    ...(device ? deviceText(device) : []),
    copies.length === 0
      ? `  no copies${device ? " from or to the host" : ""}`
      : `  copies ${copied} bytes a step (${counted(copies.length, "tensor")} outside the backend's memory; tensor() makes them inside):`,
    ...copies.slice(0, 10).map(({ parameter, what, bytes }) => `    ${what} "${parameter}": ${bytes} bytes`),
  ].join("\n");
}

function fusionText({ name, traced, kernels, once }: Fusion): string {
  const fused = kernels.map(({ nodes, again, phase }) => {
    const repeated = again.length === 0 ? "" : ` (${again.length} of them again)`;
    return `${nodes.length} are fused into the kernel of phase ${phase}${repeated}`;
  });
  const rest = `${once.length} are computed once, before a launch: one number serves a step, a group or a parameter`;
  return `  fusion "${name}": of ${counted(traced, "op")}, ${[...fused, rest].join(", ")}`;
}

function tablesText({ tensors, chunks, scalars }: Explanation["tables"]): string {
  const rows = (table: { rows: number; bytes: number }, one: string) =>
    `${counted(table.rows, one)} (${counted(table.bytes, "byte")}`;
  return `  tables: ${counted(tensors, "tensor")}, ${rows(chunks, "chunk")}), ${rows(scalars, "scalar row")} a step)`;
}

function deviceText(device: NonNullable<Explanation["device"]>): string[] {
  const { dispatches, copies, bytes, copied, bound, rule } = device;
  if (copied.length + bound.length === 0)
    return [`  ${counted(dispatches, "dispatch", "dispatches")}, all tensors in arenas`];
  return [
    `  ${counted(dispatches, "dispatch", "dispatches")} over foreign buffers (${rule}):`,
    `    copied: ${counted(copied.length, "parameter")}, ${counted(copies, "copy", "copies")}, ${bytes} bytes a step`,
    `    bound, a dispatch each: ${bound.length === 0 ? "none" : bound.join(", ")}`,
  ];
}

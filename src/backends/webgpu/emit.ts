/** Prints the kernels of one phase as one WGSL module: each workgroup of `main` takes chunk after chunk. */
import type { ClassLayout, PhaseWork } from "../backend.ts";
import { indent } from "../common/text.ts";
import { printKernels } from "../gpu/kernels.ts";
import type { Scope } from "../gpu/scope.ts";
import { type Access, declareBindings, variableOf } from "./bindings.ts";
import { elementType } from "./elements.ts";
import { helpersFor } from "./helpers.ts";
import { KERNEL_BINDINGS, type KernelBinding, THREADS } from "./layout.ts";
import { WGSL } from "./wgsl.ts";

/** Throws `unsupported`. Numerics change nothing: a device's own compiler may fuse multiply-adds either way. */
export function emitKernels(work: PhaseWork, layouts: readonly ClassLayout[]): string {
  // Bindings are the same for all kernels of a phase, so one that counts along axes makes all of them go number by number.
  const names = work.kernels.map(({ name }) => name);
  const wide = layouts.every(({ name, view }) => view === "vector" || !names.includes(name));
  const elements = elementType(wide);
  const { scopes, functions, perChunk } = printKernels(WGSL, work, layouts, () => wide);
  const helpers = helpersFor(functions.join("\n"), { threads: THREADS, elements });
  const text = [...helpers, ...functions, "", ...printMain(perChunk), ""];
  return [
    `// ${names.join(", ")}: phase ${work.phase}`,
    "",
    ...declareBindings(KERNEL_BINDINGS, accessesIn(text.join("\n"), scopes), elements),
    ...text,
  ].join("\n");
}

/** Buffers that the text names, and those that it writes. */
function accessesIn(text: string, scopes: readonly Scope[]): Map<KernelBinding, Access> {
  const writesGrad = scopes.some(({ kernel }) => kernel.outputs.some(({ target }) => target === "grad'"));
  const access: Partial<Record<KernelBinding, Access>> = {
    chunks: "read",
    tensors: "read",
    scalars: "read",
    grad: writesGrad ? "read_write" : "read",
  };
  const used = (Object.keys(KERNEL_BINDINGS) as KernelBinding[]).filter((binding) =>
    text.includes(`${variableOf(binding)}[`),
  );
  return new Map(used.map((binding) => [binding, access[binding] ?? "read_write"]));
}

function printMain(perChunk: readonly string[]): string[] {
  return [
    `@compute @workgroup_size(${THREADS})`,
    "fn main(",
    "  @builtin(workgroup_id) group: vec3u,",
    "  @builtin(num_workgroups) groups: vec3u,",
    "  @builtin(local_invocation_index) thread: u32,",
    ") {",
    ...indent([
      "for (var at = group.x; at < launch.count; at += groups.x) {",
      ...indent([
        "let chunk = chunks[launch.first + at]; // tensor row, start, length, partial slot",
        ...perChunk,
      ]),
      "}",
    ]),
    "}",
  ];
}

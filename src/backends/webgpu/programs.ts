/** Prints the programs of one phase as one WGSL module, for one workgroup. */
import type { ClassLayout, PhaseWork } from "../backend.ts";
import { indent } from "../common/text.ts";
import { printPrograms } from "../gpu/programs.ts";
import { type Access, declareBindings } from "./bindings.ts";
import { helpersFor } from "./helpers.ts";
import { PROGRAM_BINDINGS, PROGRAM_THREADS, type ProgramBinding } from "./layout.ts";
import { WGSL } from "./wgsl.ts";

/** `work` has programs. Throws `unsupported`. */
export function emitPrograms(work: PhaseWork, layouts: readonly ClassLayout[]): string {
  const printed = printPrograms(WGSL, work, layouts);
  const main = [
    "",
    `@compute @workgroup_size(${PROGRAM_THREADS})`,
    "fn main(@builtin(local_invocation_index) thread: u32) {",
    ...indent(printed.main),
    "}",
    "",
  ];
  const functions = [...printed.functions, ...main];
  const text = [...helpersFor(functions.join("\n"), { threads: PROGRAM_THREADS }), ...functions];
  return [
    `// Programs of phase ${work.phase}.`,
    "",
    ...declareBindings(PROGRAM_BINDINGS, accessesIn(text.join("\n"))),
    ...text,
  ].join("\n");
}

/** Buffers that the text names. */
function accessesIn(text: string): Map<ProgramBinding, Access> {
  const written: readonly ProgramBinding[] = ["scalars", "totals", "records"];
  const used = (Object.keys(PROGRAM_BINDINGS) as ProgramBinding[]).filter((binding) =>
    text.includes(`${binding}[`),
  );
  return new Map(used.map((binding) => [binding, written.includes(binding) ? "read_write" : "read"]));
}

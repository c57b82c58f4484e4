/**
 * Prints what one phase runs as CUDA C++: a text for its kernels, one for its programs. Texts need no header and have one entry, whose one
 * parameter says where the tables are and how long.
 */
import type { ClassLayout, Numerics, PhaseWork } from "../backend.ts";
import { indent } from "../common/text.ts";
import { printKernels } from "../gpu/kernels.ts";
import { COUNTS } from "../gpu/layout.ts";
import { printPrograms } from "../gpu/programs.ts";
import { cpp } from "./cpp.ts";
import { helpersFor } from "./helpers.ts";
import { ADDRESSES, BLOCKS, ENTRY, PROGRAM_BLOCKS, PROGRAM_THREADS, THREADS } from "./layout.ts";

/** The kernels: each block takes chunk after chunk, so that a grid that fills the device once does for any number of chunks. Throws `unsupported`. */
export function emitKernels(work: PhaseWork, layouts: readonly ClassLayout[], numerics: Numerics): string {
  const { scopes, functions, perChunk } = printKernels(cpp(numerics), work, layouts, () => true);
  const names = work.kernels.map(({ name }) => name).join(", ");
  const blocks = Math.min(...scopes.map(({ layout }) => BLOCKS[layout.dtype]));
  return printText(`${names}: phase ${work.phase}`, [THREADS, blocks], functions, [
    "for (u32 at = blockIdx.x; at < launch.count; at += gridDim.x) {",
    ...indent([
      "const uint4 chunk = launch.chunks[at]; // tensor row, start, length, partial slot",
      ...perChunk,
    ]),
    "}",
  ]);
}

/** The programs, for one block. `work` has some. Throws `unsupported`. */
export function emitPrograms(work: PhaseWork, layouts: readonly ClassLayout[]): string {
  const { functions, main } = printPrograms(cpp("default"), work, layouts);
  return printText(`Programs of phase ${work.phase}.`, [PROGRAM_THREADS, PROGRAM_BLOCKS], functions, main);
}

function printText(
  title: string,
  [threads, blocks]: readonly [threads: number, blocks: number],
  functions: readonly string[],
  main: readonly string[],
): string {
  const entry = [
    "",
    `extern "C" __global__ void __launch_bounds__(${threads}, ${blocks}) ${ENTRY}(const Launch launch) {`,
    ...indent(["const u32 thread = threadIdx.x;", ...main]),
    "}",
    "",
  ];
  const own = [...functions, ...entry];
  return [
    `// ${title}`,
    "",
    "typedef unsigned int u32;",
    "typedef unsigned long long u64;",
    "",
    "struct Hyper {",
    "  double value;",
    "  const float* resident; // where it lives on the device, else null",
    "};",
    "",
    "struct Launch {",
    ...Object.entries(ADDRESSES).map(([name, type]) => `  ${type} ${name};`),
    ...COUNTS.map((name) => `  u32 ${name};`),
    "};",
    ...helpersFor(own.join("\n"), threads),
    ...own,
  ].join("\n");
}

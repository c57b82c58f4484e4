/**
 * Prints the kernels of one phase as one WGSL module. Each workgroup of `main` takes chunk after chunk and calls the function of the
 * chunk's class; a kernel that walks several spaces has a function for each, called one after the other.
 */
import { StepjitError } from "../../error.ts";
import type { Extent } from "../../ir/extent.ts";
import { type Output, type ValueId, valueAt } from "../../ir/module.ts";
import { printOperation } from "../../ir/print.ts";
import { neededBy } from "../../ir/slice.ts";
import { outputsBySpace } from "../../ir/spaces.ts";
import type { ClassLayout, Numerics, PhaseWork } from "../backend.ts";
import { indent } from "../common/text.ts";
import { type Access, declareBindings, variableOf } from "./bindings.ts";
import { type ElementType, splat } from "./elements.ts";
import { helpersFor } from "./helpers.ts";
import {
  COMMIT_AT,
  FLAGS,
  KERNEL_BINDINGS,
  type KernelBinding,
  SIZES,
  sizeWord,
  TENSOR_ROW,
  THREADS,
} from "./layout.ts";
import { makeScope, placeOf, placeRead, type Scope } from "./scope.ts";
import { SPACES } from "./spaces.ts";
import { literal } from "./spelling.ts";
import { declareUsed, note } from "./text.ts";
import { chunkOf, printWalks } from "./walk.ts";

/** One class's kernel. */
interface Kernel {
  readonly classIndex: number;
  readonly scope: Scope;
  /** Of each space that it walks. */
  readonly functions: readonly { readonly name: string; readonly lines: readonly string[] }[];
}

/** Throws `unsupported`. `numerics` changes nothing: a device's own compiler may fuse multiply-adds either way. */
export function emitKernels(
  { phase, kernels, guarded }: PhaseWork,
  layouts: readonly ClassLayout[],
  _numerics: Numerics,
): string {
  const indices = kernels.map((kernel) => layouts.findIndex(({ name }) => name === kernel.name));
  const elements = elementsOf(indices.map((index) => layouts[index] as ClassLayout));
  const printed = kernels.map((kernel, index): Kernel => {
    const classIndex = indices[index] as number;
    const scope = makeScope(kernel, layouts[classIndex] as ClassLayout, guarded, elements);
    return { classIndex, scope, functions: printKernel(scope, classIndex) };
  });
  const functions = printed.flatMap(({ scope, functions }) => [
    "",
    `// kernel "${scope.kernel.name}"`,
    ...functions.flatMap(({ lines }, index) => (index === 0 ? lines : ["", ...lines])),
  ]);
  const helpers = helpersFor(functions.join("\n"), { threads: THREADS, elements });
  const text = [...helpers, ...functions, "", ...printMain(printed, layouts.length), ""];
  return [
    `// ${kernels.map(({ name }) => name).join(", ")}: phase ${phase}`,
    "",
    ...declareBindings(KERNEL_BINDINGS, accessesIn(text.join("\n"), printed), elements),
    ...text,
  ].join("\n");
}

/** Bindings are the same for all kernels of a phase, so one that counts along axes makes all of them go number by number. */
function elementsOf(layouts: readonly ClassLayout[]): ElementType {
  return layouts.every(({ view }) => view === "vector") ? "vec4f" : "f32";
}

/** A function for each space. */
function printKernel(scope: Scope, classIndex: number): Kernel["functions"] {
  const spaces = [...outputsBySpace(scope.kernel)];
  return spaces.map(([space, outputs]: [Extent, Output[]]) => {
    const { view } = scope.layout;
    const word = SPACES[view].get(space);
    if (word === undefined)
      throw new StepjitError(
        "unsupported",
        `kernel "${scope.kernel.name}": the webgpu backend cannot walk ${space} of a ${view}`,
      );
    const name = spaces.length === 1 ? `class_${classIndex}` : `class_${classIndex}_${word}`;
    return { name, lines: printFunction(scope, name, space, outputs) };
  });
}

function printFunction(scope: Scope, name: string, space: Extent, outputs: readonly Output[]): string[] {
  const walks = printWalks(scope, space, outputs);
  const ids = neededBy(scope.kernel, outputs);
  const shared = ids.filter((id) => scope.parts[id] === "uniform").map((id) => printUniform(scope, id));
  const places = new Set([
    ...ids.flatMap((id) => placeRead(scope, id) ?? []),
    ...outputs.flatMap((output) => placeOf(scope, output) ?? []),
  ]);
  const bases = [...places].map(({ base, word }) => `let ${base} = ${tensorWord(word)};`);
  const once = declareUsed(
    [
      ["slots", tensorWord(TENSOR_ROW.scalars)],
      ["commit", `scalars[${COMMIT_AT}] != 0.0`],
      ...SIZES.map((size) => [SIZE_NAMES[size], tensorWord(sizeWord(scope.layout, size))] as const),
      ...chunkOf(scope, space),
    ],
    [...shared, ...walks],
  );
  return [
    `fn ${name}(chunk: vec4u, thread: u32) {`,
    ...indent([
      ...bases,
      ...once,
      ...(shared.length > 0 ? ["", "// What all elements share.", ...shared] : []),
      ...walks,
    ]),
    "}",
  ];
}

const SIZE_NAMES: Readonly<Record<(typeof SIZES)[number], string>> = {
  row: "R",
  b: "B",
  col: "C",
  d: "D",
  "block.rows": "block_rows",
  "block.count": "blocks",
};

function tensorWord(word: number): string {
  return `tensors[chunk.x + ${word}u]`;
}

/** A constant or a scalar slot; a mask's slot holds 0 or 1. */
function printUniform({ kernel, names, elements }: Scope, id: ValueId): string {
  const value = valueAt(kernel, id);
  const from = valueAt(kernel, value.args[0] as ValueId);
  const slot = `scalars[slots + ${from.attribute}u]`;
  const number = from.op === "const" ? literal(from.attribute as number) : slot;
  const { dtype } = value.type;
  const text = splat(elements, dtype === "bool" ? `${number} != 0.0` : number, dtype);
  return note(`let ${names[id]} = ${text};`, `%${id} = broadcast ${printOperation(from)}`);
}

/** Buffers that the text names, and those that it writes. */
function accessesIn(text: string, kernels: readonly Kernel[]): Map<KernelBinding, Access> {
  const writesGrad = kernels.some(({ scope }) =>
    scope.kernel.outputs.some(({ target }) => target === "grad'"),
  );
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

function printMain(kernels: readonly Kernel[], classes: number): string[] {
  const calls = ({ functions }: Kernel) => functions.map(({ name }) => `${name}(chunk, thread);`);
  const [only] = kernels;
  const work =
    only && classes === 1
      ? calls(only)
      : [
          `switch ${tensorWord(TENSOR_ROW.classIndex)} {`,
          ...indent([
            ...kernels.map((kernel) => `case ${kernel.classIndex}u: { ${calls(kernel).join(" ")} }`),
            "default: {}",
          ]),
          "}",
        ];
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
        `if ((${tensorWord(TENSOR_ROW.flags)} & ${FLAGS.inactive}u) != 0u) { continue; }`,
        ...work,
      ]),
      "}",
    ]),
    "}",
  ];
}

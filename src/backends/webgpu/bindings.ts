/** Declarations of bindings, and of the uniform of a dispatch. */
import { ELEMENT } from "../../ir/extent.ts";
import type { Place } from "../gpu/scope.ts";
import type { ElementType } from "./elements.ts";
import { type KernelBinding, LAUNCH } from "./layout.ts";

export type Access = "read" | "read_write";

/** Variables that are not called like their binding: a single number of such a tensor has that name. */
const VARIABLES: Readonly<Record<string, string>> = { param: "params", grad: "grads", state: "states" };

export function variableOf(binding: string): string {
  return VARIABLES[binding] ?? binding;
}

/** Which binding has a tensor. */
export function bindingOf({ role, extent }: Pick<Place, "role" | "extent">): KernelBinding {
  if (role === "param" || role === "grad") return role;
  return role.startsWith("state.") && extent === ELEMENT ? "state" : "axes";
}

/** Contents other than floats. */
const CONTENTS: Readonly<Record<string, string>> = { chunks: "vec4u", rows: "vec4u", tensors: "u32" };

/** Tensors over elements. */
const ELEMENTS: readonly string[] = ["param", "grad", "state"];

/** The uniform `launch`, and each of these storage buffers. `numbers`: KERNEL_BINDINGS or PROGRAM_BINDINGS; `elements`: what tensors hold. */
export function declareBindings<B extends string>(
  numbers: Readonly<Record<B | "launch", number>>,
  access: ReadonlyMap<B, Access>,
  elements: ElementType = "f32",
): string[] {
  const used = (Object.keys(numbers) as B[]).filter((binding) => access.has(binding));
  return [
    "struct Launch {",
    ...LAUNCH.map((name) => `  ${name}: u32,`),
    "}",
    `@group(0) @binding(${numbers.launch}) var<uniform> launch: Launch;`,
    ...used.map((binding) => {
      const contents = ELEMENTS.includes(binding) ? elements : (CONTENTS[binding] ?? "f32");
      return `@group(0) @binding(${numbers[binding]}) var<storage, ${access.get(binding)}> ${variableOf(binding)}: array<${contents}>;`;
    }),
  ];
}

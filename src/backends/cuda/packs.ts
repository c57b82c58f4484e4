/**
 * The walk of a chunk's elements. Each thread takes a pack of elements at a time: first all loads, of 16 bytes each, so that many are on
 * their way at once; then the maths, element by element in registers; then all stores.
 *
 *     for (u32 at = 4u * thread; at < length; at += 2048u) {
 *       load(params, param_at + first, at, length, aligned);
 *       load(grads, grad_at + first, at, length, aligned);
 *       for (u32 k = 0u; k < 8u; k++) {
 *         …
 *         params[k] = v31;
 *       }
 *       store(param_at + first, params, at, length, aligned);
 *     }
 *
 * Runs that end beyond the chunk, and all where a tensor does not begin at a multiple of 16 bytes, go number by number.
 */
import { ELEMENT } from "../../ir/extent.ts";
import type { Output } from "../../ir/module.ts";
import { neededBy } from "../../ir/slice.ts";
import { ELEMENT_BYTES } from "../../ir/type.ts";
import { indent } from "../common/text.ts";
import { isShare, isStored, printBody, printStores, type Walk } from "../gpu/body.ts";
import { type Place, placeOf, placeRead } from "../gpu/scope.ts";
import { declareUsed, note } from "../gpu/text.ts";
import { THREADS, VECTOR_BYTES } from "./layout.ts";

/** Loads of 16 bytes that a thread is to have on their way: with a full multiprocessor of threads more than enough for any memory. */
const LOADS = 8;

/** Runs of 16 bytes in a pack at most: registers hold them. */
const MOST_RUNS = 4;

export function printPacks(walk: Walk): string[] {
  const { scope, outputs } = walk;
  const { layout, names } = scope;
  const read = unique(neededBy(scope.kernel, outputs).flatMap((id) => placeRead(scope, id) ?? [])).filter(
    ({ extent }) => extent === ELEMENT,
  );
  const written = unique(outputs.flatMap((output) => placeOf(scope, output) ?? []));
  const width = VECTOR_BYTES / ELEMENT_BYTES[layout.dtype];
  const type = layout.dtype === "f32" ? "float" : "double";
  const body = printBody(walk);
  const index = declareUsed(
    [["i", `const u32 i = first + min(place_of<${type}>(at, k), length - 1u);`]],
    body,
  );
  // Where rows and columns are read, too, registers go into indices.
  const runs =
    index.length > 0 ? 1 : Math.min(MOST_RUNS, Math.max(1, Math.floor(LOADS / Math.max(1, read.length))));
  const packs = unique([...read, ...written]).map(({ pack }) => `${pack}[${runs * width}]`);
  const where = "at, length, aligned";
  const packOf = (output: Output) => placeOf(scope, output)?.pack;
  return [
    `for (u32 at = ${width}u * thread; at < length; at += ${runs * width * THREADS}u) {`,
    ...indent([
      ...(packs.length > 0 ? [`${type} ${packs.join(", ")};`] : []),
      ...read.map(({ pack, base }) => `load(${pack}, ${base} + first, ${where});`),
      "#pragma unroll",
      `for (u32 k = 0u; k < ${runs * width}u; k++) {`,
      ...indent([
        ...(outputs.some((output) => isShare(scope, output))
          ? [`const bool inside = place_of<${type}>(at, k) < length;`]
          : []),
        ...index,
        ...body,
        ...outputs.filter(isStored).map((output) => {
          const line = `${packOf(output)}[k] = ${names[output.value]};`;
          return note(line, `${output.target} = %${output.value}`);
        }),
      ]),
      "}",
      ...printStores(
        walk,
        (_, output) => `store(${placeOf(scope, output)?.base} + first, ${packOf(output)}, ${where});`,
      ),
    ]),
    "}",
  ];
}

function unique(places: readonly Place[]): Place[] {
  return [...new Set(places)];
}

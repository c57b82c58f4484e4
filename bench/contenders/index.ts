import { availableParallelism } from "node:os";
import type { Entry } from "./contender.ts";
import { floor } from "./floor.ts";
import { handWritten } from "./hand-written.ts";
import { jsLoop } from "./js-loop.ts";
import { stepjit } from "./stepjit.ts";
import { tfjs } from "./tfjs.ts";

/** All that are compared, ours first. `threads`: the most that stepjit and the floor use, besides one. */
export function entries(threads = availableParallelism()): Entry[] {
  const counts = [...new Set([1, threads])];
  return [...counts.map(stepjit), ...counts.map(floor), handWritten, jsLoop, tfjs("wasm"), tfjs("cpu")];
}

/** Node's module hook behind `stepjit/register`. The compiler is loaded only for a file that needs it and is not in the cache. */
import { readFile } from "node:fs/promises";
import type { LoadHook, ResolveHook } from "node:module";
import { dirname, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { cached } from "./cache.ts";
import { DIRECTIVE } from "./directive.ts";

/** Our own modules were transformed when the package was built. */
const ownFolder = dirname(dirname(dirname(fileURLToPath(import.meta.url)))) + sep;
const ownSources = new URL("../../../src/", import.meta.url).href;

/** From our own sources, our own name means the sources: there is never a second `stepjit/ops` beside them. */
export const resolve: ResolveHook = (specifier, context, nextResolve) => {
  if (!context.parentURL?.startsWith(ownSources)) return nextResolve(specifier, context);
  return nextResolve(specifier, { ...context, conditions: ["stepjit-src", ...context.conditions] });
};

export const load: LoadHook = async (url, context, nextLoad) => {
  const file = url.startsWith("file:") ? fileURLToPath(url) : "";
  if (!/\.m?[jt]s$/.test(file) || file.startsWith(ownFolder)) return nextLoad(url, context);
  if (file.endsWith("ts"))
    return {
      format: "module",
      shortCircuit: true,
      source: await compile(await readFile(file, "utf8"), file),
    };
  const loaded = await nextLoad(url, context);
  const code = loaded.format === "module" && loaded.source ? textOf(loaded.source) : "";
  return code.includes(DIRECTIVE) ? { ...loaded, source: await compile(code, file) } : loaded;
};

function textOf(source: string | ArrayBufferView | ArrayBuffer): string {
  return typeof source === "string" ? source : new TextDecoder().decode(source);
}

function compile(code: string, file: string): Promise<string> {
  return cached(code, file, async () => (await import("./compile.ts")).compile(code, file));
}

/**
 * The operator syntax for bundlers: Vite, Rollup, Rolldown, webpack and esbuild.
 *
 * @module stepjit/plugin
 */
import { createUnplugin, type UnpluginInstance } from "unplugin";
import { DIRECTIVE } from "./directive.ts";
import { transform } from "./transform.ts";

/**
 * Rewrites functions marked `"use stepjit"` in JavaScript and TypeScript files, dependencies included. It takes no options.
 *
 * @example
 * ```ts
 * import stepjit from "stepjit/plugin";
 * export default defineConfig({ plugins: [stepjit.vite()] });
 * ```
 */
export const stepjit: UnpluginInstance<undefined, false> = createUnplugin(() => ({
  name: "stepjit",
  enforce: "pre",
  transform: {
    filter: { id: /\.[cm]?[jt]sx?(\?.*)?$/, code: DIRECTIVE },
    handler: (code, id) => transform(code, id.replace(/\?.*$/, "")),
  },
}));

export default stepjit;

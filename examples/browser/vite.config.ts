/** How the page is served and built. It runs on stepjit's sources; a project of your own needs the plugin only for optimizers it writes. */
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";
import { stepjit } from "../../src/trace/syntax/plugin.ts";

/** Shared memory, and so threads, needs a page that is isolated from other sites. */
const headers = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

/**
 * tfjs-wasm sends the text of a function to its threads, and the text names a variable outside of it: once a bundler has renamed the
 * variable, no thread starts (tensorflow/tfjs issue 4539). The function gets a variable of its own.
 */
const threadsOfTfjs: Plugin = {
  name: "threads-of-tfjs",
  transform: {
    filter: { id: /tfjs-backend-wasm-threaded-simd\.js/ },
    handler: (code) => code.replace(/^function\(WasmBackendModuleThreadedSimd\) \{$/m, "$& var _scriptDir;"),
  },
};

export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  base: "./",
  plugins: [stepjit.vite(), threadsOfTfjs],
  resolve: { conditions: ["stepjit-src", "module", "browser", "development|production"] },
  server: { headers, fs: { allow: ["../.."] } },
  preview: { headers },
  build: { target: "esnext" },
});

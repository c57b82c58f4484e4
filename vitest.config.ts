import { defineConfig } from "vitest/config";
import { stepjit } from "./src/trace/syntax/plugin.ts";

/** Tests run on the sources: `stepjit`, `stepjit/ops` and the rest of the package's own names mean src. */
const conditions = ["stepjit-src"];

export default defineConfig({
  plugins: [stepjit.vite()],
  resolve: { conditions: [...conditions, "module", "node", "development|production"] },
  ssr: { resolve: { conditions: [...conditions, "module", "node", "development|production"] } },
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: "./test/build.ts",
    testTimeout: 120_000, // a verdict never depends on how busy the machine is
    hookTimeout: 120_000,
    maxWorkers: "100%", // much of the time is spent waiting, for a browser or a GPU
    reporters: ["default", "./test/reporter.ts"],
  },
});

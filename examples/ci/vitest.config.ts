import stepjit from "stepjit/plugin";
import { defineConfig } from "vitest/config";

export default defineConfig({ plugins: [stepjit.vite()] });

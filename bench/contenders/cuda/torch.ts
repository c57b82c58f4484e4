/** torch's own steps, by a Python process that keeps its tensors on the same device and takes as many steps as it is told. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { HYPER, WEIGHT_DECAY } from "../../problem.ts";
import type { CudaEntry } from "./contender.ts";

type Variant = "fused" | "foreach" | "compiled";

export const torchFused = torch("torch, fused", "fused");
export const torchCompiled = torch("torch.compile", "compiled");
export const torchForeach = torch("torch, foreach", "foreach");

function torch(name: string, variant: Variant): CudaEntry {
  return {
    name,
    async make({ optimizer, file }) {
      const { lr, beta1, beta2, eps } = HYPER;
      const numbers = [lr, beta1, beta2, eps, WEIGHT_DECAY[optimizer]].map(String);
      const script = fileURLToPath(new URL("torch_steps.py", import.meta.url));
      const child = spawn("python3", [script, fileURLToPath(file), optimizer, variant, ...numbers], {
        // A cold start is one: nothing of earlier runs.
        env: { ...process.env, TORCHINDUCTOR_FORCE_DISABLE_CACHES: "1" },
      });
      let said = "";
      child.stderr.on("data", (data) => {
        said += data;
      });
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
      const answer = async (word: string): Promise<string[]> => {
        const { value = "" } = await lines.next();
        const [first, ...rest] = String(value).split(" ");
        if (first === word) return rest;
        throw new Error(`it ended: ${said.trim().split("\n").at(-1) ?? "no message"}`);
      };
      child.on("error", (error) => {
        said = error.message;
      });
      const [milliseconds] = await answer("ready");
      let asked = 0;
      return {
        coldStart: Number(milliseconds),
        step() {
          asked++;
        },
        async finished() {
          child.stdin.write(`${asked}\n`);
          asked = 0;
          await answer("done");
        },
        dispose() {
          child.stdin.end();
          void once(child, "exit");
        },
      };
    },
  };
}

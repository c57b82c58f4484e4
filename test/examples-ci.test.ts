/** examples/ci, as its user has it: in a folder of its own, with stepjit as a package, run by its own npm scripts. */
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
let project: string;

beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), "stepjit-ci-"));
  cpSync(join(root, "examples/ci"), project, { recursive: true });
  const modules = join(project, "node_modules");
  mkdirSync(join(modules, ".bin"), { recursive: true });
  symlinkSync(root, join(modules, "stepjit"));
  for (const name of ["vitest", "typescript", ".bin/vitest", ".bin/tsc"])
    symlinkSync(join(root, "node_modules", name), join(modules, name));
  symlinkSync(join(root, "dist/cli/bin.js"), join(modules, ".bin/stepjit"));
});

/** `npm run` in the project. */
function script(name: string): Promise<{ readonly code: number; readonly text: string }> {
  const { STEPJIT_LOG: _, VITEST: __, ...env } = process.env;
  return new Promise((resolve) => {
    execFile(
      "npm",
      ["run", "--silent", name],
      { cwd: project, env: { ...env, NO_COLOR: "1" } },
      (error, stdout, stderr) => resolve({ code: Number(error?.code ?? 0), text: stdout + stderr }),
    );
  });
}

function replaceIn(file: string, before: string, after: string): void {
  const path = join(project, file);
  const text = readFileSync(path, "utf8");
  expect(text).toContain(before);
  writeFileSync(path, text.replace(before, after));
}

test("passes; fails where the optimizer was made to need a second launch, and says so", async () => {
  expect(await script("test")).toMatchObject({ code: 0, text: expect.stringContaining("as recorded") });

  replaceIn("normalized-sgd.ts", "/ hyper.scale", "/ sqrt(sum(grad * grad))");
  replaceIn(
    "normalized-sgd.ts",
    'import { defineOptimizer } from "stepjit";',
    'import { defineOptimizer } from "stepjit";\nimport { sqrt, sum } from "stepjit/ops";',
  );
  const worse = await script("test");
  expect(worse.code).toBe(1);
  expect(worse.text).toContain("the step is to take 1 launch a call, and takes 2");
  expect(worse.text).toMatch(/Snapshot `its kernel is what it was 1` mismatched/);
  const check = await script("manifest:check");
  expect(check.code).toBe(1);
  expect(check.text).toContain("launches: 1 → 2");
  expect(check.text).toContain("counts rose in 1 of 2 entries");
});

/** Before all tests: dist as it would be built from these sources, for the tests that look at the package as its users do. */
import { execFileSync } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

export default function build(): void {
  if (builtAt() >= Math.max(...sources().map(changedAt))) return;
  execFileSync(process.execPath, ["build.js"], { cwd: root, stdio: "inherit" });
}

function sources(): string[] {
  const files = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" });
  return ["build.js", "package.json", "tsconfig.json", ...files.map((file) => join("src", file))];
}

function changedAt(file: string): number {
  return statSync(join(root, file)).mtimeMs;
}

/** 0 where nothing was built. */
function builtAt(): number {
  const built = statSync(join(root, "dist/index.js"), { throwIfNoEntry: false });
  return built?.mtimeMs ?? 0;
}

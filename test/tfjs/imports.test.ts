import { existsSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { ts } from "ts-morph";
import { expect, it } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

/** Every package that a source file leads to, by the file that imports it. Types count. */
function packagesOf(entry: string): Map<string, string> {
  const packages = new Map<string, string>();
  const seen = new Set<string>();
  const visit = (file: string) => {
    if (seen.has(file)) return;
    seen.add(file);
    for (const { fileName } of ts.preProcessFile(readFileSync(file, "utf8")).importedFiles) {
      const own = /^stepjit(\/.*)?$/.exec(fileName);
      if (own) visit(join(root, exports[`.${own[1] ?? ""}`]["stepjit-src"]));
      else if (fileName.startsWith(".")) visit(join(dirname(file), fileName));
      else packages.set(fileName, relative(root, file));
    }
  };
  expect(existsSync(entry)).toBe(true);
  visit(entry);
  return packages;
}

const isTensorFlow = (name: string) => name.startsWith("@tensorflow/");

it("is the only way to TensorFlow.js: no other entry needs it", () => {
  for (const [name, entry] of Object.entries<{ "stepjit-src"?: string }>(exports)) {
    const source = entry["stepjit-src"];
    if (!source) continue;
    const found = [...packagesOf(join(root, source)).keys()].filter(isTensorFlow);
    expect([name, found]).toEqual([name, name === "./tfjs" ? ["@tensorflow/tfjs-core"] : []]);
  }
});

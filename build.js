/** Builds dist: every entry of package.json's exports, one module a file, their declarations, and the page of reports. */
import { execFile } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { rolldown } from "rolldown";
import { buildPage } from "./build-page.js";

const root = dirname(fileURLToPath(import.meta.url));
const dist = join(root, "dist");
const { name, exports, bin } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

/** Imported by no entry, but started by one. */
const STARTED = ["./dist/trace/syntax/loader.js"];

const entries = Object.values(exports)
  .flatMap((entry) => entry.default ?? [])
  .concat(STARTED, Object.values(bin))
  .map((output) => join(root, output.replace("./dist/", "./src/").replace(/\.js$/, ".ts")));

/** The package's own name means its sources, so that `stepjit/ops` is one module whoever imports it; other packages stay outside. */
const options = {
  cwd: root,
  platform: "node",
  resolve: { conditionNames: ["stepjit-src", "import", "node", "default"] },
  external: (id) => !/^([./]|[A-Za-z]:)/.test(id) && id !== name && !id.startsWith(`${name}/`),
};

/** The plugin is written in TypeScript, so it is bundled without itself first. */
async function loadPlugin() {
  const file = join(dist, ".plugin.js");
  const bundle = await rolldown({ ...options, input: join(root, "src/trace/syntax/plugin.ts") });
  await bundle.write({ file, codeSplitting: false });
  const { stepjit } = await import(pathToFileURL(file).href);
  rmSync(file);
  return stepjit.rolldown();
}

async function buildModules() {
  const bundle = await rolldown({ ...options, input: entries, plugins: [await loadPlugin()] });
  const output = {
    dir: dist,
    preserveModules: true,
    preserveModulesRoot: join(root, "src"),
    sourcemap: true,
  };
  await bundle.write(output);
  for (const command of Object.values(bin)) chmodSync(join(root, command), 0o755);
}

/** Types are checked by `npm run check`; here they are only written down. */
async function buildDeclarations() {
  const config = join(dist, ".tsconfig.json");
  const compilerOptions = {
    noEmit: false,
    noCheck: true,
    emitDeclarationOnly: true,
    rootDir: "../src",
    outDir: ".",
  };
  writeFileSync(
    config,
    JSON.stringify({ extends: "../tsconfig.json", compilerOptions, include: [], files: entries }),
  );
  const tsc = join(root, "node_modules/@typescript/native/bin/tsc");
  await promisify(execFile)(process.execPath, [tsc, "-p", config]);
  rmSync(config);
}

/** What `stepjit/report` fills in. */
async function buildReportPage() {
  const page = await buildPage();
  mkdirSync(join(dist, "report"), { recursive: true });
  writeFileSync(join(dist, "report/page.html"), page);
}

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist);
await Promise.all([buildModules(), buildDeclarations(), buildReportPage()]);

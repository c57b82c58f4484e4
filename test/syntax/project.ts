import { execFile } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { rolldown } from "rolldown";

const ROOT = join(import.meta.dirname, "../..");

/** A user's project in a folder of its own, with stepjit built into its node_modules. */
export class Project {
  readonly folder = realpathSync(mkdtempSync(join(tmpdir(), "stepjit-")));

  write(files: Readonly<Record<string, string>>): void {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(this.path(path)), { recursive: true });
      writeFileSync(this.path(path), text);
    }
  }

  path(path: string): string {
    return join(this.folder, path);
  }

  list(path: string): string[] {
    return readdirSync(this.path(path));
  }

  /** The build of the entries that the syntax needs, and links to the packages it depends on. */
  async installStepjit(): Promise<void> {
    const manifest = readFileSync(join(ROOT, "package.json"), "utf8");
    this.write({
      "package.json": '{ "name": "app", "type": "module" }',
      "node_modules/stepjit/package.json": manifest,
    });
    for (const name of ["ts-morph", "magic-string", "unplugin", "@jridgewell"])
      symlinkSync(join(ROOT, "node_modules", name), this.path(`node_modules/${name}`));
    const src = join(ROOT, "src");
    const entries = ["trace/ops", "trace/syntax/register", "trace/syntax/loader", "trace/syntax/plugin"];
    const bundle = await rolldown({
      input: entries.map((entry) => join(src, `${entry}.ts`)),
      external: (id) => !/^[./]/.test(id),
      platform: "node",
    });
    await bundle.write({
      dir: this.path("node_modules/stepjit/dist"),
      preserveModules: true,
      preserveModulesRoot: src,
    });
  }

  /** Runs a file with the loader. */
  node(file: string): Promise<{ code: number; stdout: string; stderr: string }> {
    const args = ["--import", "stepjit/register", file];
    return new Promise((resolve) => {
      execFile(process.execPath, args, { cwd: this.folder }, (error, stdout, stderr) =>
        resolve({ code: error ? 1 : 0, stdout, stderr }),
      );
    });
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

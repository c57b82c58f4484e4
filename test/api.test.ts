/** The API reference: what `npm run docs` writes, without writing it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Application, Logger, LogLevel, ReflectionKind, TypeDocReader } from "typedoc";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));

class Complaints extends Logger {
  readonly all: string[] = [];

  override log(message: string, level: LogLevel): void {
    if (level >= LogLevel.Warn) this.all.push(message);
  }
}

const application = await Application.bootstrap({ options: join(root, "typedoc.json") }, [
  new TypeDocReader(),
]);
const { all } = Object.assign(application, { logger: new Complaints() }).logger;
const project = await application.convert();
if (project) application.validate(project);

test("every public name has a docstring, every link and type leads somewhere", () => {
  expect(all).toEqual([]);
});

test("so has every property of public classes and interfaces", () => {
  const properties = project?.getReflectionsByKind(ReflectionKind.Property) ?? [];
  const bare = properties.filter(
    (property) =>
      property.parent?.kindOf(ReflectionKind.ClassOrInterface) &&
      !property.flags.isInherited &&
      !property.hasComment(),
  );
  expect(properties.length).toBeGreaterThan(100);
  expect(bare.map((property) => property.getFriendlyFullName())).toEqual([]);
});

test("it has every entry of package.json's exports", () => {
  const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const entries = Object.entries<{ "stepjit-src"?: string }>(exports);
  const names = entries.filter(([, entry]) => entry["stepjit-src"]).map(([name]) => join("stepjit", name));
  expect(project?.children?.map(({ name }) => name).sort()).toEqual(names.sort());
});

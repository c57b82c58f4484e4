/** What stepjit's own optimizers compile to is recorded at the top of the repository: `npx stepjit manifest` records it anew. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import type { Entry } from "../../src/cli/manifest-file.ts";
import { CASES } from "../optim/subjects.ts";
import { run } from "./support.ts";

const file = fileURLToPath(new URL("../../stepjit.manifest.json", import.meta.url));

test("is as recorded", async () => {
  expect(await run("manifest", "--check", "--file", file)).toEqual({
    code: 0,
    out: `${file}: 108 entries, as recorded`,
    err: "",
  });
});

test("holds every optimizer", () => {
  const { entries } = JSON.parse(readFileSync(file, "utf8")) as { entries: Entry[] };
  const names = CASES.map(({ make }) => make.definition.name);
  expect([...new Set(entries.map(({ optimizer }) => optimizer))].sort()).toEqual([...new Set(names)].sort());
});

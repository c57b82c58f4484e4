import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { fileOf, freshFile, run } from "./support.ts";

let file: string;

beforeEach(() => {
  file = freshFile("stepjit.manifest.json");
  copyFileSync(fileOf("model.json"), join(dirname(file), "model.json"));
});

const read = () => JSON.parse(readFileSync(file, "utf8"));

/** Changes one entry of the file as a pull request would have found it. */
function edit(change: (entry: Record<string, unknown>) => void) {
  const manifest = read();
  change(manifest.entries[0]);
  writeFileSync(file, JSON.stringify(manifest));
}

const manifest = (...args: string[]) => run("manifest", ...args, "--file", file);

describe("manifest", () => {
  test("records every optimizer over every set on every backend", async () => {
    const { code, out } = await manifest(
      "SGD",
      "LAMB",
      "--params",
      "model.json",
      "--backend",
      "wasm",
      "webgpu",
    );
    expect({ code, out }).toEqual({ code: 0, out: `${file}: 4 entries` });
    expect(readFileSync(file, "utf8")).toMatchInlineSnapshot(`
      "{ "version": 1, "entries": [
      { "optimizer":"LAMB","params":"model.json","backend":"wasm","options":{},"stepOptions":{},
        "kernels":2,"launches":2,"bytesMoved":32040,"bytesIdeal":22428,
        "key":{"numerics":"default","gradient transforms":"none","hyperparameters on the device":"none","param group 0":"2 parameters (float32)","param group 0, adaptive":"true","param group 0, maximize":"false"} },
      { "optimizer":"LAMB","params":"model.json","backend":"webgpu","options":{},"stepOptions":{},
        "kernels":3,"launches":3,"bytesMoved":32040,"bytesIdeal":22428,
        "key":{"numerics":"default","gradient transforms":"none","hyperparameters on the device":"none","param group 0":"2 parameters (float32)","param group 0, adaptive":"true","param group 0, maximize":"false"} },
      { "optimizer":"SGD","params":"model.json","backend":"wasm","options":{},"stepOptions":{},
        "kernels":1,"launches":1,"bytesMoved":9612,"bytesIdeal":9612,
        "key":{"numerics":"default","gradient transforms":"none","hyperparameters on the device":"none","param group 0":"2 parameters (float32)","param group 0, nesterov":"false","param group 0, maximize":"false","param group 0, hasMomentum":"false"} },
      { "optimizer":"SGD","params":"model.json","backend":"webgpu","options":{},"stepOptions":{},
        "kernels":1,"launches":1,"bytesMoved":9612,"bytesIdeal":9612,
        "key":{"numerics":"default","gradient transforms":"none","hyperparameters on the device":"none","param group 0":"2 parameters (float32)","param group 0, nesterov":"false","param group 0, maximize":"false","param group 0, hasMomentum":"false"} }
      ] }
      "
    `);
  });

  test("is the same text again, and grows by what is asked for besides", async () => {
    await manifest("LAMB", "--params", "model.json");
    const before = readFileSync(file, "utf8");
    await manifest();
    expect(readFileSync(file, "utf8")).toBe(before);
    await manifest(
      "LAMB",
      "AdamW",
      "--params",
      "model.json",
      "--option",
      "lr=0.5",
      "--step-option",
      "clipNorm=1",
    );
    expect(read().entries.map(({ optimizer, options }: never) => [optimizer, options])).toEqual([
      ["AdamW", { lr: 0.5 }],
      ["LAMB", { lr: 0.5 }],
      ["LAMB", {}],
    ]);
  });

  test("holds optimizers of one's own, found from its folder", async () => {
    copyFileSync(fileOf("model.json"), join(dirname(file), "other.json"));
    const { code } = await manifest(`${fileOf("heavy-ball.ts")}#HeavyBall`, "--params", "other.json");
    expect(code).toBe(0);
    expect(read().entries).toMatchObject([{ kernels: 1, launches: 1, bytesMoved: 801 * 5 * 4 }]);
  });
});

describe("manifest --check", () => {
  beforeEach(() => manifest("SGD", "AdamW", "--params", "model.json"));

  test("is content with what is recorded", async () => {
    expect(await manifest("--check")).toEqual({ code: 0, out: `${file}: 2 entries, as recorded`, err: "" });
  });

  test("fails where a count rose, says by how much and why, and changes nothing", async () => {
    edit((entry) => {
      entry.kernels = 0;
      entry.bytesMoved = 20000;
      entry.key = { ...(entry.key as object), "param group 0, amsgrad": "true", gone: "once" };
    });
    const before = readFileSync(file, "utf8");
    const { code, out } = await manifest("--check");
    expect(code).toBe(1);
    expect(out.replaceAll(file, "FILE")).toMatchInlineSnapshot(`
      "AdamW over model.json on wasm
        kernels: 0 → 1
        bytes moved: 20,000 → 22,428 (+12.1 %)
        param group 0, amsgrad: true → false
        gone: once → none

      FILE: counts rose in 1 of 2 entries; if that is meant, record them with stepjit manifest"
    `);
    expect(readFileSync(file, "utf8")).toBe(before);
  });

  test("lets a fallen count pass, and asks to record it", async () => {
    edit((entry) => {
      entry.launches = 5;
    });
    const { code, out } = await manifest("--check");
    expect(code).toBe(0);
    expect(out).toContain("launches: 5 → 1");
    expect(out).toContain("no count rose; 1 entry is out of date");
  });

  test("prints JSON", async () => {
    edit((entry) => {
      entry.launches = 0;
    });
    const { code, out } = await manifest("--check", "--json");
    expect(code).toBe(1);
    expect(JSON.parse(out)).toEqual([
      {
        name: "AdamW over model.json on wasm",
        counts: [{ count: "launches", before: 0, after: 1 }],
        key: [],
        rose: true,
      },
    ]);
  });
});

describe("what cannot be recorded or compared is refused with 2, and nothing is written", () => {
  test.each([
    [[], "is not there yet: name optimizers, and --params"],
    [["--check"], "is not there: record it"],
    [["SGD"], "over which parameters? Name them with --params"],
    [["SGD", "--params", "none.json"], "none.json cannot be read"],
    [["SDG", "--params", "model.json"], 'SDG over model.json on wasm: no optimizer "SDG"'],
    [
      ["SGD", "--params", "model.json", "--option", "lr=-1"],
      "SGD lr=-1 over model.json on wasm: SGD, param group 0: lr has to be",
    ],
  ])("%j", async (args, reason) => {
    const { code, err } = await manifest(...args);
    expect(code).toBe(2);
    expect(err).toContain(reason);
    expect(existsSync(file)).toBe(false);
  });

  test.each([
    ["no JSON", "{", "is no JSON"],
    ["no manifest", "[]", "is no manifest: it has no entries"],
    ["another version", '{"version":2,"entries":[]}', "is a manifest of version 2; this stepjit reads 1"],
    [
      "no entry",
      '{"version":1,"entries":[null]}',
      "entry 0: optimizer is a name, or file#export, got undefined",
    ],
    [
      "a backend that is an object's own",
      '{"version":1,"entries":[{"optimizer":"SGD","params":"mlp-small","backend":"__proto__"}]}',
      "entry 0: backend is one of wasm, webgpu, cuda",
    ],
  ])("%s", async (_, text, reason) => {
    writeFileSync(file, text);
    for (const args of [["--check"], ["SGD", "--params", "model.json"]]) {
      const { code, err } = await manifest(...args);
      expect(code).toBe(2);
      expect(err).toContain(reason);
    }
    expect(readFileSync(file, "utf8")).toBe(text);
  });

  test("--check takes no optimizers", async () => {
    await manifest("SGD", "--params", "model.json");
    expect(await manifest("SGD", "--check")).toMatchObject({ code: 2 });
  });
});

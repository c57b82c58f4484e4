import { readFileSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { fileOf, freshFile, run } from "./support.ts";

describe("inspect", () => {
  test("says what the compiler makes of an optimizer over a set that comes with stepjit", async () => {
    const { code, out } = await run("inspect", "AdamW", "--params", "resnet50");
    expect(code).toBe(0);
    expect(out).toContain("AdamW on wasm32");
    expect(out).toContain("161 parameters, 25557032 elements");
    expect(out).toContain("28 an element, 28 at least");
  });

  test("is for optimizers of one's own, over one's own parameters", async () => {
    const file = fileOf("heavy-ball.ts");
    for (const optimizer of [file, `${file}#HeavyBall`]) {
      const { code, out } = await run("inspect", optimizer, "--params", fileOf("model.json"));
      expect(code).toBe(0);
      expect(out).toContain('class "HeavyBall f32": 2 parameters, 801 elements');
    }
  });

  test.each([
    ["webgpu", "@compute"],
    ["cuda", "__global__"],
  ])("needs no GPU for a GPU's kernels: %s", async (backend, word) => {
    const { code, out } = await run(
      ...["inspect", "Adafactor", "--params", "gpt2-small", "--backend", backend, "--stage", "text"],
    );
    expect(code).toBe(0);
    expect(out).toContain(word);
  });

  test("takes options of the optimizer and of the step", async () => {
    const options = [
      "--option",
      "betas=[0,0.999]",
      "--option",
      "amsgrad=true",
      "--step-option",
      "clipNorm=1",
    ];
    const { out } = await run(
      "inspect",
      "AdamW",
      "--params",
      "mlp-small",
      ...options,
      "--step-option",
      "scaler=true",
    );
    expect(out).toContain("AdamW + scaler + clip on");
    expect(out).toContain('class "AdamW f32 amsgrad"');
  });

  test("prints JSON", async () => {
    const { out } = await run("inspect", "LAMB", "--params", "mlp-small", "--stage", "kernels", "--json");
    const { optimizer, params, explanation, stats, events, stage, dump } = JSON.parse(out);
    expect({ optimizer, params, stage }).toEqual({
      optimizer: "LAMB",
      params: "mlp-small",
      stage: "kernels",
    });
    expect(explanation).toMatchObject({ launches: 2, tables: { tensors: 6 } });
    expect(stats).toEqual({ kernels: 2, launches: 2, bytesMoved: 40 * 269322, bytesIdeal: 28 * 269322 });
    expect(events.map(({ kind }: { kind: string }) => kind)).toContain("kernel");
    expect(dump).toMatch(/^module "LAMB"/);
  });
});

test("writes a report, and the text besides", async () => {
  const file = freshFile("report.html");
  const { code, out } = await run("inspect", "AdamW", "--params", "resnet50", "--html", file);
  expect(code).toBe(0);
  expect(out).toContain("AdamW on wasm32");
  const html = readFileSync(file, "utf8");
  expect(html).toMatch(/^<!doctype html>/i);
  expect(html).toContain("layer4.2.conv3.weight");
  const nowhere = freshFile("no/such/folder.html");
  expect(await run("inspect", "AdamW", "--params", "resnet50", "--html", nowhere)).toMatchObject({
    code: 2,
    out: "",
    err: expect.stringContaining(`${nowhere} cannot be written`),
  });
});

describe("what cannot be inspected is refused with 2 and a reason", () => {
  const model = fileOf("model.json");
  test.each([
    [["SDG", "--params", "resnet50"], 'no optimizer "SDG"; there are AdaBelief, '],
    [
      ["SGD", "--params", "resnet"],
      'no parameter set "resnet"; there are mlp-small, many-tiny, resnet50, gpt2-small',
    ],
    [["SGD"], "required option '--params <set>' not specified"],
    [["SGD", "--params", "none.json"], "none.json cannot be read"],
    [["SGD", "--params", model, "--backend", "cpu"], "Allowed choices are wasm, webgpu, cuda"],
    [["SGD", "--params", model, "--stage", "ast"], "Allowed choices are module, simplify"],
    [
      ["SGD", "--params", model, "--option", "momentum"],
      'an option is name=value, such as momentum=0.9, got "momentum"',
    ],
    [["SGD", "--params", model, "--option", "momentum=big"], "option momentum is no JSON"],
    [["SGD", "--params", model, "--option", "momentum=-1"], "momentum"],
    [["SGD", "--params", model, "--option", "momentun=1"], 'no option "momentun"'],
    [["SGD", "--params", model, "--step-option", "clip=1"], 'no option "clip"'],
    [["none.ts#Lion", "--params", model], "none.ts is not there"],
    [
      [`${fileOf("heavy-ball.ts")}#Ball`, "--params", model],
      'exports no optimizer "Ball": there are HeavyBall',
    ],
    [[`${fileOf("heavy-ball.ts")}#notOne`, "--params", model], 'exports no optimizer "notOne"'],
  ])("%j", async (args, reason) => {
    const { code, out, err } = await run("inspect", ...args);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toContain(reason);
  });
});

test.each([
  ["[]", "holds no parameters"],
  ["{}", "holds no parameters"],
  ['{"a":[-1]}', 'the shape of parameter "a" is a list of whole numbers, got [-1]'],
  ['{"shapes":[["a"]]}', 'the shape of parameter "a" is a list of whole numbers, got undefined'],
  ['{"shapes":[["a",[1]],["a",[2]]]}', 'has two parameters "a"'],
  [
    '{"a":[1000000000,1000000000]}',
    "has 1000000000000000000 elements; at most 137438953472 can be looked at",
  ],
  ["{", "is no JSON"],
])("parameters %s are refused", async (text, reason) => {
  const file = freshFile("model.json");
  writeFileSync(file, text);
  const { code, err } = await run("inspect", "SGD", "--params", file);
  expect(code).toBe(2);
  expect(err).toContain(reason);
});

test("an optimizer's file that does not load, and one marked that cannot be traced, are refused with their own words", async () => {
  const file = freshFile("broken.mjs");
  writeFileSync(file, "throw new Error('out of paper');");
  const model = fileOf("model.json");
  expect(await run("inspect", file, "--params", model)).toMatchObject({
    code: 2,
    err: `stepjit: ${file} cannot be imported: out of paper`,
  });
  expect(await run("inspect", fileOf("branches.ts"), "--params", model)).toMatchObject({
    code: 2,
    err: expect.stringContaining("cannot be traced"),
  });
});

test("help and version are no failures; an unknown command is", async () => {
  expect(await run("--help")).toMatchObject({ code: 0, out: expect.stringContaining("Exit codes: 0") });
  expect(await run("--version")).toMatchObject({ code: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+$/) });
  for (const command of ["inspect", "check", "bench", "manifest"])
    expect(await run(command, "--help")).toMatchObject({
      code: 0,
      out: expect.stringContaining(`stepjit ${command}`),
    });
  expect(await run("inspekt")).toMatchObject({
    code: 2,
    err: expect.stringContaining("Did you mean inspect?"),
  });
});

/** What a report's data say is what the step's own dumps and counts say; what is anyone's text does no harm in it. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Adafactor, AdamW, compileStep, GradScaler, LAMB, type Step, tensor } from "../src/index.ts";
import type { DumpStage } from "../src/inspect/dump.ts";
import { type ModuleData, reportData } from "../src/report/data.ts";
import { fillPage } from "../src/report/fill.ts";
import { report } from "../src/report/index.ts";
import { sourceLines } from "../src/report/sources.ts";
import type { StageData, ValueData } from "../src/report/stages.ts";
import type { Engine } from "../src/step/engine.ts";
import { engineOf } from "../src/step/engines.ts";
import { type DryTarget, dryStep, type Shapes } from "./dry-step.ts";

const SHAPES: Shapes = [
  ["embed", [300, 70]],
  ["norm", [70]],
  ["conv", [16, 3, 3, 3]],
  ["bias", []],
];

const STEPS = {
  AdamW: (target: DryTarget) => dryStep(target, AdamW, SHAPES),
  Adafactor: (target: DryTarget) => dryStep(target, Adafactor, SHAPES),
  "LAMB with everything around it": (target: DryTarget) =>
    dryStep(target, LAMB, SHAPES, { clipNorm: 1, ema: 0.9, scaler: new GradScaler() }),
};

function dataOf(step: Step) {
  const engine = engineOf(step);
  if (!engine) throw new Error("no engine");
  return reportData(engine);
}

/** `;; %7 = mul %3 %6` or `// state.exp_avg' = %7`. */
const NOTE = /(?:;;|\/\/) (?:%\d+ = ([\w.]+).*|([\w.']+) = %\d+)$/;

const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);

for (const target of ["wasm", "webgpu", "cuda"] as const)
  describe.each(Object.entries(STEPS))(`%s on ${target}`, (_, make) => {
    const { step } = make(target);
    const data = dataOf(step);
    const [module] = data.modules as [ModuleData];

    test("stages have the values that dumps print", () => {
      const names = module.stages.map(({ name }) => name);
      expect(names.slice(0, 8)).toEqual("module simplify cse dce hoist schedule fuse batch".split(" "));
      for (const stage of module.stages)
        expect(printed(stage)).toEqual(valuesOf(step.dump(stage.name as DumpStage)));
      expect(printed(module.stages.at(-1) as StageData)).toEqual(valuesOf(step.dump("fused")));
    });

    test("bytes add up to what the step counts", () => {
      const { bytesMoved, bytesIdeal, launches } = step.stats;
      const accesses = module.bytes.flatMap((tensor) => tensor.accesses);
      expect(sum(accesses.map(({ bytes }) => bytes))).toBe(bytesMoved);
      expect(sum(accesses.map(({ bytes, isIdeal }) => (isIdeal ? bytes : 0)))).toBe(bytesIdeal);
      expect(sum(module.launches.flatMap((launch) => launch.bytes.map(({ bytes }) => bytes)))).toBe(
        bytesMoved,
      );
      expect(sum(data.parameters.map(({ moved }) => moved))).toBe(bytesMoved);
      expect(module.launches.length).toBe(launches);
    });

    test("every noted line of a kernel is of a value of that operation", () => {
      const last = module.stages.at(-1) as StageData;
      for (const { text, lines } of module.texts) {
        const noted = text.split("\n").flatMap((line, index) => (NOTE.test(line) ? [index] : []));
        expect([...lines].map(({ line }) => line).sort((a, b) => a - b)).toEqual(noted);
        for (const { line, func, value } of lines) {
          const [, operation, target] = NOTE.exec(text.split("\n")[line] as string) as RegExpExecArray;
          const owner = last.funcs[func];
          if (target) expect(owner?.outputs).toContainEqual({ target, value });
          else expect(operation).toBe(owner?.values[value]?.op);
        }
      }
    });

    test("a value comes from one like it", () => {
      module.stages.forEach((stage, index) => {
        for (const value of stage.funcs.flatMap(({ values }) => values)) {
          if (!value.from) continue;
          const [func, id] = value.from;
          const before = module.stages[index - 1]?.funcs[func]?.values[id];
          expect(before).toMatchObject({ op: value.op, type: value.type });
        }
      });
    });
  });

function printed({ funcs }: StageData): string[] {
  const line = ({ op, attribute, args }: ValueData, id: number) =>
    [`%${id} =`, op, ...(attribute === undefined ? [] : [attribute]), ...args.map((arg) => `%${arg}`)].join(
      " ",
    );
  return funcs.flatMap(({ values }) => values.map(line));
}

function valuesOf(dump: string): string[] {
  return dump
    .split("\n")
    .flatMap((line) => /(%\d+ = .*?)(?:\s+#.*)?$/.exec(line)?.[1] ?? [])
    .filter((line) => !/^%\d+$/.test(line));
}

test("the reference backend's text is the module itself", () => {
  const step = compileStep(new AdamW({ weight: new Float32Array(4) }), { backend: "reference" });
  const [module] = dataOf(step).modules as [ModuleData];
  const kernel = module.stages.at(-1)?.funcs.find(({ kind }) => kind === "kernel");
  const [text] = module.texts;
  expect(text?.lines.length).toBe((kernel?.values.length ?? 0) + (kernel?.outputs.length ?? 0));
});

test("passes that only move and merge leave no value without an origin", () => {
  const [module] = dataOf(dryStep("wasm", Adafactor, SHAPES).step).modules as [ModuleData];
  for (const name of ["cse", "dce", "fuse", "batch"]) {
    const values = module.stages.find((stage) => stage.name === name)?.funcs.flatMap(({ values }) => values);
    expect(values?.filter(({ from }) => !from)).toEqual([]);
  }
});

test("a micro-step is a module of its own", () => {
  const { step } = dryStep("wasm", AdamW, SHAPES, { accumulate: 2 });
  expect(dataOf(step).modules.map(({ title }) => title)).toEqual(["step", "micro-step"]);
});

test("events have their reasons, and kernels compiled again are counted", () => {
  const { step, optimizer, gradients } = dryStep("wasm", AdamW, [["weight", [8, 8]]]);
  expect(dataOf(step).counts).toMatchObject({ recompiled: 0, steps: 3 });
  (optimizer.paramGroups[0] as { maximize?: boolean }).maximize = true;
  step(gradients);
  const { counts, events } = dataOf(step);
  expect(counts.recompiled).toBe(events.filter(({ kind, step }) => kind === "kernel" && step > 0).length);
  expect(events.at(-1)?.reason).toBe("param group 0, maximize: false → true");
});

describe("sources", () => {
  const at = (source: string) => [{ funcs: [{ values: [{ source }] }] }] as unknown as StageData[];

  test("are the lines that made the values, and no others", () => {
    const { sources } = dataOf(dryStep("wasm", AdamW, SHAPES).step);
    expect(Object.keys(sources).sort()).toEqual(["src/optim/adam.ts", "src/optim/adamw.ts"]);
    expect(Object.values(sources["src/optim/adamw.ts"] ?? {})).toEqual([
      expect.stringContaining("param * (1 - hyper.lr * hyper.weightDecay)"),
      expect.stringContaining("return decayed - adamStep("),
    ]);
  });

  test("are read below the project only, through no link, and are source code", () => {
    const folder = mkdtempSync(join(tmpdir(), "stepjit-report-"));
    try {
      const root = join(folder, "project");
      mkdirSync(root);
      for (const file of ["outside.ts", "project/inside.ts", "project/secret.txt"])
        writeFileSync(join(folder, file), "one\ntwo\n");
      symlinkSync(join(folder, "outside.ts"), join(root, "link.ts"));
      const linesAt = (source: string) =>
        Object.values(sourceLines(at(source), [root])).map((lines) => ({ ...lines }));
      expect(linesAt("inside.ts:2:1")).toEqual([{ 2: "two" }]);
      for (const file of ["../outside.ts", join(folder, "outside.ts"), "link.ts", "secret.txt", "none.ts"])
        expect(linesAt(`${file}:1:1`)).toEqual([{}]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

test("a hostile name is data, whatever it says", () => {
  const name = "</script><script>alert(1)</script><!--\u2028$&`";
  const { step } = dryStep("wasm", AdamW, [[name, [4]]]);
  const html = fillPage('<script type="application/json">{{report}}</script>', dataOf(step));
  const [, json = ""] = /^<script type="application\/json">([^<]*)<\/script>$/.exec(html) ?? [];
  expect(json).not.toMatch(/[<\u2028]/);
  expect(JSON.parse(json).parameters[0].name).toBe(name);
});

test("a report is one page without addresses", () => {
  const html = report(dryStep("wasm", AdamW, SHAPES).step);
  expect(html).toMatch(/^<!doctype html>/);
  expect(html).toContain("default-src 'none'");
  expect(html).not.toMatch(/(?:src|href)="(?!data:,")/);
});

describe("times", () => {
  const profiled = async () => {
    const step = compileStep(new Adafactor({ weight: tensor([30, 20]), bias: tensor([20]) }), {
      accumulate: 2,
    });
    const gradients = { weight: tensor([30, 20]), bias: tensor([20]) };
    const profile = await step.profile(() => {
      for (let i = 0; i < 8; i++) step(gradients);
    });
    return { step, profile };
  };

  test("are the medians of a profile's launches, of steps and of micro-steps", async () => {
    const { step, profile } = await profiled();
    const { modules, profile: said } = reportData(engineOf(step) as Engine, profile);
    expect(said).toEqual({ steps: 8, memoryRate: profile.memoryRate });
    expect(modules.map(({ title }) => title)).toEqual(["step", "micro-step"]);
    for (const { title, launches } of modules)
      for (const { phase, milliseconds } of launches) {
        const times = profile.launches
          .filter((launch) => profile.steps[launch.step]?.kind === title && launch.phase === phase)
          .map((launch) => launch.milliseconds as number);
        expect(times).toHaveLength(4);
        expect(milliseconds).toBe(times.sort((a, b) => a - b)[2]);
      }
  });

  test("are not known without one", async () => {
    const { modules, profile } = dataOf((await profiled()).step);
    expect(profile).toBeNull();
    for (const { launches } of modules)
      for (const { milliseconds } of launches) expect(milliseconds).toBeNull();
  });

  test("of another optimizer are refused", async () => {
    const { profile } = await profiled();
    expect(() => report(dryStep("wasm", AdamW, SHAPES).step, profile)).toThrow(
      "report was given a profile of Adafactor for a step of AdamW",
    );
  });
});

test("what is no step, or was disposed, is refused", () => {
  const invalid = (message: string) =>
    expect.objectContaining({ code: "invalid-option", message: expect.stringContaining(message) });
  for (const value of [undefined, null, {}, () => {}, "step"])
    expect(() => report(value as unknown as Step)).toThrow(invalid("compileStep"));
  const step = compileStep(new AdamW({ weight: new Float32Array(4) }));
  step.dispose();
  expect(() => report(step)).toThrow(invalid("dispose"));
});

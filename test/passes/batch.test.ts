import { expect, test } from "vitest";
import { parseModule } from "../../src/ir/parse.ts";
import { batch, phasesOf } from "../../src/passes/batch.ts";

const FUNCS = [
  'kernel "B" phase 1',
  'scalars "B" phase 1',
  'kernel "A" phase 0',
  'scalars "A" phase 0',
  "step phase 1",
  'kernel "A" phase 1',
  'kernel "B" phase 0',
];
const module = batch(parseModule(`module "m"\n${FUNCS.map((header) => `${header} {\n}`).join("\n")}`));
const show = ({ kind, name, phase }: (typeof module.funcs)[number]) => `${kind} ${name} ${phase}`;

test("functions stand in the order in which they run; classes keep theirs", () =>
  expect(module.funcs.map(show)).toEqual([
    "scalars A 0",
    "kernel A 0",
    "kernel B 0",
    "step  1",
    "scalars B 1",
    "kernel B 1",
    "kernel A 1",
  ]));

test("a phase has its step body, its scalar programs, and its kernels as one launch", () => {
  const [first, second, ...none] = phasesOf(module);
  expect(none).toEqual([]);
  expect(first?.step).toBeUndefined();
  expect(first?.kernels.map(({ name }) => name)).toEqual(["A", "B"]);
  expect(second?.step?.kind).toBe("step");
  expect(second?.scalars.map(({ name }) => name)).toEqual(["B"]);
  expect(second?.kernels.map(({ name }) => name)).toEqual(["B", "A"]);
});

test("what runs on the device comes after the host's of its kind, and is the phase's programs", () => {
  const headers = [
    'scalars "A" phase 0 {',
    'scalars "A" phase 0 on device {',
    'scalars "B" phase 0 on device {',
    "step phase 0 {",
    "step phase 0 on device {",
  ];
  const sorted = batch(parseModule(`module "m"\n${headers.map((header) => `${header}\n}`).join("\n")}`));
  expect(sorted.funcs.map((func) => `${show(func)} ${func.on ?? "host"}`)).toEqual([
    "step  0 host",
    "step  0 device",
    "scalars A 0 host",
    "scalars A 0 device",
    "scalars B 0 device",
  ]);
  const [phase] = phasesOf(sorted);
  expect(phase?.step?.on).toBeUndefined();
  expect(phase?.scalars.map(({ name }) => name)).toEqual(["A"]);
  expect(phase?.programs.step?.on).toBe("device");
  expect(phase?.programs.scalars.map(({ name }) => name)).toEqual(["A", "B"]);
});

test("no functions, no phases", () => expect(phasesOf({ name: "m", funcs: [] })).toEqual([]));

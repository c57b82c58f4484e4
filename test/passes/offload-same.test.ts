/** Offload moves work and changes no result: both sides of a cut, one after the other, fill what the whole filled. */
import { describe, expect, test } from "vitest";
import type { Func, Module, Value } from "../../src/ir/module.ts";
import { verifyModule } from "../../src/ir/verify.ts";
import { unscale } from "../../src/optim/around/unscale.ts";
import { clipByGlobalNorm } from "../../src/optim/clip.ts";
import { phasesOf } from "../../src/passes/batch.ts";
import { offload } from "../../src/passes/offload.ts";
import { runPasses } from "../../src/passes/pipeline.ts";
import { Program, type Row } from "../../src/plan/program.ts";
import type { AnyDefinition } from "../../src/trace/definition.ts";
import { type ClassSpec, trace } from "../../src/trace/trace.ts";
import { OPTIMIZERS, SUBJECTS } from "../optim/subjects.ts";

/** What inputs are: a number for each name. */
type World = (value: Value) => number;

/** Numbers between 0.05 and 0.95, by name; `zero` of them are 0. */
function world(seed: number, zero: readonly string[], stepcount: number): World {
  return ({ op, attribute, type }) => {
    const name = `${op} ${attribute} ${type.extent}`;
    if (op === "mask") return (name.length + seed) % 2;
    if (op === "stepcount") return stepcount;
    if (op === "numel" || op === "size") return 12;
    if (zero.includes(String(attribute))) return 0;
    let hash = seed;
    for (const letter of name) hash = (Math.imul(hash, 31) + letter.charCodeAt(0)) >>> 0;
    return 0.05 + 0.9 * ((Math.imul(hash, 2654435761) >>> 0) / 2 ** 32);
  };
}

/** All that step bodies and scalar programs write in a step, by owner and target; what is read has to be there already. */
function run(module: Module, of: World, readsAllowed: (func: Func, value: Value) => boolean) {
  const written = new Map<string, number>();
  const program = (func: Func) => {
    const read = (value: Value) => {
      expect(readsAllowed(func, value), `${func.kind} ${func.on ?? "host"} reads ${value.op}`).toBe(true);
      if (value.op !== "given" && value.op !== "scalar") return of(value);
      const key =
        value.op === "given" ? ` give.${value.attribute}` : `${func.name} scalar.${value.attribute}`;
      const number = written.get(key);
      if (number === undefined) throw new Error(`${key} is read before it is written`);
      return number;
    };
    const ready = new Program(func, (value) => () => read(value));
    ready.run(undefined as unknown as Row);
    for (const { target, value } of func.outputs) {
      expect(written.has(`${func.name} ${target}`)).toBe(false);
      written.set(`${func.name} ${target}`, ready.registers[value] as number);
    }
  };
  for (const { step, scalars, programs } of phasesOf(module)) {
    if (step) program(step);
    scalars.forEach(program);
    if (programs.step) program(programs.step);
    programs.scalars.forEach(program);
  }
  return written;
}

function classesOf({ name, flags, matrix }: AnyDefinition): ClassSpec[] {
  const none = Object.fromEntries(Object.keys(flags ?? {}).map((flag) => [flag, false]));
  const all = Object.fromEntries(Object.keys(flags ?? {}).map((flag) => [flag, true]));
  const make = (label: string, set: Record<string, boolean>, view: ClassSpec["view"]): ClassSpec => ({
    name: `${name} ${label}`,
    dtype: "f32",
    flags: set,
    view,
  });
  return [
    make("plain", none, "vector"),
    make("full", all, "vector"),
    ...(matrix ? [make("matrix", { ...none, matrix: true }, "matrix")] : []),
  ];
}

const TRANSFORMS = {
  none: [],
  clip: [clipByGlobalNorm],
  scaler: [unscale],
  both: [unscale, clipByGlobalNorm],
};

const CASES = [...OPTIMIZERS].flatMap(([name, { definition }]) =>
  Object.entries(TRANSFORMS).flatMap(([label, transforms]) => {
    const module = runPasses(trace(definition, classesOf(definition), transforms));
    return [[], ["lr"]].map((resident) => ({ name: `${name}, ${label}, [${resident}]`, module, resident }));
  }),
);

const WORLDS = [
  world(1, [], 1),
  world(2, [], 7),
  world(3, ["betas.0", "betas.1", "rho", "alpha"], 3),
  world(4, ["lr"], 100_000),
];

const HOST_ONLY = new Set(["numel", "size"]);

describe.each(CASES)("$name", ({ module, resident }) => {
  const cut = offload(module, new Set(resident));
  const commits = cut.funcs.some(
    ({ on, outputs }) => on && outputs.some(({ target }) => target === "commit"),
  );
  const deviceOnly = (value: Value) =>
    value.op === "total" ||
    (value.op === "hyper" && value.type.extent === "group" && resident.includes(String(value.attribute))) ||
    (commits && (value.op === "stepcount" || value.op === "state" || value.attribute === "first"));

  test("verifies; the host's work is done before the device's begins, in one function an owner", () => {
    verifyModule(cut);
    for (const { kind, phase, on } of cut.funcs)
      if (!on && (kind === "step" || kind === "scalars") && cut !== module) expect(phase).toBe(0);
  });

  test.each(WORLDS.map((numbers, index) => ({ index, numbers })))("world $index", ({ numbers }) => {
    const whole = run(module, numbers, () => true);
    const parts = run(cut, numbers, ({ on }, value) =>
      on
        ? !HOST_ONLY.has(value.op) && (value.op !== "hyper" || deviceOnly(value))
        : cut === module || !deviceOnly(value),
    );
    expect([...parts.keys()]).toEqual(expect.arrayContaining([...whole.keys()]));
    for (const [target, number] of whole) {
      const found = parts.get(target) as number;
      const tolerance = 1e-11 * Math.max(Math.abs(number), 1e-300);
      if (!Object.is(found, number)) expect(Math.abs(found - number), target).toBeLessThanOrEqual(tolerance);
    }
  });

  test("no power is left to the device", () => {
    const ops = cut.funcs.filter(({ on }) => on).flatMap(({ values }) => values.map(({ op }) => op));
    expect(ops).not.toContain("pow");
  });
});

test("every optimizer is here, and what has totals is cut", () => {
  expect(OPTIMIZERS.size).toBe(Object.keys(SUBJECTS).length);
  for (const { module, resident } of CASES) {
    const totals = module.funcs.some(
      ({ kind, values }) => kind !== "kernel" && values.some(({ op }) => op === "total"),
    );
    if (resident.length === 0) expect(offload(module, new Set()) !== module).toBe(totals);
  }
});

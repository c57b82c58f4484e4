/** The programs of each optimizer on a device, which computes in f32, against the module before offloading, in f64. */
import { beforeAll, expect, test, vi } from "vitest";
import { MASK_BITS } from "../../../src/backends/gpu/layout.ts";
import type { Func, Module, Value } from "../../../src/ir/module.ts";
import { unscale } from "../../../src/optim/around/unscale.ts";
import { clipByGlobalNorm } from "../../../src/optim/clip.ts";
import { phasesOf } from "../../../src/passes/batch.ts";
import { offload } from "../../../src/passes/offload.ts";
import { runPasses } from "../../../src/passes/pipeline.ts";
import { Program, type Row } from "../../../src/plan/program.ts";
import { Totals } from "../../../src/plan/totals.ts";
import { sharesOf } from "../../../src/plan/work.ts";
import { trace } from "../../../src/trace/trace.ts";
import { CASES } from "../../optim/subjects.ts";
import { describeOnGpu, testDevice } from "./gpu.ts";
import { ProgramDevice } from "./programs-device.ts";

vi.setConfig({ testTimeout: 60_000 });

/** Steps taken before, a parameter each; the second half is in the second group. */
const COUNTS = [0, 1, 2, 9, 99, 999, 99_999, 0, 1, 5, 30_000];
const PARAMETERS = COUNTS.map((_, index) => ({
  classIndex: 0,
  group: index < 7 ? 0 : 1,
  active: true,
  pieces: [1 + (index % 3)],
}));
/** Of state of one number. */
const NUMBER = 0.625;
const ELEMENTS = 1000;

/** What is relatively off at most. */
const TOLERANCE = 1e-6;
/**
 * RAdam's rho cancels from about 2000 to the number of the step, in the first steps. What it makes of a rho up to 5, which is that
 * of the first five, is not used.
 */
const RADAM = { tolerance: 1e-4, from: 6 };

let device: Promise<GPUDevice>;

interface Case {
  readonly module: Module;
  /** By group and member. */
  readonly hyper: (group: number, value: Value) => number;
}

function caseOf({ make, subject, name }: (typeof CASES)[number]): Case {
  const { definition } = make;
  const flags = Object.fromEntries(Object.keys(definition.flags ?? {}).map((flag) => [flag, false]));
  const traced = trace(
    definition,
    [{ name, dtype: "f32", flags, view: "vector" }],
    [unscale, clipByGlobalNorm],
  );
  const transforms = { "scaler.scale": 1024, "clip.clipNorm": 5 };
  const options = [subject.options, { ...subject.options, ...subject.second, betas: [0, 0.999] }];
  return {
    module: runPasses(traced),
    hyper: (group, { attribute }) => {
      const [base = "", index] = String(attribute).split(".");
      const known = transforms[String(attribute) as keyof typeof transforms];
      if (known !== undefined) return known;
      const value = options[group]?.[base] ?? definition.hyper[base]?.default;
      return (Array.isArray(value) ? value[Number(index)] : value) as number;
    },
  };
}

/** Functions above elements of some parameters, on the host. */
class Host {
  readonly gives = new Map<string, number>();
  /** By parameter and target. */
  readonly found = PARAMETERS.map(() => new Map<string, number>());
  readonly totals = new Totals(2, PARAMETERS.length);
  readonly #hyper: Case["hyper"];

  constructor(hyper: Case["hyper"]) {
    this.#hyper = hyper;
  }

  run(func: Func): void {
    const read = (value: Value) => (row: Row) => this.#read(value, row);
    const program = new Program(func, read);
    const rows = func.kind === "step" ? [0] : PARAMETERS.keys();
    for (const tensor of rows) {
      program.run({ tensor, group: PARAMETERS[tensor]?.group } as Row);
      for (const { target, value } of program.outputs) {
        const number = program.registers[value] as number;
        if (func.kind === "step") this.gives.set(target, number);
        else this.found[tensor]?.set(target, number);
      }
    }
  }

  #read(value: Value, { tensor, group }: Row): number {
    const { op, attribute, type } = value;
    if (op === "total") {
      const place = { step: 0, group, param: tensor }[type.extent as "step"];
      return this.totals.numbers(type.extent as "step", String(attribute))[place] as number;
    }
    if (op === "given") return this.gives.get(`give.${attribute}`) as number;
    if (op === "stepcount") return (COUNTS[tensor] as number) + 1;
    if (op === "mask") return Number(attribute === "first" ? COUNTS[tensor] === 0 : attribute === "present");
    if (op === "numel" || op === "size") return ELEMENTS;
    return op === "state" ? NUMBER : this.#hyper(group, value);
  }
}

async function compare(subject: (typeof CASES)[number]): Promise<number> {
  const { module, hyper } = caseOf(subject);
  const cut = offload(module, new Set());
  const on = new ProgramDevice(await device, cut, [subject.name], PARAMETERS, 2);
  const { records } = (on.works[0] as (typeof on.works)[number]).numbers;

  const ahead = new Host(hyper);
  for (const func of cut.funcs) if (func.kind !== "kernel" && !func.on) ahead.run(func);
  for (const [target, number] of ahead.gives)
    on.write("scalars", Float32Array.of(number), on.giveAt(target.slice(5)));
  ahead.found.forEach((outputs, parameter) => {
    for (const [target, number] of outputs)
      on.write("scalars", Float32Array.of(number), on.slotAt(parameter, Number(target.slice(7))));
  });
  const remembered = COUNTS.flatMap((count) =>
    records.map((name) => (name === "stepcount" ? count : name === "first" ? 0 : NUMBER)),
  );
  on.write("records", Float32Array.from(remembered));
  const masks = COUNTS.map((count) => MASK_BITS.present | (count === 0 ? MASK_BITS.first : 0));

  const whole = new Host(hyper);
  let partials = new Float32Array(1);
  for (const [phase, { step, scalars, kernels }] of phasesOf(module).entries()) {
    if (step) whole.run(step);
    scalars.forEach((func) => {
      whole.run(func);
    });
    if (on.works[phase]?.programs) await on.run(phase, partials, masks);
    const shares = kernels.flatMap(sharesOf);
    // A maximum is how many elements are not finite: none.
    partials = Float32Array.from({ length: (on.chunks.length / 4) * shares.length }, (_, index) =>
      shares[index % shares.length]?.op === "reduce.max" ? 0 : 0.5 + ((index * 37) % 100) / 64,
    );
    whole.totals.finish([shares], Float64Array.from(partials), shares.length, on.chunks, PARAMETERS);
  }

  const computed = await on.read("scalars");
  const changed = await on.read("records");
  expect(computed[0]).toBe(1);
  let compared = 0;
  let worst = 0;
  const check = (found: number | undefined, want: number) => {
    compared++;
    if (!Object.is(found, want)) worst = Math.max(worst, Math.abs((found as number) - want) / Math.abs(want));
  };
  for (const [target, number] of whole.gives)
    if (target !== "commit") check(computed[on.giveAt(target.slice(5))], number);
  whole.found.forEach((outputs, parameter) => {
    const count = (COUNTS[parameter] as number) + 1;
    expect(changed[parameter * records.length]).toBe(count);
    if (subject.name === "RAdam" && count < RADAM.from) return;
    for (const [target, number] of outputs) {
      const state = /^state\.(.+)'$/.exec(target)?.[1];
      if (state) check(changed[parameter * records.length + records.indexOf(state)], number);
      else check(computed[on.slotAt(parameter, Number(target.slice(7)))], number);
    }
  });
  expect(compared).toBeGreaterThan(COUNTS.length);
  return worst;
}

describeOnGpu("programs on a device", () => {
  beforeAll(() => {
    device = testDevice();
  });

  test.each(CASES)("$name: slots, gives and state of one number are those of f64", async (subject) => {
    expect(await compare(subject)).toBeLessThan(subject.name === "RAdam" ? RADAM.tolerance : TOLERANCE);
  });
});

/** What programs compute on a device, against the host. */
import { beforeAll, describe, expect, test, vi } from "vitest";
import { giveAt, MASK_BITS } from "../../../src/backends/gpu/layout.ts";
import { PROGRAM_THREADS } from "../../../src/backends/webgpu/layout.ts";
import { parseModule } from "../../../src/ir/parse.ts";
import { verifyModule } from "../../../src/ir/verify.ts";
import { Totals } from "../../../src/plan/totals.ts";
import { sharesOf } from "../../../src/plan/work.ts";
import { describeOnGpu, testDevice } from "./gpu.ts";
import { type Parameter, ProgramDevice } from "./programs-device.ts";

vi.setConfig({ testTimeout: 60_000 });

const parse = (text: string) => {
  const module = parseModule(text);
  verifyModule(module);
  return module;
};

/** Sums and maxima to every level; the classes have them in different order, and under one name of the parameter different ones. */
const TOTALS = parse(`module "totals"
  kernel "C" phase 0 {
    f32[lead,row,col] %0 = grad
    f64@step %1 = reduce.sum %0
    f64@step %2 = reduce.max %0
    f64@group %3 = reduce.sum %0
    f64@group %4 = reduce.max %0
    f64@param %5 = reduce.sum %0
    f64@param %6 = reduce.max %0
    total.n = %1
    total.m = %2
    total.g = %3
    total.h = %4
    total.local0 = %5
    total.local1 = %6
  }
  kernel "D" phase 0 {
    f32[lead,row,col] %0 = grad
    f64@step %1 = reduce.sum %0
    f64@step %2 = reduce.max %0
    f64@group %3 = reduce.sum %0
    f64@group %4 = reduce.max %0
    f64@param %5 = reduce.max %0
    total.local0 = %5
    total.h = %4
    total.g = %3
    total.m = %2
    total.n = %1
  }
  kernel "E" phase 0 {
    f32[lead,row,col] %0 = grad
    param' = %0
  }
  step phase 1 on device {
    f64@step %0 = total n
    f64@step %1 = total m
    f64@step %2 = add %0 %1
    bool@step %3 = less %0 %1
    give.a = %2
    give.b = %3
  }
  scalars "C" phase 1 on device {
    f64@param %0 = total local0
    f64@param %1 = total local1
    f64@group %2 = total g
    f64@group %3 = total h
    f64@param %4 = broadcast %2
    f64@param %5 = sub %0 %4
    f64@step %6 = given a
    scalar.0 = %5
    scalar.1 = %1
    scalar.2 = %3
    scalar.3 = %6
  }
  scalars "D" phase 1 on device {
    f64@param %0 = total local0
    bool@step %1 = given b
    scalar.0 = %1
    scalar.1 = %0
  }`);
let device: Promise<GPUDevice>;

const CLASSES = ["C", "D", "E"];
const GROUPS = 3;

/** No chunk, one, a few, many, several pieces; every seventh is inactive. */
function parametersOf(count: number): Parameter[] {
  const pieces = [[0], [1], [3], [40, 2], [1, 1, 1], [300]];
  return Array.from({ length: count }, (_, index) => ({
    classIndex: index % CLASSES.length,
    group: (index >> 2) % GROUPS,
    active: index % 7 !== 6,
    pieces: pieces[(index * 5) % pieces.length] as number[],
  }));
}

/** Whole numbers, whose sums are exact in any order; what inactive parameters have there is none of theirs. */
function partialsFor({ chunks, strides }: ProgramDevice, parameters: readonly Parameter[]): Float32Array {
  const stride = strides[0] as number;
  return Float32Array.from({ length: (chunks.length / 4) * stride }, (_, index) => {
    const parameter = parameters[chunks[4 * Math.floor(index / stride)] as number];
    return parameter?.active ? ((index * 7919) % 201) - 150 : 1e30;
  });
}

function hostTotals(on: ProgramDevice, parameters: readonly Parameter[], partials: Float32Array): Totals {
  const totals = new Totals(GROUPS, parameters.length);
  const shares = CLASSES.map((name) =>
    TOTALS.funcs.filter((func) => func.kind === "kernel" && func.name === name).flatMap(sharesOf),
  );
  totals.finish(shares, Float64Array.from(partials), on.strides[0] as number, on.chunks, parameters);
  return totals;
}

async function finish(count: number, lanes: number, change: (partials: Float32Array) => void = () => {}) {
  const parameters = parametersOf(count);
  const on = new ProgramDevice(await device, TOTALS, CLASSES, parameters, GROUPS);
  const partials = partialsFor(on, parameters);
  change(partials);
  await on.run(1, partials, [], lanes);
  return {
    on,
    parameters,
    expected: hostTotals(on, parameters, partials),
    scalars: await on.read("scalars"),
  };
}

describeOnGpu("programs on a device", () => {
  beforeAll(() => {
    device = testDevice();
  });

  describe("totals", () => {
    test.each([
      [1, 1],
      [5, PROGRAM_THREADS],
      [40, 16],
      [41, 1],
      [300, 64],
    ])("of %i parameters, %i lanes each, are the host's, and so is what reads them", async (count, lanes) => {
      const { on, parameters, expected, scalars } = await finish(count, lanes);
      const totals = await on.read("totals");
      const { numbers } = on.works[1] as (typeof on.works)[number];
      const places = Math.max(GROUPS, count);
      numbers.totals.forEach(({ name, level }, index) => {
        const want = expected.numbers(level, name);
        const found = totals.subarray(index * places, index * places + want.length);
        want.forEach((number, place) => {
          const hasOne =
            level !== "param" || on.layouts[parameters[place]?.classIndex as number]?.name === "C";
          if (hasOne) expect(found[place], `${level} ${name} ${place}`).toBe(number);
        });
      });
      const n = expected.numbers("step", "n")[0] as number;
      const m = expected.numbers("step", "m")[0] as number;
      expect(scalars[giveAt(numbers, "a")]).toBe(n + m);
      expect(scalars[giveAt(numbers, "b")]).toBe(Number(n < m));
      parameters.forEach(({ active, classIndex, group }, parameter) => {
        if (!active || classIndex === 2) return;
        const slots = [0, 1, 2, 3].map((slot) => scalars[on.slotAt(parameter, slot)]);
        const local = expected.numbers("param", "local0")[parameter] as number;
        if (classIndex === 1) expect(slots.slice(0, 2)).toEqual([Number(n < m), local]);
        else
          expect(slots).toEqual([
            local - (expected.numbers("group", "g")[group] as number),
            expected.numbers("param", "local1")[parameter],
            expected.numbers("group", "h")[group],
            n + m,
          ]);
      });
    });

    test("a share that is NaN makes NaN of all it is part of, and of nothing else", async () => {
      const { on, parameters, expected, scalars } = await finish(40, 16, (partials) => {
        partials.fill(Number.NaN, 0, 6);
      });
      expect(parameters[0]).toMatchObject({ classIndex: 0, group: 0 });
      for (const [parameter, { active, classIndex, group }] of parameters.entries()) {
        if (!active || classIndex !== 0) continue;
        expect(scalars[on.slotAt(parameter, 2)]).toBe(expected.numbers("group", "h")[group]);
        expect(scalars[on.slotAt(parameter, 3)]).toBeNaN();
      }
    });
  });

  describe("a step that may be given up", () => {
    const STEP = parse(`module "commit"
      scalars "C" phase 0 on device {
        f64@param %0 = stepcount
        bool@param %1 = mask first
        f64@param %2 = state mu
        bool@param %3 = mask summed
        f64@group %4 = hyper lr
        scalar.0 = %0
        scalar.1 = %1
        scalar.2 = %2
        scalar.3 = %3
        scalar.4 = %4
      }
      kernel "C" phase 0 {
        f32[lead,row,col] %0 = grad
        f64@step %1 = reduce.max %0
        total.bad = %1
      }
      step phase 1 on device {
        f64@step %0 = total bad
        f64@step %1 = given host0
        bool@step %2 = less %0 %1
        give.ok = %2
        commit = %2
      }
      scalars "C" phase 1 on device {
        f64@param %0 = state mu
        f64@param %1 = stepcount
        f64@param %2 = add %0 %1
        bool@step %3 = given ok
        scalar.5 = %3
        state.mu' = %2
      }
      kernel "C" phase 1 {
        f32[lead,row,col] %0 = grad
        param' = %0
      }
      step phase 0 {
        f64@step %0 = const 0.5
        give.host0 = %0
      }`);

    test("counts, keeps what is new, and changes state only where it is not", async () => {
      const parameters = [0, 1, 2].map((index) => ({
        classIndex: 0,
        group: index % 2,
        active: index !== 1,
        pieces: [1],
      }));
      const on = new ProgramDevice(await device, STEP, ["C"], parameters, 2);
      expect(on.works.map(({ guarded, programs }) => [guarded, programs?.advances])).toEqual([
        [false, false],
        [true, true],
      ]);
      expect(on.works[0]?.numbers).toMatchObject({ records: ["stepcount", "first", "mu"], hypers: ["lr"] });
      on.write("hypers", Float32Array.of(0.25, 0.75));
      on.write("records", Float32Array.of(0, 0, 10, 7, 1, 20, 4, 0, 30));
      on.write("scalars", Float32Array.of(0.5), on.giveAt("host0"));
      // By step: whether it is; whether state of parameter 0 is new, as far as the host knows. Then what its programs find.
      const steps = [
        { commits: false, isNew: true, slots: [1, 1, 10], records: [0, 1, 10] },
        { commits: false, isNew: false, slots: [1, 1, 10], records: [0, 1, 10] },
        { commits: true, isNew: false, slots: [1, 1, 10], records: [1, 0, 11] },
        { commits: true, isNew: false, slots: [2, 0, 11], records: [2, 0, 13] },
        { commits: false, isNew: false, slots: [3, 0, 13], records: [2, 0, 13] },
        { commits: true, isNew: true, slots: [3, 1, 13], records: [3, 0, 16] },
      ];
      let [count, mu] = [4, 30]; // of the last parameter
      for (const [index, { commits, isNew, slots, records }] of steps.entries()) {
        const masks = [isNew ? MASK_BITS.first : 0, 0, MASK_BITS.summed];
        await on.run(0, new Float32Array(1), masks);
        // What the inactive parameter in the middle left there is of no account.
        await on.run(1, Float32Array.of(0, commits ? 5 : 0, commits ? 0 : 1), masks);
        const scalars = await on.read("scalars");
        const row = (parameter: number) =>
          [0, 1, 2, 3, 4, 5].map((slot) => scalars[on.slotAt(parameter, slot)]);
        const where = `step ${index}`;
        expect(scalars[0], where).toBe(Number(commits));
        expect(row(0), where).toEqual([...slots, 0, 0.25, Number(commits)]);
        expect(row(2), where).toEqual([count + 1, 0, mu, 1, 0.25, Number(commits)]);
        if (commits) {
          count++;
          mu += count;
        }
        expect([...(await on.read("records")).subarray(0, 9)], where).toEqual([
          ...records,
          ...[7, 1, 20],
          ...[count, 0, mu],
        ]);
      }
    });
  });
});

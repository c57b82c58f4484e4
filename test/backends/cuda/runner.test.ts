/** What a runner enqueues: what kernels find at the addresses that they are given, and how little is uploaded for it. */
import { beforeEach, describe, expect, test } from "vitest";
import type { DeviceRunner, RowOf, Storage } from "../../../src/backends/backend.ts";
import { ADDRESS_NAMES, LAUNCH_BYTES, PROGRAM_THREADS } from "../../../src/backends/cuda/layout.ts";
import type { MarkTimer } from "../../../src/backends/cuda/timer.ts";
import type { TableName } from "../../../src/backends/gpu/language.ts";
import { COMMIT_AT, COUNTS, FLAGS, rowFloats, rowsAt, TENSOR_ROW } from "../../../src/backends/gpu/layout.ts";
import { Cuda } from "../../../src/cuda.ts";
import { type Call, FakeDevice } from "./fake-device.ts";
import { MATRIX, NO_NUMBERS, tablesOf, VECTOR } from "./tables-of.ts";

let fake: FakeDevice;
let backend: Cuda;
beforeEach(() => {
  fake = new FakeDevice();
  backend = new Cuda(fake.device);
});

const compile = (text: string) => backend.compile(text);
const disposed = (text: string) =>
  expect.objectContaining({ code: "disposed", message: expect.stringContaining(text) });
const kinds = (calls: readonly Call[]) => calls.map(({ kind }) => kind);

/** What a kernel is given. */
function launchOf(params: Uint8Array) {
  const view = new DataView(params.buffer);
  const at = (name: TableName) => view.getBigUint64(8 * ADDRESS_NAMES.indexOf(name), true);
  return {
    chunks: at("chunks"),
    tensors: at("tensors"),
    rows: at("rows"),
    partials: at("partials"),
    scalars: at("scalars"),
    totals: at("totals"),
    records: at("records"),
    hypers: at("hypers"),
    counts: Object.fromEntries(
      COUNTS.map((name, i) => [name, view.getUint32(8 * ADDRESS_NAMES.length + 4 * i, true)]),
    ),
  };
}

const launches = (calls: readonly Call[]) =>
  calls.flatMap((call) => (call.kind === "launch" ? { ...call, ...launchOf(call.params) } : []));

/** Runs phase 0 and gives the launch of its kernels. */
function step(runner: DeviceRunner) {
  runner.launch(0, 1);
  runner.submit();
  return launches(fake.take()).at(-1) as ReturnType<typeof launches>[number];
}

const row = (tensor: number, more: Partial<RowOf> = {}): RowOf => ({
  classIndex: 0,
  group: 0,
  tensor,
  first: false,
  present: true,
  summed: false,
  ...more,
});

describe("over two vectors and a matrix", () => {
  const MATRIX_DIMS = { A: 2, R: 3, B: 1, C: 5, D: 1 };
  let runner: DeviceRunner;
  let storages: Storage[][];
  const prepare = () => {
    const tables = tablesOf(
      { sizes: [40_000, 7, MATRIX_DIMS], groups: 2, phases: [{ kernel: "k", totals: 3 }] },
      compile,
    );
    runner = backend.prepare(tables);
    storages = [40_000, 7, 30].map((length, tensor) =>
      [length, length, 6].slice(0, tensor === 2 ? 3 : 2).map((one) => backend.allocate("f32", one)),
    );
    storages.forEach((ofTensor, tensor) => {
      ofTensor.forEach((storage, role) => {
        runner.bind(tensor, role, storage);
      });
    });
    fake.take();
  };
  beforeEach(prepare);

  const addressOf = (storage: Storage | undefined) => (storage as unknown as { address: bigint }).address;

  test("a kernel finds chunks, tensor rows, sizes and numbers", () => {
    for (const tensor of [0, 2]) runner.setActive(tensor, true);
    runner.setRows([row(0), row(2, { classIndex: 1, first: true, summed: true })]);
    runner.setScalarRow(2, 1);
    runner.writeScalar(0, 0, 1, 0.1);
    runner.writeScalar(1, 1, 0, 7);
    const launch = step(runner);
    expect(launch.counts).toEqual({
      count: 5,
      stride: 3,
      scalar_rows: 2,
      row_floats: rowFloats([VECTOR, MATRIX]),
      groups: 2,
      parameters: 3,
      lanes: 2,
    });
    expect(launch.params.length).toBe(LAUNCH_BYTES);
    expect(LAUNCH_BYTES).toBe(96);
    const words = TENSOR_ROW.bases + 3 + 1 + 6;
    expect([...fake.at(Uint32Array, launch.chunks, 20)]).toEqual(
      [
        [0, 0, 16384, 0],
        [0, 16384, 16384, 1],
        [0, 32768, 7232, 2],
        [words, 0, 7, 3],
        [2 * words, 0, 6, 4],
      ].flat(),
    );
    const [p, g, s] = (storages[2] as Storage[]).map(addressOf);
    const rowAt = (tensor: number) => [
      ...fake.at(BigUint64Array, launch.tensors + BigInt(8 * words * tensor), words),
    ];
    const scalars = (index: number) => BigInt(rowsAt(NO_NUMBERS) + index * rowFloats([VECTOR, MATRIX]));
    const zeros = (count: number) => Array.from({ length: count }, () => 0n);
    expect(rowAt(0)).toEqual([
      0n,
      0n,
      scalars(0),
      0n,
      ...(storages[0] as Storage[]).map(addressOf),
      ...zeros(8),
    ]);
    expect(rowAt(1).slice(0, 4)).toEqual([0n, BigInt(FLAGS.inactive), scalars(1), 1n]);
    const matrix = rowAt(2);
    expect(matrix.slice(0, 7)).toEqual([1n, 0n, scalars(1), 2n, p, g, s]);
    expect(matrix.slice(8)).toEqual([3n, 1n, 5n, 1n, 3n, 1n]);
    fake.at(Float64Array, matrix[7] as bigint, 6).fill(1); // totals over rows
    expect([...fake.at(Uint32Array, launch.rows, 20)]).toEqual(
      [
        [0, 3, 0, 0],
        [3, 1, 1, 0],
        [4, 1, 0, 1],
        [0, 0, 0, 2],
        [1, 2, 0, 1 + 2 + 4],
      ].flat(),
    );
    const numbers = fake.at(Float64Array, launch.scalars, Number(scalars(2)));
    expect(numbers[Number(scalars(0)) + 1]).toBe(0.1);
    expect(numbers[Number(scalars(1))]).toBe(7);
    expect([...fake.at(Float64Array, launch.partials, 15)]).toEqual(new Array(15).fill(0));
  });

  test("regions do not overlap, nor do totals over axes", () => {
    const matrices = [100, 100].map((R) => ({ A: 1, R, B: 1, C: 5, D: 1 }));
    const sizes = [...matrices, ...Array.from({ length: 50 }, () => 16384 * 2)];
    const numbers = {
      totals: [{ name: "a", level: "param" } as const, { name: "b", level: "step" } as const],
      records: ["a", "b", "c"],
      hypers: ["a"],
    };
    const phases = [{ kernel: "k", totals: 4 }];
    const launch = step(backend.prepare(tablesOf({ sizes, groups: 40, numbers, phases }, compile)));
    const totalOf = (tensor: number) =>
      fake.at(
        BigUint64Array,
        launch.tensors + BigInt(8 * (14 * tensor + TENSOR_ROW.bases + 3)),
        1,
      )[0] as bigint;
    const regions: [bigint, number][] = [
      [launch.chunks, 16 * 102],
      [launch.rows, 16 * 2 * 52],
      [launch.hypers, 16 * 40],
      [launch.tensors, 8 * 14 * 52],
      [launch.scalars, 8 * (16 + 4 * 52)],
      [launch.totals, 8 * 2 * 52],
      [launch.records, 8 * 3 * 52],
      [launch.partials, 8 * 4 * 102],
      [totalOf(0), 8 * 100],
      [totalOf(1), 8 * 100],
    ];
    for (const [start, bytes] of regions) fake.at(Uint8Array, start, bytes).fill(1); // throws where it is not ours
    regions.sort(([a], [b]) => Number(a - b));
    regions.forEach(([start, bytes], index) => {
      expect(regions[index + 1]?.[0] ?? 2n ** 64n).toBeGreaterThanOrEqual(start + BigInt(bytes));
    });
    for (const name of ADDRESS_NAMES) expect(launch[name] % 256n).toBe(0n);
  });

  test("a step without news is one upload and one launch; a step with other gradients, too", () => {
    runner.setActive(0, true);
    runner.setRows([row(0)]);
    const first = step(runner);
    for (let i = 0; i < 3; i++) {
      runner.writeScalar(0, 0, 0, i);
      runner.launch(0, 1);
      runner.submit();
      const calls = fake.take();
      expect(kinds(calls)).toEqual(["upload", "launch"]);
      expect(calls[0]).toMatchObject({ to: first.scalars, bytes: 8 * (rowsAt(NO_NUMBERS) + 4) });
      expect(calls[1]).toMatchObject({ grid: 5, text: "k", params: first.params });
    }
    for (let i = 0; i < 3; i++) {
      const gradient = backend.allocate("f32", 7);
      runner.bind(1, 1, gradient);
      fake.take();
      runner.launch(0, 1);
      runner.submit();
      const calls = fake.take();
      expect(kinds(calls)).toEqual(["upload", "launch"]);
      expect(calls[0]).toMatchObject({ to: first.tensors });
    }
  });

  test("tables without news between others are left out", () => {
    step(runner);
    runner.setRows([row(0), row(1)]);
    runner.launch(0, 1);
    expect(kinds(fake.take())).toEqual(["upload", "upload", "launch"]);
  });

  test("what the device wrote among the scalars is written over by the next step", () => {
    const { scalars } = step(runner);
    fake.at(Float64Array, scalars, 16).fill(99);
    step(runner);
    expect([...fake.at(Float64Array, scalars, 16)]).toEqual(new Array(16).fill(0));
  });

  test("a parameter of which a tensor begins at no multiple of 16 bytes is marked", () => {
    const flagsOf = (tensor: number) =>
      Number(fake.at(BigUint64Array, step(runner).tensors + BigInt(8 * 14 * tensor + 8), 1)[0]);
    const foreign = (offset: bigint) => backend.wrap(addressOf(storages[0]?.[0]) + offset, [7]).storage;
    expect(flagsOf(1)).toBe(FLAGS.inactive);
    runner.bind(1, 1, foreign(4n));
    expect(flagsOf(1)).toBe(FLAGS.inactive | FLAGS.unaligned);
    runner.setActive(1, true);
    expect(flagsOf(1)).toBe(FLAGS.unaligned);
    expect(flagsOf(0)).toBe(FLAGS.inactive);
    runner.bind(1, 1, foreign(16n));
    expect(flagsOf(1)).toBe(0);
    expect(runner.report).toMatchObject({ copies: 0, bytes: 0, placements: ["arena", "bound", "arena"] });
  });

  test("more chunks than the device holds blocks are shared out", () => {
    const many = backend.prepare(tablesOf({ sizes: [300_000], phases: [{ kernel: "k" }] }, compile));
    expect(step(many)).toMatchObject({ grid: 8, counts: { count: 19 } });
  });

  test("nothing is launched over no elements", () => {
    const empty = backend.prepare(tablesOf({ sizes: [0, 0], phases: [{ kernel: "k" }] }, compile));
    expect(step(empty)).toBeUndefined();
    const none = backend.prepare(tablesOf({ sizes: [], phases: [{ kernel: "k" }] }, compile));
    expect(step(none)).toBeUndefined();
  });

  test("a tensor that was given back is not stepped on, unless its parameter takes no part", () => {
    runner.setActive(2, true);
    step(runner);
    storages[0]?.[0]?.free();
    step(runner);
    storages[2]?.[1]?.free();
    expect(() => step(runner)).toThrow(disposed('the gradient of "p2" was disposed'));
    runner.setActive(2, false);
    storages[2]?.[2]?.free();
    storages[2]?.[0]?.free();
    step(runner);
    runner.setActive(2, true);
    expect(() => step(runner)).toThrow(disposed('parameter "p2" was disposed'));
    expect(() => runner.bind(2, 0, storages[2]?.[0] as Storage)).toThrow(disposed("given back"));
    expect(kinds(fake.take())).toEqual([]);
  });

  test("another device's tensors are refused", () => {
    const other = new Cuda(new FakeDevice().device).allocate("f32", 7);
    expect(() => runner.bind(1, 0, other)).toThrow(expect.objectContaining({ code: "invalid-parameters" }));
  });

  test("it gives its memory back once, and does nothing after", () => {
    const before = fake.allocated.size;
    runner.dispose();
    runner.dispose();
    expect(fake.allocated.size).toBe(before - 1);
    expect(() => step(runner)).toThrow(disposed("this plan"));
    expect(() => runner.partials(0)).toThrow(expect.objectContaining({ code: "device-memory" }));
  });

  test("its launches are timed one by one", async () => {
    const timer = backend.makeTimer() as MarkTimer;
    expect(await timer.read()).toEqual([]);
    for (let i = 0; i < 2; i++) {
      runner.launch(0, 1, timer);
      runner.submit();
    }
    runner.launch(0, 1);
    runner.submit();
    expect(timer.launches).toBe(2);
    expect(await timer.read()).toEqual([
      { begin: 0, end: 1 },
      { begin: 2, end: 3 },
    ]);
    timer.dispose();
    expect(fake.marks).toBe(0);
  });
});

test("programs have a block of their own, and finish what the phase before left", () => {
  const tables = tablesOf(
    {
      sizes: [5, 6],
      numbers: { gives: ["a", "b"], totals: [{ name: "t", level: "param" }] },
      phases: [
        { kernel: "k0", totals: 2 },
        { programs: "p1", kernel: "k1" },
      ],
    },
    compile,
  );
  const runner = backend.prepare(tables);
  runner.setRows([row(0), row(1)]);
  runner.writeGive("b", 3);
  runner.launch(0, 1);
  runner.runPrograms(1);
  runner.launch(1, 1);
  expect(runner.dispatches).toBe(3);
  runner.submit();
  const [k0, p1, k1] = launches(fake.take());
  expect([k0, p1, k1].map((one) => [one?.text, one?.grid, one?.counts.stride])).toEqual([
    ["k0", 2, 2],
    ["p1", 1, 2],
    ["k1", 2, 0],
  ]);
  expect(fake.at(Float64Array, k0?.scalars as bigint, 3)[2]).toBe(3);
  runner.launch(0, 1);
  expect(runner.dispatches).toBe(1);
});

test("as many threads add up a parameter's shares as it has chunks, up to a block", () => {
  const lanesOf = (sizes: number[]) =>
    step(backend.prepare(tablesOf({ sizes, phases: [{ kernel: "k" }] }, compile))).counts.lanes;
  expect([lanesOf([5]), lanesOf([40_000]), lanesOf([40_000, 5, 5, 5])]).toEqual([1, 4, 2]);
  expect(lanesOf([16384 * 1000])).toBe(PROGRAM_THREADS);
});

describe("hyperparameters on the device", () => {
  const prepare = () =>
    backend.prepare(
      tablesOf(
        { sizes: [5, 5], groups: 2, numbers: { hypers: ["lr", "beta"] }, phases: [{ kernel: "k" }] },
        compile,
      ),
    );
  const scalar = (dtype: "f32" | "f64", value: number) => {
    const storage = backend.allocate(dtype, 1);
    storage.fill(value);
    return storage as Storage & { address: bigint };
  };

  test("are read where they are; doubles are copied beside the numbers of the host", () => {
    const runner = prepare();
    const [single, double] = [scalar("f32", 0.5), scalar("f64", 0.1)];
    const bind = () => {
      runner.bindHyper(0, "lr", single);
      runner.bindHyper(0, "beta", double);
      runner.bindHyper(1, "lr", 3);
      runner.bindHyper(1, "beta", Number.NaN);
    };
    bind();
    const { hypers } = step(runner);
    const [numbers, words] = [fake.at(Float64Array, hypers, 8), fake.at(BigUint64Array, hypers, 8)];
    expect([words[1], words[3], words[5], words[7]]).toEqual([single.address, 0n, 0n, 0n]);
    expect([numbers[2], numbers[4], numbers[6]]).toEqual([0.1, 3, Number.NaN]);
    double.fill(0.2);
    bind();
    fake.take();
    runner.launch(0, 1);
    expect(kinds(fake.take())).toEqual(["upload", "copy", "launch"]);
    expect(numbers[2]).toBe(0.2);
    runner.submit();
    runner.bindHyper(0, "lr", 7);
    runner.bindHyper(0, "beta", 8);
    step(runner);
    expect([numbers[0], words[1], numbers[2], words[3]]).toEqual([7, 0n, 8, 0n]);
  });

  test("that were given back are refused", () => {
    const runner = prepare();
    const lr = scalar("f32", 1);
    lr.free();
    expect(() => runner.bindHyper(0, "lr", lr)).toThrow(disposed("given back"));
  });
});

describe("what the device remembers", () => {
  const prepare = (records: string[], sizes = [5, 5, 5]) =>
    backend.prepare(tablesOf({ sizes, numbers: { records }, phases: [{ programs: "p" }] }, compile));

  test("is told in order, what lies side by side at once", async () => {
    const runner = prepare(["stepcount", "first"]);
    const write = (tensor: number, value: number) => {
      runner.writeRecord(tensor, "stepcount", value);
      runner.writeRecord(tensor, "first", value / 10);
    };
    fake.take();
    for (const tensor of [0, 1, 2]) write(tensor, tensor + 1);
    runner.writeRecord(0, "first", 5);
    expect(await runner.settle()).toEqual([
      { stepcount: 1, first: 5 },
      { stepcount: 2, first: 0.2 },
      { stepcount: 3, first: 0.3 },
    ]);
    expect(kinds(fake.take())).toEqual(["upload", "upload", "download"]);
    write(1, 7);
    fake.kernels.set("p", (params) => {
      const records = fake.at(
        Float64Array,
        params.getBigUint64(8 * ADDRESS_NAMES.indexOf("records"), true),
        6,
      );
      expect([...records]).toEqual([1, 5, 7, 0.7, 3, 0.3]);
      records[2] = 8;
    });
    runner.runPrograms(0);
    runner.submit();
    expect((await runner.settle())[1]).toEqual({ stepcount: 8, first: 0.7 });
  });

  test.each([
    ["the same names", ["a", "b"], ["a", "b"], [5, 5]],
    ["other names", ["c", "b", "a"], ["a", "d", "b"], [5, 5, 5, 5]],
    ["none", ["c"], [], [5]],
    ["more parameters", ["a"], ["a"], Array.from({ length: 100 }, () => 5)],
  ])("is taken over by another plan: %s", async (_, before, after, sizes) => {
    const old = prepare(before);
    before.forEach((name, i) => {
      for (const tensor of [0, 1, 2]) old.writeRecord(tensor, name, 10 * tensor + i + 1);
    });
    const next = prepare(after, sizes);
    if (after.includes("a")) next.writeRecord(0, "a", 99);
    next.inherit(old);
    const told = await old.settle();
    old.dispose();
    const expected = sizes.map((_, tensor) =>
      Object.fromEntries(after.map((name) => [name, told[tensor]?.[name] ?? 0])),
    );
    expect(await next.settle()).toEqual(expected);
  });
});

test("verdicts are heard in order, and before what the device remembers", async () => {
  const runner = backend.prepare(
    tablesOf({ sizes: [5], numbers: { records: ["stepcount"] }, phases: [{ programs: "p" }] }, compile),
  );
  let steps = 0;
  fake.kernels.set("p", (params) => {
    const scalars = params.getBigUint64(8 * ADDRESS_NAMES.indexOf("scalars"), true);
    fake.at(Float64Array, scalars, 1)[COMMIT_AT] = steps++ % 2;
  });
  const heard: boolean[] = [];
  for (let i = 0; i < 4; i++) {
    runner.runPrograms(0);
    runner.submit((committed) => heard.push(committed));
  }
  expect(heard).toEqual([]);
  await runner.settle();
  expect(heard).toEqual([false, true, false, true]);
});

test("a device that is closed refuses what there is to do on it", async () => {
  backend.dispose();
  const refusal = disposed("after dispose()");
  expect(() => backend.check()).toThrow(refusal);
  expect(() => backend.allocate("f32", 1)).toThrow(refusal);
  await expect(backend.finished()).rejects.toThrow(refusal);
});

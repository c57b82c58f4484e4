import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rolldown } from "rolldown";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { compile as assemble } from "watr";
import { emitKernel } from "../../../src/backends/wasm/emit.ts";
import { OwnHeap } from "../../../src/backends/wasm/heap.ts";
import { CONTROL, JOB } from "../../../src/backends/wasm/layout.ts";
import { Pool } from "../../../src/backends/wasm/pool.ts";
import { type WasmPipeline, WasmRunner } from "../../../src/backends/wasm/runner.ts";
import { WasmStorage } from "../../../src/backends/wasm/storage.ts";
import { type Walker, walkerText } from "../../../src/backends/wasm/walker.ts";
import { employ, install, type Workforce } from "../../../src/backends/wasm/workforce.ts";
import { vectorDims } from "../../../src/ir/dims.ts";
import { parseFunc } from "../../../src/ir/parse.ts";
import { ADAMW, ADAMW_LAYOUT, ADD, chunksOf, emitText, layoutOf, NO_DEVICE } from "./run.ts";

const LAYOUT = layoutOf("f32", [], ["param", "grad"]);
const TEXT = emitKernel(parseFunc(ADD), LAYOUT, "default", { shared: true, relaxed: false });
const SIZE = 200_000;

/** What the caller does with a launch, given a real walker and the control block's words. */
type Caller = (walker: Walker, control: number, words: Int32Array) => void;

const pools: Pool[] = [];
afterEach(() => {
  for (const pool of pools.splice(0)) pool.dispose();
});

/** A pool with a caller of our own: what it leaves undone, the workers have to do. */
function poolWith(threads: number, caller: Caller): Workforce & { pool: Pool } {
  const heap = new OwnHeap();
  const { walker } = employ(heap, 1);
  const module = new WebAssembly.Module(assemble(walkerText(true)) as Uint8Array<ArrayBuffer>);
  let isFirst = true;
  const work = (control: number) => {
    if (!isFirst) caller(walker, control, new Int32Array(heap.memory.buffer, control, CONTROL.bytes / 4));
    isFirst = false;
  };
  const pool = new Pool(heap, { kernels: walker.kernels, walk: walker.walk, work }, module, threads);
  pools.push(pool);
  pool.run({ address: heap.allocate(JOB.bytes), spanCount: 0, kernels: 0 }, 1); // workers start with the second launch
  return { heap, walker, pool };
}

/** param += grad over one large tensor of ones. */
function prepareAdd(workforce: Workforce, index = install(workforce, TEXT)) {
  const pipeline: WasmPipeline = { text: TEXT, index };
  const tables = chunksOf([SIZE], 16_384);
  const runner = new WasmRunner(
    {
      ...NO_DEVICE,
      classes: [LAYOUT],
      tensors: [{ name: "w", classIndex: 0, group: 0, elements: SIZE, dims: vectorDims(SIZE) }],
      ...tables,
      phases: [{ pipelines: [pipeline], programs: null, totals: 0 }],
    },
    workforce,
  );
  const { heap } = workforce;
  const [param, grad] = [heap.allocate(4 * SIZE), heap.allocate(4 * SIZE)].map(
    (address) => new WasmStorage(heap, "f32", SIZE, () => address),
  ) as [WasmStorage, WasmStorage];
  param.view().fill(1);
  grad.view().fill(1);
  runner.bind(0, 0, param);
  runner.bind(0, 1, grad);
  return { runner, param, grad, spans: tables.spans.length - 1 };
}

/** Does nothing until others have claimed that many spans. */
function awaitClaims(words: Int32Array, spans: number): void {
  const deadline = performance.now() + 20_000;
  while (Atomics.load(words, CONTROL.claim / 4) < spans)
    if (performance.now() > deadline) throw new Error("nobody claimed the spans");
}

describe("workers", () => {
  test("do a whole launch if the caller is slow, and the next ones awake or asleep", async () => {
    const workforce = poolWith(3, (_walker, _control, words) => awaitClaims(words, 13));
    const { runner, param, spans } = prepareAdd(workforce);
    expect(spans).toBe(13);
    for (let launch = 1; launch <= 5; launch++) {
      runner.launch(0, 3);
      expect(param.view().every((x) => x === 1 + launch)).toBe(true);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
    runner.launch(0, 3);
    expect(param.view().every((x) => x === 7)).toBe(true);
  });

  test("read their mail when a launch needs a kernel they have not got", () => {
    const workforce = poolWith(2, (_walker, _control, words) => awaitClaims(words, 13));
    for (let kernel = 0; kernel < 5; kernel++) {
      install(workforce, TEXT);
      const { runner, param } = prepareAdd(workforce);
      for (let launch = 0; launch < 2; launch++) runner.launch(0, 2);
      expect(param.view().every((x) => x === 3)).toBe(true);
    }
  });

  test("that trap make the launch fail, and the pool goes on", () => {
    const workforce = poolWith(2, (_walker, _control, words) => awaitClaims(words, 13));
    const { runner, param, grad } = prepareAdd(workforce);
    runner.bind(0, 1, new WasmStorage(workforce.heap, "f32", SIZE, () => 0xffff_0000));
    for (let launch = 0; launch < 2; launch++)
      expect(() => runner.launch(0, 2)).toThrow(
        expect.objectContaining({ code: "poisoned", message: expect.stringContaining("on a worker") }),
      );
    runner.bind(0, 1, grad);
    param.view().fill(1);
    runner.launch(0, 2);
    expect(param.view().every((x) => x === 2)).toBe(true);
  });

  test("stay out of a launch that asked for fewer threads or newer kernels", () => {
    const claims: number[] = [];
    const workforce = poolWith(1, (walker, control, words) => {
      for (const thread of [2, 3, 1, 0]) {
        walker.work(control, thread);
        claims.push(Atomics.load(words, CONTROL.claim / 4));
      }
    });
    prepareAdd(workforce);
    const { heap, pool } = workforce;
    const job = heap.allocate(JOB.bytes);
    const rows = heap.allocate(64);
    new Uint32Array(heap.memory.buffer, job, JOB.bytes / 4).set([rows, 16, rows, rows, 4, rows, rows, 0]);
    pool.run({ address: job, spanCount: 4, kernels: 1 }, 2);
    pool.run({ address: job, spanCount: 4, kernels: 1 }, 1);
    pool.run({ address: job, spanCount: 4, kernels: 2 }, 4);
    expect(claims).toEqual([0, 0, 4, 4, 0, 0, 0, 4, 0, 0, 0, 0]);
  });
});

test("a trap on the caller fails the launch too, whoever works", () => {
  const workforce = poolWith(2, (walker, control) => walker.work(control, 0));
  const { runner } = prepareAdd(workforce);
  runner.bind(0, 0, new WasmStorage(workforce.heap, "f32", SIZE, () => 0xffff_0000));
  for (const threads of [1, 2, 2, 1])
    expect(() => runner.launch(0, threads)).toThrow(expect.objectContaining({ code: "poisoned" }));
});

describe("in a process of its own", () => {
  let folder: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "stepjit-wasm-"));
    const input = { wasm: "src/backends/wasm/index.ts", parse: "src/ir/parse.ts" };
    const bundle = await rolldown({ input, platform: "node" });
    await bundle.write({ dir: folder, entryFileNames: "[name].mjs" });
    await bundle.close();
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  function runNode(script: string): { status: number | null; stdout: string; stderr: string } {
    const file = join(folder, "main.mjs");
    const imports = `import { wasm } from "./wasm.mjs"; import { parseFunc } from "./parse.mjs";
      const vectorDims = ${vectorDims};
      const emitText = ${emitText};`;
    const constants = { NO_DEVICE, ADD, LAYOUT, ADAMW, ADAMW_LAYOUT, SIZE, ...chunksOf([SIZE], 16_384) };
    const lines = Object.entries(constants).map(([name, value]) => `const ${name} = ${literal(value)};`);
    writeFileSync(file, [imports, ...lines, script].join("\n"));
    return spawnSync(process.execPath, [file], { timeout: 60_000, encoding: "utf8" });
  }

  test.each([0, 300])("workers do not keep Node alive (idle for %i ms)", (idle) => {
    const { status, stdout, stderr } = runNode(`
      const backend = wasm({ threads: 3 });
      const pipeline = backend.compile(emitText(backend, parseFunc(ADD), LAYOUT));
      const phases = [{ pipelines: [pipeline], programs: null, totals: 0 }];
      const runner = backend.prepare({ ...NO_DEVICE, classes: [LAYOUT], tensors: [{ name: "w", classIndex: 0, group: 0, elements: SIZE, dims: vectorDims(SIZE) }], chunks, spans, phases });
      const storages = [0, 1].map((role) => {
        const storage = backend.allocate("f32", SIZE);
        storage.view().fill(1);
        runner.bind(0, role, storage);
        return storage;
      });
      runner.launch(0, 3);
      await new Promise((resolve) => setTimeout(resolve, ${idle}));
      runner.launch(0, 3);
      console.log(storages[0].view().every((x) => x === 3));`);
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "true\n", stderr: "" });
  });

  test("fast numerics stay close to default ones, on engines with relaxed SIMD", () => {
    const { status, stdout } = runNode(`
      import v8 from "node:v8";
      v8.setFlagsFromString("--experimental-wasm-relaxed-simd");
      const backend = wasm({ threads: 1 });
      const results = ["default", "fast"].map((numerics) => {
        const text = emitText(backend, parseFunc(ADAMW), ADAMW_LAYOUT, numerics);
        const phases = [{ pipelines: [backend.compile(text)], programs: null, totals: 0 }];
        const tables = { chunks: Uint32Array.of(0, 0, 1003, 0), spans: Uint32Array.of(0, 1) };
        const tensors = [{ name: "w", classIndex: 0, group: 0, elements: 1003, dims: vectorDims(1003) }];
        const runner = backend.prepare({ ...NO_DEVICE, classes: [ADAMW_LAYOUT], tensors, ...tables, phases });
        [0.99, 0.1, 0.999, 0.001, 1, 1e-8, 0.01].forEach((x, slot) => runner.writeScalar(0, 0, slot, x));
        const storages = [0, 1, 2, 3].map((role) => {
          const storage = backend.allocate("f32", 1003);
          storage.view().forEach((_, i, view) => { view[i] = ((i % 97) + 1) / (role + 97); });
          runner.bind(0, role, storage);
          return storage;
        });
        runner.launch(0, 1);
        return { text, param: storages[0].view() };
      });
      const [plain, fast] = results;
      const errors = [...plain.param].map((x, i) => Math.abs(x - fast.param[i]));
      // Elements 97 apart hold the same numbers; the last three run one by one.
      const same = [1000, 1001, 1002].every((i) => fast.param[i] === fast.param[i - 97]);
      console.log(JSON.stringify({
        relaxed: backend.target.includes("relaxed"),
        fused: fast.text.includes("relaxed_madd"),
        error: Math.max(...errors),
        same,
      }));`);
    expect(status).toBe(0);
    const { relaxed, fused, error, same } = JSON.parse(stdout);
    expect(fused).toBe(relaxed);
    expect(error).toBeLessThanOrEqual(2e-6);
    expect(same).toBe(true);
  });
});

function literal(value: unknown): string {
  return value instanceof Uint32Array ? `Uint32Array.of(${value})` : JSON.stringify(value);
}

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FreeList, OwnHeap } from "../../../src/backends/wasm/heap.ts";
import { wasm } from "../../../src/backends/wasm/index.ts";
import { ADD, compileText, layoutOf, prepare } from "./run.ts";

const GIB = 2 ** 30;

describe("free list", () => {
  test("ranges in use never overlap, and all of it comes back as one", () => {
    const action = fc.record({
      size: fc.integer({ min: 1, max: 20 }),
      release: fc.boolean(),
      which: fc.nat(),
    });
    fc.assert(
      fc.property(fc.array(action, { maxLength: 100 }), (actions) => {
        const list = new FreeList({ start: 64, end: 64 + 64 * 200 });
        const used: { start: number; end: number }[] = [];
        for (const { size, release, which } of actions) {
          if (release && used.length > 0) {
            const [range] = used.splice(which % used.length, 1);
            list.give(range?.start ?? 0);
            continue;
          }
          const start = list.take(size * 64);
          if (start === undefined) continue;
          const end = start + size * 64;
          expect(used.some((other) => start < other.end && other.start < end)).toBe(false);
          expect(start >= 64 && end <= 64 + 64 * 200).toBe(true);
          used.push({ start, end });
        }
        expect(list.inUse).toBe(used.reduce((sum, { start, end }) => sum + end - start, 0));
        for (const { start } of used) list.give(start);
        expect(list.ranges).toEqual([{ start: 64, end: 64 + 64 * 200 }]);
        expect(list.inUse).toBe(0);
      }),
    );
  });
});

describe("own memory", () => {
  test("is aligned, zero-filled, and zero-filled again when it is reused", () => {
    const heap = new OwnHeap();
    const address = heap.allocate(1000);
    expect(address % 64).toBe(0);
    new Uint8Array(heap.memory.buffer, address, 1000).fill(7);
    heap.free(address);
    expect(heap.allocate(1000)).toBe(address);
    expect(new Uint8Array(heap.memory.buffer, address, 1000).every((byte) => byte === 0)).toBe(true);
  });

  test("views survive growth, and an older buffer is still recognised", () => {
    const backend = wasm({ threads: 1 });
    const storage = backend.allocate("f32", 4);
    const old = storage.view();
    old.set([1, 2, 3, 4]);
    backend.allocate("f32", 64 * 2 ** 20);
    expect(storage.view().buffer).not.toBe(old.buffer);
    expect([...storage.view()]).toEqual([1, 2, 3, 4]);
    expect(storage.view()).toBe(storage.view());
    old[0] = 5;
    expect(storage.view()[0]).toBe(5);
    expect(backend.adopt(old)?.view()[0]).toBe(5);
    expect(backend.adopt(new Float32Array(4))).toBeUndefined();
    expect(backend.owns(storage)).toBe(true);
    expect(wasm({ threads: 1 }).owns(storage)).toBe(false);
  });

  test("freeing adopted memory, or freeing twice, frees nothing", () => {
    const backend = wasm({ threads: 1 });
    const storage = backend.allocate("f32", 16);
    const address = storage.view().byteOffset;
    backend.adopt(storage.view())?.free();
    expect(backend.allocate("f32", 16).view().byteOffset).not.toBe(address);
    storage.free();
    const next = backend.allocate("f32", 16);
    expect(next.view().byteOffset).toBe(address);
    storage.free();
    expect(backend.allocate("f32", 16).view().byteOffset).not.toBe(address);
  });

  test("ends at exactly 4 GiB, kernels included, and says so when it is full", () => {
    const backend = wasm({ threads: 1 });
    const layout = layoutOf("f32", [], ["param", "grad"]);
    const pipeline = compileText(backend, ADD, layout);
    const { runner } = prepare({ backend, layout, sizes: [103], pipelines: [pipeline] });
    const low = backend.allocate("f32", 2 ** 29);
    const start = low.view().byteOffset + 2 * GIB;
    const last = backend.allocate("f32", (4 * GIB - start) / 4);
    const end = backend.adopt(last.view().subarray(-103) as Float32Array) ?? expect.unreachable();
    expect(end.view().byteOffset + 4 * 103).toBe(4 * GIB);
    end.view().fill(2);
    runner.bind(0, 0, end);
    runner.bind(0, 1, end);
    runner.launch(0, 1);
    expect(end.view().every((x) => x === 4)).toBe(true);
    expect(() => backend.allocate("f64", 1000_000)).toThrow(
      expect.objectContaining({
        code: "out-of-memory",
        message: expect.stringMatching(/^8000000 bytes were asked for, \d+ bytes are in use of 4294967296/),
      }),
    );
    last.free();
    expect(backend.allocate("f64", 1000_000).length).toBe(1000_000);
  });
});

/** Another program's memory: it grows by itself, and its malloc is a bump pointer. */
function foreignProgram(shared = false) {
  const memory = new WebAssembly.Memory({ initial: 2, maximum: 100, shared });
  let next = 8;
  const freed: number[] = [];
  const allocate = (bytes: number) => {
    const address = next;
    if (next + bytes > memory.buffer.byteLength) return 0;
    next += bytes + 8;
    return address;
  };
  return { memory, allocate, free: (address: number) => void freed.push(address), freed };
}

describe("foreign memory", () => {
  test.each([false, true])("kernels run inside it (shared: %s)", (shared) => {
    const program = foreignProgram(shared);
    const backend = wasm(program);
    expect(backend.threads > 1).toBe(shared && wasm().threads > 1);
    const layout = layoutOf("f32", [], ["param", "grad"]);
    const pipeline = compileText(backend, ADD, layout);
    const { runner, storages } = prepare({ backend, layout, sizes: [9], pipelines: [pipeline] });
    let address = 100_004;
    const moving = backend.foreignStorage("f32", 9, () => address);
    runner.bind(0, 0, moving);
    storages[0]?.[1]?.view().fill(3);
    for (const place of [100_004, 90_000]) {
      address = place;
      program.memory.grow(1);
      moving.view().fill(1);
      runner.bind(0, 0, moving);
      runner.launch(0, 1);
      expect([...new Float32Array(program.memory.buffer, place, 9)]).toEqual(Array(9).fill(4));
    }
    storages[0]?.[1]?.free();
    expect(program.freed.length).toBe(1);
    backend.dispose();
  });

  test("is full when malloc says so", () => {
    const backend = wasm(foreignProgram());
    expect(() => backend.allocate("f32", 1e6)).toThrow(expect.objectContaining({ code: "out-of-memory" }));
  });

  test("memory, allocate and free go together", () => {
    const { memory } = foreignProgram();
    expect(() => wasm({ memory })).toThrow(expect.objectContaining({ code: "invalid-option" }));
  });
});

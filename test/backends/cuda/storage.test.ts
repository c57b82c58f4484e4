/** Tensors in a device's memory: what is written is read, and nothing is touched that was given back. */
import { beforeEach, describe, expect, test } from "vitest";
import type { FloatArray, SlotRequest } from "../../../src/backends/backend.ts";
import { CudaBackend } from "../../../src/backends/cuda/index.ts";
import { reference } from "../../../src/backends/reference/reference.ts";
import { vectorDims } from "../../../src/ir/dims.ts";
import type { FloatType } from "../../../src/ir/type.ts";
import { FakeDevice } from "./fake-device.ts";

let fake: FakeDevice;
let backend: CudaBackend;
beforeEach(() => {
  fake = new FakeDevice();
  backend = new CudaBackend(fake.device);
});

const disposed = expect.objectContaining({ code: "disposed" });
/** Both are made alike. */
const listOf = (dtype: FloatType) =>
  (dtype === "f32" ? Float32Array : Float64Array) as Float32ArrayConstructor;
const bytesOf = (data: FloatArray) => Buffer.from(data.buffer);
const DTYPES = ["f32", "f64"] as const;

describe.each(DTYPES)("a tensor of %s", (dtype) => {
  const List = listOf(dtype);

  test("is zero at first, then what was written", async () => {
    const storage = backend.allocate(dtype, 1000);
    expect(await storage.read()).toEqual(new List(1000));
    const data = List.from({ length: 1000 }, (_, i) => i / 3);
    storage.write(data);
    data.fill(0);
    expect(await storage.read()).toEqual(List.from({ length: 1000 }, (_, i) => i / 3));
  });

  test("takes numbers of the other dtype and of shared memory", async () => {
    const storage = backend.allocate(dtype, 3);
    storage.write(listOf(dtype === "f32" ? "f64" : "f32").of(0.1, 2, 3));
    expect(await storage.read()).toEqual(List.of(dtype === "f32" ? 0.1 : Math.fround(0.1), 2, 3));
    const shared = new List(new SharedArrayBuffer(3 * List.BYTES_PER_ELEMENT) as never);
    shared.set([4, 5, 6]);
    storage.write(shared);
    expect(await storage.read()).toEqual(List.of(4, 5, 6));
  });

  test.each([0, 1, -0, 0.1, -1e30, Number.NaN])("is filled with %d", async (value) => {
    for (const length of [1, 5, 8192, 8193, 100_000]) {
      const [storage, next] = [backend.allocate(dtype, length), backend.allocate(dtype, 4)];
      storage.fill(value);
      expect(bytesOf(await storage.read()).equals(bytesOf(new List(length).fill(value)))).toBe(true);
      expect(await next.read()).toEqual(new List(4));
    }
  });

  test("takes over another, of the device or of the host", async () => {
    const [one, other] = [backend.allocate(dtype, 3), backend.allocate(dtype, 3)];
    const host = reference().allocate(dtype, 3);
    host.write(List.of(1, 2, 3));
    one.copyFrom(host);
    other.copyFrom(one);
    expect(await other.read()).toEqual(List.of(1, 2, 3));
  });

  test("may have no elements", async () => {
    const [one, other] = [backend.allocate(dtype, 0), backend.allocate(dtype, 0)];
    one.write(new List(0));
    one.fill(1);
    one.copyFrom(other);
    expect(await one.read()).toEqual(new List(0));
    one.free();
  });
});

test("the host does not see its elements", () => {
  const storage = backend.allocate("f32", 3);
  expect(storage.visible).toBe(false);
  expect(() => storage.view()).toThrow(expect.objectContaining({ code: "device-memory" }));
  expect(backend.adopt()).toBeUndefined();
});

test("belongs to one device", () => {
  const other = new CudaBackend(new FakeDevice().device);
  const storage = backend.allocate("f32", 3);
  expect([backend.owns(storage), other.owns(storage), backend.owns(reference().allocate("f32", 3))]).toEqual([
    true,
    false,
    false,
  ]);
});

test("what is done with a tensor that was given back is refused", async () => {
  const [storage, other] = [backend.allocate("f32", 3), backend.allocate("f32", 3)];
  storage.free();
  storage.free();
  fake.take();
  for (const act of [
    () => storage.write(new Float32Array(3)),
    () => storage.fill(0),
    () => storage.fill(1),
    () => storage.copyFrom(other),
    () => other.copyFrom(storage),
  ])
    expect(act).toThrow(disposed);
  await expect(storage.read()).rejects.toThrow(disposed);
  expect(fake.take()).toEqual([]);
  expect(fake.allocated.size).toBe(1);
});

describe("state", () => {
  const request = (length: number, dtype: FloatType = "f32", parameter = 0): SlotRequest => ({
    parameter,
    dtype,
    length,
    overElements: true,
    view: "vector",
    dims: vectorDims(length),
    beside: [],
  });

  test("of all parameters shares an allocation, which goes with the last slot", async () => {
    const slots = backend.allocateState(
      Array.from({ length: 200 }, (_, i) => request(i, i % 2 === 0 ? "f32" : "f64", i)),
    );
    expect(fake.allocated.size).toBe(1);
    slots.forEach((slot, i) => {
      slot.fill(i);
    });
    for (const [i, slot] of slots.entries())
      expect(await slot.read()).toEqual(new (listOf(slot.dtype))(i).fill(i));
    for (const slot of slots.slice(1)) slot.free();
    for (const slot of slots.slice(1)) slot.free();
    expect(fake.allocated.size).toBe(1);
    slots[0]?.free();
    expect(fake.allocated.size).toBe(0);
  });

  test("that is large has allocations of its own", () => {
    const mebibytes = (count: number) => request((count * 2 ** 20) / 4);
    const slots = backend.allocateState([20, 10, 1, 40, 1, 1].map(mebibytes).slice(0, 3));
    expect(fake.allocated.size).toBe(1);
    const more = backend.allocateState([mebibytes(1), mebibytes(30), mebibytes(1)]);
    expect(fake.allocated.size).toBe(2);
    for (const slot of [...slots, ...more]) slot.free();
    backend.allocateState([mebibytes(1), mebibytes(40), mebibytes(1)]);
    expect([...fake.allocated.values()].map((bytes) => bytes / 2 ** 20)).toEqual([1, 40, 1]);
  });

  test("begins at multiples of 256 bytes", () => {
    backend.allocateState([request(1), request(3, "f64"), request(100)]);
    expect([...fake.allocated.values()]).toEqual([256 + 256 + 512]);
  });

  test("for which there is no memory leaves none behind", () => {
    const requests = Array.from({ length: 5 }, () => request((20 * 2 ** 20) / 4));
    expect(() => backend.allocateState(requests)).toThrow(expect.objectContaining({ code: "out-of-memory" }));
    expect(fake.allocated.size).toBe(0);
  });

  test("of no parameter is none", () => expect(backend.allocateState([])).toEqual([]));
});

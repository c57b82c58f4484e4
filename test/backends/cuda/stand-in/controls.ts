/** What the stand-in libcuda lets tests ask and set: see the head of cuda.cpp. */
import koffi from "koffi";
import { standIn } from "./build.ts";

const { libcuda } = standIn();
const library = koffi.load(libcuda);
const count = (name: string): (() => number) => {
  const call = library.func(`uint64_t standin_${name}()`);
  return () => Number(call());
};

export const controls = {
  /** The order of threads and blocks: 0 forwards, 1 backwards, else a random one by this seed. */
  setOrder: library.func("void standin_set_order(uint32_t order)") as (order: number) => void,
  setAttribute: library.func("void standin_set_attribute(int attribute, int value)") as (
    attribute: number,
    value: number,
  ) => void,
  setDevices: library.func("void standin_set_devices(int count)") as (count: number) => void,
  /** A call of this function is to return this code, after so many that go well. */
  fail: library.func("void standin_fail(const char *name, int code, int after)") as (
    name: string,
    code: number,
    after: number,
  ) => void,
  /** As at the start; memory and handles stay. */
  reset: library.func("void standin_reset()") as () => void,
  liveAllocations: count("live_allocations"),
  liveBytes: count("live_bytes"),
  livePinned: count("live_pinned"),
  liveHandles: count("live_handles"),
  /** Work that is queued. */
  pending: count("pending"),
  blocks: count("blocks"),
  launches: count("launches"),
};

/** What the stand-in libcuda lets tests ask and set: see the head of cuda.cpp. It is built when the first is called. */
import koffi, { type LibraryHandle } from "koffi";
import { standIn } from "./build.ts";

let library: LibraryHandle | undefined;

function control<Call extends (...args: never[]) => unknown>(prototype: string): Call {
  let call: ReturnType<LibraryHandle["func"]> | undefined;
  return ((...args: never[]) => {
    library ??= koffi.load(standIn().libcuda);
    call ??= library.func(prototype.replace(" ", " standin_"));
    return call(...args);
  }) as Call;
}

function count(name: string): () => number {
  const call = control<() => number | bigint>(`uint64_t ${name}()`);
  return () => Number(call());
}

export const controls = {
  /** The order of threads and blocks: 0 forwards, 1 backwards, else a random one by this seed. */
  setOrder: control<(order: number) => void>("void set_order(uint32_t order)"),
  /** Of CUdevice_attribute. */
  setAttribute: control<(attribute: number, value: number) => void>(
    "void set_attribute(int attribute, int value)",
  ),
  setDevices: control<(count: number) => void>("void set_devices(int count)"),
  /** A call of this function is to return this code, after so many that go well. */
  fail: control<(name: string, code: number, after: number) => void>(
    "void fail(const char *name, int code, int after)",
  ),
  /** As at the start; memory and handles stay. */
  reset: control<() => void>("void reset()"),
  /** Does so much of what is queued. */
  advance: control<(works: number) => void>("void advance(uint64_t works)"),
  /** What stderr was told last, since the last reset. */
  complaint: control<() => string>("str complaint()"),
  liveAllocations: count("live_allocations"),
  liveBytes: count("live_bytes"),
  livePinned: count("live_pinned"),
  liveHandles: count("live_handles"),
  /** Work that is queued. */
  pending: count("pending"),
  /** That were run. */
  blocks: count("blocks"),
  launches: count("launches"),
};

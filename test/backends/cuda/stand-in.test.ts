/**
 * The stand-ins for libcuda and libnvrtc compute what a GPU would, and find what a GPU would not forgive: each test of a mistake fails
 * where the mistake goes unseen.
 */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import koffi from "koffi";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { sayLeftOut } from "../../left-out.ts";
import { whyNot } from "./stand-in/build.ts";
import { controls } from "./stand-in/controls.ts";
import { LAUNCH, Raw } from "./stand-in/raw.ts";

const NOT_READY = "CUDA_ERROR_NOT_READY";
const SUCCESS = "CUDA_SUCCESS";
/** Forwards, backwards, and by some seeds. */
const ORDERS = [0, 1, 2, 3, 4];
const MULTIPROCESSORS = 16;
const MINOR = 76;
const THREAD_LOCAL = 1;

const kernel = (body: string, before = "") => `${LAUNCH}
${before}
extern "C" __global__ void __launch_bounds__(256) run(const Launch launch) {
  const unsigned i = threadIdx.x;
${body}
}`;

const ADD = kernel(`
  const unsigned at = blockIdx.x * blockDim.x + i;
  if (at < launch.n[0]) launch.at[2][at] = launch.at[0][at] + launch.at[1][at];`);

/** Sums of blocks of 256, in a fixed order. */
const sum = (barrier: string) =>
  kernel(`
  double number = (double)launch.at[0][blockIdx.x * 256u + i];
  for (unsigned delta = 16u; delta > 0u; delta /= 2u) number += __shfl_down_sync(0xffffffffu, number, delta, 32);
  __shared__ double warps[8];
  if (i % 32u == 0u) warps[i / 32u] = number;
  ${barrier}
  if (i == 0u) {
    double total = 0.0;
    for (unsigned warp = 0u; warp < 8u; warp++) total += warps[warp];
    launch.at[1][blockIdx.x] = (float)total;
  }`);

/** What every thread gives for itself. */
const each = (number: string) => kernel(`  launch.at[0][i] = (float)(${number});`);
const threads = Array.from({ length: 256 }, (_, i) => i);

let raw: Raw;

function suite() {
  beforeEach(() => {
    controls.reset();
    raw = new Raw();
  });
  afterEach(() => {
    raw.driver.ask("cuDevicePrimaryCtxRelease_v2", 0);
    controls.reset();
  });

  describe("kernels", () => {
    test.each(ORDERS)("whose last block is not full, in order %i", (order) => {
      controls.setOrder(order);
      const [a, b] = [raw.put(Array.from({ length: 1000 }, (_, i) => i)), raw.put(new Array(1000).fill(0.5))];
      const out = raw.put(new Array(1024).fill(-1));
      expect(raw.launch(raw.kernel(ADD), 4, 256, [a, b, out], [1000])).toBe(SUCCESS);
      const expected = Array.from({ length: 1024 }, (_, i) => (i < 1000 ? i + 0.5 : -1));
      expect(raw.read(out, 1024)).toEqual(expected);
      expect([controls.launches(), controls.blocks()]).toEqual([1, 4]);
    });

    test.each(ORDERS)("with shuffles and a barrier, in order %i", (order) => {
      controls.setOrder(order);
      const numbers = raw.put(Array.from({ length: 768 }, (_, i) => (i % 256) + Math.floor(i / 256)));
      const out = raw.allocate(3);
      raw.launch(raw.kernel(sum("__syncthreads();")), 3, 256, [numbers, out]);
      expect(raw.read(out, 3)).toEqual([32640, 32896, 33152]);
    });

    test("take a struct of 96 bytes as it was at the launch", () => {
      const out = raw.allocate(8);
      const text = kernel("  if (i < 8u) launch.at[7][i] = (float)launch.n[i];");
      raw.launch(raw.kernel(text), 1, 32, [0n, 0n, 0n, 0n, 0n, 0n, 0n, out], [1, 2, 3, 4, 5, 6, 7, 8]);
      expect(raw.read(out, 8)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    });

    const lanes: [string, (i: number) => number][] = [
      ["__shfl_down_sync(~0u, (float)i, 2, 8)", (i) => (i % 8 < 6 ? i + 2 : i)],
      ["__shfl_up_sync(~0u, (double)i, 2, 8)", (i) => (i % 8 >= 2 ? i - 2 : i)],
      ["__shfl_xor_sync(~0u, (int)i, 5)", (i) => i ^ 5],
      ["__shfl_sync(~0u, i, 3, 16)", (i) => Math.floor(i / 16) * 16 + 3],
    ];
    test.each(lanes)("shuffle as CUDA does: %s", (shuffle, expected) => {
      const out = raw.allocate(256);
      raw.launch(raw.kernel(each(shuffle)), 1, 256, [out]);
      expect(raw.read(out, 256)).toEqual(threads.map(expected));
    });

    const functions: [string, number][] = [
      ["(float)min(3u, 5) + (float)max(-1, 2u) + (float)min(-1, 2) + max(1.5f, 2.0f)", 2 ** 32 + 3],
      ["__float_as_uint(1.0f) == 0x3f800000u && __longlong_as_double(__double_as_longlong(2.5)) == 2.5", 1],
      ["__fdividef(1.0f, 4.0f) + rsqrtf(4.0f) + __fmaf_rn(2.0f, 3.0f, 1.0f)", 7.75],
      ["__fdividef(1.0f, 0x1p127f)", 0],
      ["powf(2.0f, 10.0f) + expm1(0.0) + copysignf(3.0f, -1.0f)", 1021],
    ];
    test.each(functions)("know %s", (text, expected) => {
      const out = raw.allocate(256);
      raw.launch(raw.kernel(each(text)), 1, 256, [out]);
      expect(raw.read(out, 1)).toEqual([Math.fround(expected)]);
    });

    test("round products before they are added to", () => {
      const [out, numbers] = [raw.allocate(256), raw.put([1 + 2 ** -12, 1 + 2 ** -11])];
      const text = kernel("  const float* x = launch.at[1]; launch.at[0][i] = x[0] * x[0] - x[1];");
      raw.launch(raw.kernel(text), 1, 256, [out, numbers]);
      expect(raw.read(out, 1)).toEqual([0]); // not 2 ** -24
    });

    test("find what nobody has written", () => {
      const out = raw.allocate(512);
      const shared = "__shared__ float numbers[256];";
      raw.launch(raw.kernel(kernel(`  ${shared} launch.at[0][i] = numbers[i];`)), 1, 256, [out]);
      expect(raw.read(out, 512)).toEqual(new Array(512).fill(Number.NaN));
    });
  });

  describe("mistakes of kernels", () => {
    test("a missing barrier", () => {
      const numbers = raw.put(threads);
      const out = raw.allocate(1);
      const wrong = ORDERS.map((order) => {
        controls.setOrder(order);
        raw.launch(raw.kernel(sum("")), 1, 256, [numbers, out]);
        return raw.read(out, 1)[0];
      }).filter((total) => total !== 32640);
      expect(wrong.length).toBeGreaterThanOrEqual(2);
    });

    test("a missing barrier where memory is used again", () => {
      const text = (barrier: string) =>
        kernel(`
  __shared__ float numbers[256];
  numbers[i] = (float)i;
  __syncthreads();
  const float other = numbers[255u - i];
  ${barrier}
  numbers[i] = -other;
  __syncthreads();
  launch.at[0][i] = numbers[i];`);
      const out = raw.allocate(256);
      const isRight = (barrier: string) =>
        ORDERS.map((order) => {
          controls.setOrder(order);
          raw.launch(raw.kernel(text(barrier)), 1, 256, [out]);
          return raw.read(out, 256).every((number, i) => number === i - 255);
        });
      expect(isRight("__syncthreads();")).toEqual(ORDERS.map(() => true));
      expect(isRight("")).toContain(false);
    });

    const beside: [string, string, RegExp][] = [
      ["behind its end", "launch.at[0][1000u] = 1.0f;", /wrote behind 4000 bytes/],
      ["before its begin", "launch.at[0][-1] = 1.0f;", /wrote before 4000 bytes/],
      ["far behind", "launch.at[0][1024u] = 1.0f;", /run touched byte 4096 of 4000 bytes of device memory/],
      ["far behind, read", "launch.at[0][0] = launch.at[0][1024u];", /run touched byte 4096 of 4000/],
      ["at a null pointer", "launch.at[1][0] = 1.0f;", /run touched 0x0 \(no device memory\)/],
    ];
    test.each(beside)("memory %s", (_, body, complaint) => {
      const memory = raw.allocate(1000);
      raw.launch(raw.kernel(kernel(body)), 1, 1, [memory, 0n]);
      expect(raw.synchronize()).toBe("CUDA_ERROR_ILLEGAL_ADDRESS");
      expect(controls.complaint()).toMatch(complaint);
      // The context is lost, until it is released.
      expect(raw.ask("cuMemFree_v2", memory)).toBe("CUDA_ERROR_ILLEGAL_ADDRESS");
      raw.driver.ask("cuDevicePrimaryCtxRelease_v2", 0);
      raw = new Raw();
      expect(raw.synchronize()).toBe(SUCCESS);
      expect(controls.liveAllocations()).toBe(0);
    });

    test("memory behind its end, read: it is NaN", () => {
      const [memory, out] = [raw.put(new Array(1000).fill(1)), raw.allocate(1)];
      raw.launch(raw.kernel(kernel("launch.at[1][0] = launch.at[0][1000u];")), 1, 1, [memory, out]);
      expect(raw.read(out, 1)).toEqual([Number.NaN]);
    });

    test("memory that was freed", () => {
      const memory = raw.allocate(1000);
      raw.driver.call("cuMemFree_v2", memory);
      raw.launch(raw.kernel(kernel("launch.at[0][5] = 1.0f;")), 1, 1, [memory]);
      expect(raw.synchronize()).toBe("CUDA_ERROR_ILLEGAL_ADDRESS");
      expect(controls.complaint()).toBe("run touched device memory that was freed (4000 bytes)");
    });

    const waits: [string, string, RegExp][] = [
      [
        "a barrier that some do not reach",
        "if (i < 100u) __syncthreads();",
        /100 \(line 5\) threads are at a barrier, .* 156 at their end/,
      ],
      [
        "barriers at two places",
        "if (i < 100u) {\n __syncthreads();\n } else {\n __syncthreads();\n }",
        /256 \(lines 6 to 8\) threads are at a barrier/,
      ],
      [
        "a shuffle that some do not reach",
        "if (i != 3u) __shfl_down_sync(~0u, i, 1);",
        /31 \(line 5\) in a shuffle/,
      ],
      ["a warp's own barrier", "if (i != 3u) __syncwarp();", /31 \(line 5\) in a shuffle/],
      [
        "a shuffle by some lanes",
        "if (i < 16u) __shfl_xor_sync(0xffffu, i, 1);",
        / 16 \(line 5\) in one of some lanes only/,
      ],
    ];
    test.each(waits)("%s", (_, body, complaint) => {
      raw.launch(raw.kernel(kernel(body)), 1, 256, []);
      expect(raw.synchronize()).toBe("CUDA_ERROR_LAUNCH_FAILED");
      expect(controls.complaint()).toMatch(complaint);
    });

    test("a division of integers by zero", () => {
      raw.launch(raw.kernel(kernel("launch.at[0][0] = (float)(i / launch.n[0]);")), 1, 1, [raw.allocate(1)]);
      expect(raw.synchronize()).toBe("CUDA_ERROR_LAUNCH_FAILED");
      expect(controls.complaint()).toMatch(/by zero/);
    });

    test("more threads than the text allows, and none", () => {
      const run = raw.kernel(ADD);
      expect(raw.launch(run, 1, 512, [])).toBe("CUDA_ERROR_INVALID_VALUE");
      expect(raw.launch(run, 0, 256, [])).toBe("CUDA_ERROR_INVALID_VALUE");
    });
  });

  describe("streams", () => {
    test("are as late as they may be: pinned memory is read when a copy is done", () => {
      const [memory, pinned] = [raw.allocate(1), raw.pinned(1)];
      pinned.floats[0] = 1;
      raw.upload(memory, pinned);
      pinned.floats[0] = 2; // too early
      expect(raw.read(memory, 1)).toEqual([2]);
    });

    test("other memory of the host is read at once", () => {
      const [memory, numbers] = [raw.allocate(3), Float32Array.of(1, 2, 3)];
      raw.upload(memory, { address: BigInt(koffi.address(numbers)), floats: numbers });
      expect(controls.pending()).toBe(1);
      numbers.fill(9);
      expect(raw.read(memory, 3)).toEqual([1, 2, 3]);
      expect(controls.pending()).toBe(0);
    });

    test("what is copied to pinned memory is there once it was waited for", () => {
      const [memory, pinned] = [raw.put([7]), raw.pinned(1)];
      raw.download(pinned, memory);
      expect(pinned.floats[0]).toBe(Number.NaN);
      raw.synchronize();
      expect(pinned.floats[0]).toBe(7);
    });

    test("pinned memory that was freed too early", () => {
      const [memory, pinned] = [raw.allocate(1), raw.pinned(1)];
      raw.upload(memory, pinned);
      raw.driver.call("cuMemFreeHost", pinned.address);
      expect(raw.synchronize()).toBe("CUDA_ERROR_ILLEGAL_ADDRESS");
      expect(controls.complaint()).toMatch(/pinned memory that was freed/);
    });

    test("an event is reached after all before it, a little each time it is asked about", () => {
      const event = raw.driver.make("cuEventCreate", 0);
      expect(raw.ask("cuEventQuery", event)).toBe(SUCCESS);
      raw.put([1]);
      raw.driver.call("cuEventRecord", event, raw.stream);
      expect(raw.ask("cuEventQuery", event)).toBe(NOT_READY);
      // Recorded again, it stands for the later place.
      raw.driver.call("cuEventRecord", event, raw.stream);
      expect(raw.ask("cuEventQuery", event)).toBe(NOT_READY);
      expect(raw.ask("cuEventQuery", event)).toBe(NOT_READY);
      expect(raw.ask("cuEventQuery", event)).toBe(SUCCESS);
      controls.advance(1);
      expect(controls.pending()).toBe(0);
    });

    test("elapsed time is that between two events that have one", () => {
      const [from, to, none] = [0, 0, 2].map((flags) => raw.driver.make("cuEventCreate", flags)) as [
        bigint,
        bigint,
        bigint,
      ];
      const out = raw.allocate(256);
      const milliseconds = new Float32Array([-1]);
      raw.driver.call("cuEventRecord", from, raw.stream);
      raw.launch(raw.kernel(each("i")), 1, 256, [out]);
      for (const event of [to, none]) raw.driver.call("cuEventRecord", event, raw.stream);
      expect(raw.ask("cuEventElapsedTime", milliseconds, from, to)).toBe(NOT_READY);
      expect(raw.ask("cuEventSynchronize", to)).toBe(SUCCESS);
      expect(raw.ask("cuEventElapsedTime", milliseconds, from, to)).toBe(SUCCESS);
      expect(milliseconds[0]).toBeGreaterThan(0);
      expect(raw.ask("cuEventElapsedTime", milliseconds, from, none)).toBe("CUDA_ERROR_INVALID_HANDLE");
    });

    test("do not wait for each other", () => {
      const other = raw.driver.make("cuStreamCreate", 1);
      raw.put([1]);
      expect(raw.ask("cuStreamSynchronize", other)).toBe(SUCCESS);
      expect(controls.pending()).toBe(1);
      expect(raw.ask("cuStreamSynchronize", 0n)).toBe(SUCCESS);
    });

    test("device memory is filled and copied, within one allocation", () => {
      const [a, b] = [raw.put([1, 2, 3, 4]), raw.allocate(4)];
      expect(raw.ask("cuMemsetD32Async", b, 0x40000000, 4, raw.stream)).toBe(SUCCESS);
      expect(raw.ask("cuMemcpyDtoDAsync_v2", b + 4n, a, 8, raw.stream)).toBe(SUCCESS);
      expect(raw.read(b, 4)).toEqual([2, 1, 2, 2]);
      raw.ask("cuMemcpyDtoDAsync_v2", b + 4n, a, 16, raw.stream);
      expect(raw.synchronize()).toBe("CUDA_ERROR_ILLEGAL_ADDRESS");
      expect(controls.complaint()).toMatch(/^16 bytes are copied from byte 0 of 16 .* to byte 4 of 16 /);
    });

    test("a fill beside memory", () => {
      raw.ask("cuMemsetD32Async", raw.allocate(4), 0, 5, raw.stream);
      expect(raw.synchronize()).toBe("CUDA_ERROR_ILLEGAL_ADDRESS");
    });
  });

  describe("graphs", () => {
    /** An upload from pinned memory, and out = 2 * it. */
    function captured() {
      const [memory, out, pinned] = [raw.allocate(1), raw.put([0]), raw.pinned(1)];
      const run = raw.kernel(kernel("if (i == 0u) launch.at[1][0] = 2.0f * launch.at[0][0];"));
      raw.synchronize();
      raw.driver.call("cuStreamBeginCapture_v2", raw.stream, THREAD_LOCAL);
      raw.upload(memory, pinned);
      raw.launch(run, 1, 32, [memory, out]);
      return { memory, out, pinned };
    }

    test("are not run when they are captured, but with what pinned memory holds at each launch", () => {
      const { memory, out, pinned } = captured();
      const graph = raw.endCapture();
      const exec = raw.driver.make("cuGraphInstantiateWithFlags", graph, 0);
      raw.driver.call("cuGraphDestroy", graph);
      expect(controls.pending()).toBe(0);
      expect(raw.read(out, 1)).toEqual([0]);
      for (const number of [3, 4]) {
        pinned.floats[0] = number;
        raw.driver.call("cuGraphLaunch", exec, raw.stream);
        expect(raw.read(out, 1)).toEqual([2 * number]);
      }
      raw.driver.call("cuMemFree_v2", memory);
      raw.driver.call("cuGraphLaunch", exec, raw.stream);
      expect(raw.synchronize()).toBe("CUDA_ERROR_ILLEGAL_ADDRESS");
    });

    test.each(["cuMemAlloc_v2", "cuMemHostAlloc", "cuStreamSynchronize", "cuEventQuery"] as const)(
      "are not captured where %s is called meanwhile",
      (name) => {
        const event = raw.driver.make("cuEventCreate", 0);
        captured();
        const args = {
          cuMemAlloc_v2: [new BigUint64Array(1), 4],
          cuMemHostAlloc: [new BigUint64Array(1), 4, 0],
          cuStreamSynchronize: [raw.stream],
          cuEventQuery: [event],
        }[name];
        expect(raw.ask(name, ...args)).toBe("CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED");
        const graph = new BigUint64Array(1);
        expect(raw.ask("cuStreamEndCapture", raw.stream, graph)).toBe(
          "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
        );
        expect(raw.synchronize()).toBe(SUCCESS);
      },
    );

    test("events within are not to be asked about", () => {
      const event = raw.driver.make("cuEventCreate", 0);
      captured();
      raw.driver.call("cuEventRecord", event, raw.stream);
      raw.endCapture();
      expect(raw.ask("cuEventQuery", event)).toBe("CUDA_ERROR_CAPTURED_EVENT");
    });

    test("the default stream is not captured, nor is one twice", () => {
      expect(raw.ask("cuStreamBeginCapture_v2", 0n, 0)).toBe("CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED");
      captured();
      expect(raw.ask("cuStreamBeginCapture_v2", raw.stream, 0)).toBe("CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED");
    });
  });

  describe("handles and memory", () => {
    test("are counted", () => {
      const before = [
        controls.liveAllocations(),
        controls.liveBytes(),
        controls.livePinned(),
        controls.liveHandles(),
      ];
      const [memory, pinned, event] = [raw.allocate(10), raw.pinned(10), raw.driver.make("cuEventCreate", 0)];
      const after = [
        controls.liveAllocations(),
        controls.liveBytes(),
        controls.livePinned(),
        controls.liveHandles(),
      ];
      expect(after.map((count, i) => count - (before[i] as number))).toEqual([1, 40, 1, 1]);
      raw.driver.call("cuMemFree_v2", memory);
      raw.driver.call("cuMemFreeHost", pinned.address);
      raw.driver.call("cuEventDestroy_v2", event);
      expect([
        controls.liveAllocations(),
        controls.liveBytes(),
        controls.livePinned(),
        controls.liveHandles(),
      ]).toEqual(before);
    });

    test("are given back once, and are what they are", () => {
      const [memory, pinned, event] = [raw.allocate(10), raw.pinned(10), raw.driver.make("cuEventCreate", 0)];
      expect(raw.ask("cuMemFree_v2", memory + 4n)).toBe("CUDA_ERROR_INVALID_VALUE");
      expect(raw.ask("cuMemFree_v2", memory)).toBe(SUCCESS);
      expect(raw.ask("cuMemFree_v2", memory)).toBe("CUDA_ERROR_INVALID_VALUE");
      expect(raw.ask("cuMemFreeHost", pinned.address)).toBe(SUCCESS);
      expect(raw.ask("cuMemFreeHost", pinned.address)).toBe("CUDA_ERROR_INVALID_VALUE");
      expect(raw.ask("cuStreamSynchronize", event)).toBe("CUDA_ERROR_INVALID_HANDLE");
      expect(raw.ask("cuEventQuery", event & 0xffffffffn)).toBe("CUDA_ERROR_INVALID_HANDLE");
      expect(raw.ask("cuEventDestroy_v2", event)).toBe(SUCCESS);
      expect(raw.ask("cuEventDestroy_v2", event)).toBe("CUDA_ERROR_INVALID_HANDLE");
    });

    test("are refused without a context", () => {
      const [context, address] = [raw.driver.make("cuDevicePrimaryCtxRetain", 0), new BigUint64Array(1)];
      for (let i = 0; i < 2; i++) raw.driver.call("cuDevicePrimaryCtxRelease_v2", 0);
      expect(raw.ask("cuMemAlloc_v2", address, 4)).toBe("CUDA_ERROR_INVALID_CONTEXT");
      expect(raw.ask("cuCtxSetCurrent", context)).toBe("CUDA_ERROR_INVALID_CONTEXT");
    });

    test("memory has an end", () => {
      const address = new BigUint64Array(1);
      expect(raw.ask("cuMemAlloc_v2", address, 5 * 2 ** 30)).toBe("CUDA_ERROR_OUT_OF_MEMORY");
      expect(raw.ask("cuMemAlloc_v2", address, 0)).toBe("CUDA_ERROR_INVALID_VALUE");
      const [free, total] = [new BigUint64Array(1), new BigUint64Array(1)];
      raw.driver.call("cuMemGetInfo_v2", free, total);
      expect((total[0] as bigint) - (free[0] as bigint)).toBe(BigInt(controls.liveBytes()));
    });

    test("a call fails where a test wants it to", () => {
      controls.fail("cuMemAlloc_v2", 2, 1);
      const address = new BigUint64Array(1);
      const codes = [1, 2, 3].map(() => raw.ask("cuMemAlloc_v2", address, 4));
      expect(codes).toEqual([SUCCESS, "CUDA_ERROR_OUT_OF_MEMORY", SUCCESS]);
    });

    test("devices are as tests want them", () => {
      controls.setDevices(2);
      controls.setAttribute(MULTIPROCESSORS, 7);
      expect(raw.driver.number("cuDeviceGetCount")).toBe(2);
      expect(raw.driver.number("cuDeviceGetAttribute", MULTIPROCESSORS, 1)).toBe(7);
      controls.reset();
      expect(raw.ask("cuDeviceGet", new Int32Array(1), 1)).toBe("CUDA_ERROR_INVALID_DEVICE");
    });
  });

  describe("texts", () => {
    const compileWith =
      (text: string, architecture = "sm_90") =>
      () =>
        raw.nvrtc.compile(text, architecture);

    test("that are wrong are refused, with g++'s words and the text's lines", () => {
      expect(compileWith(kernel("  nothing();"))).toThrow(
        /NVRTC_ERROR_COMPILATION\n(.*\n)*text\.cu:5:3: error: .*nothing/,
      );
    });

    test("find no headers, as with NVRTC", () => {
      expect(compileWith(`#include <cmath>\n${ADD}`)).toThrow(/no include path in which to search for cmath/);
    });

    test("need a kernel", () => {
      expect(compileWith("int x;")).toThrow(/no __global__ function/);
    });

    test("are for one architecture", () => {
      expect(compileWith(ADD, "sm_91")).toThrow(/NVRTC_ERROR_INVALID_OPTION\n.*--gpu-architecture/);
      const load = () => raw.ask("cuModuleLoadData", new BigUint64Array(1), raw.nvrtc.compile(ADD, "sm_86"));
      expect(load()).toBe("CUDA_ERROR_NO_BINARY_FOR_GPU");
      controls.setAttribute(75, 8);
      controls.setAttribute(MINOR, 9);
      expect(load()).toBe(SUCCESS);
      controls.setAttribute(MINOR, 0);
      expect(load()).toBe("CUDA_ERROR_NO_BINARY_FOR_GPU");
    });

    test("cubins are not taken for what they are not", () => {
      expect(raw.ask("cuModuleLoadData", new BigUint64Array(1), new Uint8Array(64))).toBe(
        "CUDA_ERROR_INVALID_IMAGE",
      );
    });

    test("have one name each", () => {
      const module = new BigUint64Array(1);
      raw.driver.call("cuModuleLoadData", module, raw.nvrtc.compile(ADD, "sm_90"));
      expect(raw.ask("cuModuleGetFunction", new BigUint64Array(1), module[0] as bigint, "walk")).toBe(
        "CUDA_ERROR_NOT_FOUND",
      );
      const run = raw.driver.make("cuModuleGetFunction", module[0] as bigint, "run");
      raw.driver.call("cuModuleUnload", module[0] as bigint);
      expect(raw.launch(run, 1, 256, [])).toBe("CUDA_ERROR_INVALID_HANDLE");
    });

    test("are compiled once for all processes", () => {
      const folder = mkdtempSync(join(tmpdir(), "stepjit-texts-"));
      onTestFinished(() => {
        vi.unstubAllEnvs();
        rmSync(folder, { recursive: true });
      });
      vi.stubEnv("STANDIN_CACHE", folder);
      const cubin = compileWith(ADD)();
      expect(readdirSync(folder)).toHaveLength(1);
      vi.stubEnv("PATH", "/nowhere"); // there is no g++
      expect(compileWith(ADD)()).toEqual(cubin);
      expect(compileWith(each("i"))).toThrow(/NVRTC_ERROR_COMPILATION/);
    });
  });
}

const reason = whyNot();
if (reason !== undefined && process.env.CI !== "true") sayLeftOut("stand-in", reason);
describe.skipIf(reason !== undefined && process.env.CI !== "true")("stand-in", suite);

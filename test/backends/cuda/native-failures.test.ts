/** Where calls of the driver fail: they are named, what was taken is given back, and whoever waits hears of it. */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import koffi, { type LibraryHandle } from "koffi";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type Address, Device, type Kernel } from "../../../src/backends/cuda/native/device.ts";
import { Driver } from "../../../src/backends/cuda/native/driver.ts";
import { Graph } from "../../../src/backends/cuda/native/graph.ts";
import { openLibrary } from "../../../src/backends/cuda/native/libraries.ts";
import { describeOnStandIn } from "./cuda.ts";
import { standIn } from "./stand-in/build.ts";
import { controls } from "./stand-in/controls.ts";

/** `to[i] = from[i] + add`, for u32. */
const ADD = `struct Launch { unsigned long long to, from; unsigned count, add; unsigned long long rest[4]; };
extern "C" __global__ void __launch_bounds__(64) stepjit_step(const Launch launch) {
  unsigned* to = (unsigned*)launch.to;
  const unsigned* from = (const unsigned*)launch.from;
  for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < launch.count; i += gridDim.x * blockDim.x) to[i] = from[i] + launch.add;
}
`;

/** Of CUresult. */
const CODES = {
  CUDA_ERROR_INVALID_VALUE: 1,
  CUDA_ERROR_OUT_OF_MEMORY: 2,
  CUDA_ERROR_ILLEGAL_ADDRESS: 700,
  CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES: 701,
  CUDA_ERROR_LAUNCH_FAILED: 719,
} as const;

type Koffi = typeof import("koffi");

/** What was taken and not given back. */
const held = () => ({
  allocations: controls.liveAllocations(),
  pinned: controls.livePinned(),
  handles: controls.liveHandles(),
});

/** More than one ring of pinned slots has. */
const MANY = 40;

const MIB = 2 ** 20;

describeOnStandIn("the driver, where calls fail", () => {
  const opened: Device[] = [];
  const folders: string[] = [];
  let base: ReturnType<typeof held>;

  beforeEach(() => {
    base = held();
  });

  afterEach(() => {
    vi.unstubAllEnvs();
    vi.doUnmock("koffi");
    for (const device of opened.splice(0)) device.close();
    controls.reset();
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
    expect(held()).toEqual(base); // whatever the test was of
  });

  async function open(options?: { index?: number; stream?: bigint }): Promise<Device> {
    const device = await Device.open(options);
    opened.push(device);
    return device;
  }

  function makeFolder(): string {
    const folder = mkdtempSync(join(tmpdir(), "stepjit-"));
    folders.push(folder);
    return folder;
  }

  function fail(name: string, error: keyof typeof CODES, after = 0): void {
    controls.fail(name, CODES[error], after);
  }

  function allocated(device: Device, numbers: readonly number[]): Address {
    const address = device.allocate(4 * numbers.length);
    device.upload(address, bytesOf(numbers));
    return address;
  }

  function add(
    device: Device,
    kernel: Kernel,
    { to, from, count, plus }: { to: Address; from: Address; count: number; plus: number },
  ): void {
    const parameter = new Uint8Array(56);
    new BigUint64Array(parameter.buffer, 0, 2).set([to, from]);
    new Uint32Array(parameter.buffer, 16, 2).set([count, plus]);
    device.launch(kernel, 2, parameter);
    parameter.fill(0xff); // it was read
  }

  describe("libraries", () => {
    test("a file that is no library says so", async () => {
      const file = join(makeFolder(), "libnvrtc.so");
      writeFileSync(file, "not a library at all");
      vi.stubEnv("STEPJIT_LIBNVRTC", file);
      const error = await failureOf(Device.open());
      expect(error).toMatchObject({ code: "unsupported" });
      expect(error.message).toMatch(/libnvrtc\.so: .*(too short|ELF)/);
      expect(error.message).toContain("STEPJIT_LIBNVRTC");
    });

    test.each(["STEPJIT_LIBCUDA", "STEPJIT_LIBNVRTC"])(
      "%s without the functions is named with the first of them",
      async (variable) => {
        const { libcuda, libnvrtc } = standIn();
        const other = variable === "STEPJIT_LIBCUDA" ? libnvrtc : libcuda;
        vi.stubEnv(variable, other);
        const error = await failureOf(Device.open());
        expect(error).toMatchObject({ name: "StepjitError", code: "unsupported" });
        expect(error.message).toContain(other);
        expect(error.message).toContain(variable === "STEPJIT_LIBCUDA" ? "cuInit" : "nvrtcVersion");
      },
    );

    /** Where nothing is, as far as the names go. */
    const wanted = (folder: string) => ({
      what: "a library",
      variable: "STEPJIT_LIBNOTHING",
      names: ["libstepjit-nothing.so.7", "libstepjit-nothing.so"],
      pattern: /^libnothing\.so(\.\d+)*$/,
      folders: [join(folder, "here"), join(folder, "toolkit-*", "lib64")],
    });

    test("all names and folders are listed, with what came of each", () => {
      const folder = makeFolder();
      const file = join(folder, "toolkit-12.4", "lib64", "libnothing.so.12");
      mkdirSync(join(folder, "toolkit-12.4", "lib64"), { recursive: true });
      mkdirSync(join(folder, "here"));
      writeFileSync(file, "");
      const error = failureIn(() => openLibrary(koffi as unknown as Koffi, wanted(folder), () => {}));
      expect(error).toMatchObject({ code: "unsupported" });
      const lines = error.message.split("\n");
      const lineOf = (start: string) => lines.find((line) => line.trim().startsWith(start));
      expect(lineOf("libstepjit-nothing.so.7: ")).toMatch(/No such file/);
      expect(lineOf("libstepjit-nothing.so: ")).toMatch(/No such file/);
      expect(lineOf(file)).toMatch(/too short/);
      expect(lineOf(join(folder, "here"))).toBeDefined();
      expect(lineOf(join(folder, "toolkit-*"))).toBeUndefined(); // there was one
      expect(error.message).toContain("STEPJIT_LIBNOTHING");
    });

    test("folders are looked through, the newest toolkit first", () => {
      const folder = makeFolder();
      for (const [version, contents] of [
        ["9.2", ""],
        ["12.4", standIn().libnvrtc],
        ["11.8", ""],
      ] as const) {
        const lib64 = join(folder, `toolkit-${version}`, "lib64");
        mkdirSync(lib64, { recursive: true });
        const file = join(lib64, "libnothing.so.12");
        if (contents) copyFileSync(contents, file);
        else writeFileSync(file, "");
      }
      const opened: string[] = [];
      const watched = {
        ...koffi,
        load: (path: string) => {
          opened.push(path);
          return koffi.load(path);
        },
      } as unknown as Koffi;
      const load = (library: LibraryHandle) => library.func("int nvrtcVersion(void *major, void *minor)");
      expect(openLibrary(watched, wanted(folder), load)).toBeTypeOf("function");
      expect(opened.filter((path) => path.startsWith("/"))).toEqual([
        join(folder, "toolkit-12.4", "lib64", "libnothing.so.12"),
      ]);
    });

    test("koffi that is not installed is asked for", async () => {
      vi.doMock("koffi", () => {
        throw new Error("Cannot find package 'koffi'");
      });
      const error = await failureOf(Device.open());
      expect(error).toMatchObject({ code: "unsupported" });
      expect(error.message).toContain('install the package "koffi"');
    });
  });

  describe("opening", () => {
    test.each([
      "cuDeviceGet",
      "cuDeviceGetName",
      "cuDeviceGetAttribute",
      "cuDeviceTotalMem_v2",
      "cuDriverGetVersion",
      "cuDevicePrimaryCtxRetain",
      "cuCtxSetCurrent",
      "cuStreamCreate",
    ])("%s that fails is named, and nothing is left behind", async (name) => {
      const before = held();
      fail(name, "CUDA_ERROR_INVALID_VALUE");
      const error = await failureOf(Device.open());
      expect(error).toMatchObject({ name: "StepjitError", code: "device-error" });
      expect(error.message).toContain(`${name} failed: CUDA_ERROR_INVALID_VALUE`);
      expect(held()).toEqual(before);
    });

    test("a stream that was handed in stays", async () => {
      const owner = await open();
      const { handles } = held();
      const guest = await Device.open({ stream: owner.stream });
      expect(guest.stream).toBe(owner.stream);
      guest.close();
      expect(held().handles).toBe(handles);
      await owner.finished();
    });
  });

  describe("memory", () => {
    test("addresses are bigints at multiples of 256", async () => {
      const device = await open();
      const addresses = [1, 255, 256, 257, 0].map((bytes) => device.allocate(bytes));
      for (const address of addresses) {
        expect(address).toBeTypeOf("bigint");
        expect(address % 256n).toBe(0n);
      }
      expect(new Set(addresses).size).toBe(addresses.length);
      for (const address of addresses) device.free(address);
      device.free(addresses[0] as Address); // was given back
      expect(held().allocations).toBe(base.allocations);
    });

    test("too little pinned memory is told with what was asked for, and nothing is left behind", async () => {
      const device = await open();
      const address = device.allocate(64 * MIB);
      const before = held();
      fail("cuMemHostAlloc", "CUDA_ERROR_OUT_OF_MEMORY");
      const error = await failureOf(device.download(address, 64 * MIB));
      expect(error).toMatchObject({ code: "out-of-memory" });
      expect(error.message).toContain(String(64 * MIB));
      expect(held()).toEqual(before);
    });
  });

  test("64-bit results are bigints with all their bits, whatever the address", () => {
    const address = 2n ** 63n + 2n ** 53n + 1n;
    const give = (result: BigUint64Array) => {
      result[0] = address;
      return 0;
    };
    const driver = new Driver({ func: () => give } as unknown as LibraryHandle, () => "");
    expect(driver.make("cuMemAlloc_v2", 1)).toBe(address);
  });

  describe("work", () => {
    test("is done in order; arrays may be changed as soon as they were handed over", async () => {
      const device = await open();
      const kernel = device.compile(ADD);
      const [a, b] = [allocated(device, [1, 2, 3]), device.allocate(12)];
      const first = numbersAt(device, a, 3);
      add(device, kernel, { to: b, from: a, count: 3, plus: 10 });
      const bytes = bytesOf([7, 8, 9]);
      device.upload(a, bytes);
      bytes.fill(0xff);
      const second = numbersAt(device, a, 3);
      device.copy(a, b, 8);
      device.fill(b, 0xdead_beef, 2);
      const [third, fourth] = [numbersAt(device, a, 3), numbersAt(device, b, 3)];
      expect(controls.pending()).toBeGreaterThan(0); // nothing has waited
      const order: number[] = [];
      const all = [first, second, third, fourth];
      for (const [index, one] of all.entries()) void one.then(() => order.push(index));
      expect(await Promise.all(all)).toEqual([
        [1, 2, 3],
        [7, 8, 9],
        [11, 12, 9],
        [0xdead_beef, 0xdead_beef, 13],
      ]);
      expect(order).toEqual([0, 1, 2, 3]);
      expect(device.counts).toEqual({
        launches: 1,
        uploads: 2,
        uploadedBytes: 24,
        graphLaunches: 0,
        waits: 0,
      });
    });

    test("nothing to do is nothing", async () => {
      const device = await open();
      device.upload(0n, new Uint8Array(0));
      device.copy(0n, 0n, 0);
      device.fill(0n, 1, 0);
      expect((await device.download(0n, 0)).byteLength).toBe(0);
      await device.finished();
      expect(device.counts).toMatchObject({ uploads: 0, launches: 0 });
    });

    test("all of what the driver is called for is named where it fails", async () => {
      const device = await open();
      const kernel = device.compile(ADD);
      const address = device.allocate(64);
      const calls: Readonly<Record<string, () => unknown>> = {
        cuCtxSetCurrent: () => device.fill(address, 0, 1),
        cuMemAlloc_v2: () => device.allocate(1),
        cuMemHostAlloc: () => device.upload(address, bytesOf([1])),
        cuMemcpyHtoDAsync_v2: () => device.upload(address, bytesOf([1])),
        cuMemcpyDtoDAsync_v2: () => device.copy(address, address, 4),
        cuMemcpyDtoHAsync_v2: () => device.download(address, 4),
        cuMemsetD32Async: () => device.fill(address, 0, 1),
        cuLaunchKernel: () => add(device, kernel, { to: address, from: address, count: 1, plus: 0 }),
        cuEventCreate: () => device.mark(),
        cuEventRecord: () => device.mark(),
        cuEventQuery: () => device.finished(),
        cuStreamSynchronize: () => device.free(device.allocate(1)),
        cuMemFree_v2: () => device.free(device.allocate(1)),
        cuModuleLoadData: () => device.compile(`${ADD}// another`),
        cuModuleGetFunction: () => device.compile(`${ADD}// another`),
        cuOccupancyMaxActiveBlocksPerMultiprocessor: () => device.compile(`${ADD}// another`),
      };
      for (const [name, call] of Object.entries(calls)) {
        fail(name, "CUDA_ERROR_INVALID_VALUE");
        const error = await failureOf((async () => call())());
        expect(error, name).toMatchObject({ name: "StepjitError", code: "device-error" });
        expect(error.message).toContain(`${name} failed: CUDA_ERROR_INVALID_VALUE`);
        device.check(); // this was of one call only
      }
      await device.finished();
    });

    test("a code without a name is given as a number", async () => {
      const device = await open();
      controls.fail("cuMemAlloc_v2", 12345, 0);
      expect(failureIn(() => device.allocate(1)).message).toContain("cuMemAlloc_v2 failed: CUresult 12345");
    });

    test("times are between marks, and marks are given back", async () => {
      const device = await open();
      const { handles } = held();
      const [begin, end] = [device.mark(), device.mark()];
      expect(await device.elapsed(begin, end)).toBeGreaterThanOrEqual(0);
      fail("cuEventElapsedTime", "CUDA_ERROR_INVALID_VALUE");
      expect((await failureOf(device.elapsed(begin, end))).message).toContain("cuEventElapsedTime failed");
      begin.dispose();
      begin.dispose();
      expect(held().handles).toBe(handles + 1);
      device.close();
      end.dispose(); // the driver has it back already
      expect(held().handles).toBe(base.handles);
    });
  });

  describe("pinned memory", () => {
    test("is used again, and the host waits where all of it is on its way", async () => {
      const device = await open();
      const addresses = Array.from({ length: MANY }, (_, i) => allocated(device, [i, i + 1]));
      const { waits } = device.counts;
      expect(waits).toBeGreaterThan(0);
      const { pinned } = held();
      expect(pinned).toBeLessThan(MANY);
      await device.finished();
      for (const address of addresses) {
        device.upload(address, bytesOf([5, 6]));
        await device.finished();
      }
      expect(device.counts.waits).toBe(waits); // nothing was on its way
      expect(held().pinned).toBe(pinned);
      expect(await numbersAt(device, addresses[MANY - 1] as Address, 2)).toEqual([5, 6]);
    });
  });

  describe("a context that is broken", () => {
    test.each(["CUDA_ERROR_ILLEGAL_ADDRESS", "CUDA_ERROR_LAUNCH_FAILED"] as const)(
      "%s ends all, with what to do",
      async (name) => {
        const device = await open();
        const kernel = device.compile(ADD);
        const address = device.allocate(4);
        const mark = device.mark();
        const graph = new Graph(device);
        graph.run(() => device.fill(address, 0, 1));
        fail("cuLaunchKernel", name);
        const launch = () => add(device, kernel, { to: address, from: address, count: 1, plus: 1 });
        const error = failureIn(launch);
        expect(error).toMatchObject({ code: "device-error" });
        expect(error.message).toContain(`cuLaunchKernel failed: ${name}`);
        expect(error.message).toMatch(/new process.*state dict/s);
        const calls = [
          () => device.check(),
          () => device.allocate(1),
          () => device.compile(ADD),
          () => device.upload(address, bytesOf([1])),
          () => graph.run(() => device.fill(address, 0, 1)),
          () => device.mark(),
          launch,
        ];
        for (const call of calls) expect(failureIn(call)).toBe(error);
        expect(await failureOf(device.finished())).toBe(error);
        expect(await failureOf(device.download(address, 4))).toBe(error);
        device.free(address); // these are silent: all has gone
        mark.dispose();
        graph.dispose();
        device.close();
        expect(failureIn(() => device.check())).toMatchObject({ code: "disposed" });
      },
    );

    test("is found when work is waited for", async () => {
      const device = await open();
      const address = device.allocate(4);
      device.fill(address + 4096n, 0, 1);
      const download = failureOf(device.download(address, 4));
      const error = await failureOf(device.finished());
      expect(error.message).toContain("CUDA_ERROR_ILLEGAL_ADDRESS");
      expect(await download).toBe(error);
      expect(failureIn(() => device.check())).toBe(error);
    });

    test("can be closed, even where nobody has heard of it", async () => {
      const device = await open();
      const address = allocated(device, [1]);
      device.fill(address + 4096n, 0, 1);
      device.close();
      expect(failureIn(() => device.check())).toMatchObject({ code: "disposed" });
    });

    test("is not one where a launch asked for too much", async () => {
      const device = await open();
      const kernel = device.compile(ADD);
      const address = allocated(device, [4]);
      fail("cuLaunchKernel", "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES");
      const launch = () => add(device, kernel, { to: address, from: address, count: 1, plus: 1 });
      expect(failureIn(launch).message).toContain("CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES");
      launch();
      expect(await numbersAt(device, address, 1)).toEqual([5]);
    });
  });

  describe("graphs", () => {
    interface Stage {
      readonly device: Device;
      readonly kernel: Kernel;
      readonly graph: Graph;
      readonly from: Address;
      readonly to: Address;
    }

    async function stage(): Promise<Stage> {
      const device = await open();
      const kernel = device.compile(ADD);
      return { device, kernel, graph: new Graph(device), from: device.allocate(8), to: device.allocate(8) };
    }

    /** `[a, b]` come out with `plus` added. */
    function run(
      { device, kernel, graph, from, to }: Stage,
      numbers: readonly number[],
      plus = 1,
    ): Promise<number[]> {
      let result: Promise<number[]> | undefined;
      graph.run(() => {
        device.upload(from, bytesOf(numbers));
        add(device, kernel, { to, from, count: numbers.length, plus });
        device.copy(from, to, 4);
        device.fill(to + 4n, 7, 1);
        result = numbersAt(device, to, 2);
      });
      return result as Promise<number[]>;
    }

    test("are captured once and launched with what is uploaded each time", async () => {
      const at = await stage();
      expect(await run(at, [5, 0])).toEqual([6, 7]);
      expect(at.graph.captures).toBe(0); // it may not come again
      const { pinned } = held();
      for (const first of [1, 20, 300, 4000]) expect(await run(at, [first, 0])).toEqual([first + 1, 7]);
      expect(at.graph.captures).toBe(1);
      expect(at.device.counts.graphLaunches).toBe(4);
      expect(held().pinned).toBe(pinned + 3); // an upload's, a download's, and the end's
      expect(await numbersAt(at.device, at.from, 1)).toEqual([4001]);
    });

    test("that are on their way keep what was uploaded, and what was read", async () => {
      const at = await stage();
      await run(at, [0, 0]);
      const { handles } = held();
      const runs = Array.from({ length: MANY }, (_, i) => run(at, [i, 0]));
      expect(at.graph.captures).toBe(1);
      expect(at.device.counts.waits).toBeGreaterThan(0); // no more memory than for a few
      expect(held().handles - handles).toBeLessThan(MANY);
      expect(await Promise.all(runs)).toEqual(runs.map((_, i) => [i + 1, 7]));
    });

    test("are captured anew where anything else is different, and the old ones are given back", async () => {
      const at = await stage();
      const twice = async (numbers: readonly number[], plus?: number) => {
        await run(at, numbers, plus);
        return run(at, numbers, plus);
      };
      expect(await twice([1, 2])).toEqual([2, 7]);
      const before = held();
      expect(await twice([1, 2], 5)).toEqual([6, 7]); // another parameter
      expect(at.graph.captures).toBe(2);
      expect(held()).toEqual(before);
      expect(await twice([3], 5)).toEqual([8, 7]); // other bytes
      expect(at.graph.captures).toBe(3);
      const fill = (word: number) => at.graph.run(() => at.device.fill(at.to, word, 1));
      for (const word of [1, 1, 2, 2, 2]) fill(word);
      expect(at.graph.captures).toBe(5);
      at.graph.run(() => {}); // changes nothing
      fill(2);
      expect(at.graph.captures).toBe(5);
      expect(await numbersAt(at.device, at.to, 1)).toEqual([2]);
      at.graph.dispose();
      at.graph.dispose();
      expect(await twice([1, 2])).toEqual([2, 7]); // it is only forgotten
    });

    test("come after what was enqueued before, and before what is enqueued after", async () => {
      const at = await stage();
      await run(at, [0, 0]);
      at.device.upload(at.to, bytesOf([50, 60]));
      const before = numbersAt(at.device, at.to, 2);
      const within = run(at, [1, 2]);
      at.device.fill(at.to, 9, 2);
      expect(await Promise.all([before, within, numbersAt(at.device, at.to, 2)])).toEqual([
        [50, 60],
        [2, 7],
        [9, 9],
      ]);
    });

    test("give memory back only once they were launched", async () => {
      const at = await stage();
      const { allocations } = held();
      const copy = () => {
        const scratch = at.device.allocate(8);
        at.device.fill(scratch, 3, 2);
        at.device.copy(at.to, scratch, 8);
        at.device.free(scratch);
        expect(held().allocations).toBe(allocations + 1);
      };
      at.graph.run(copy);
      at.graph.run(copy);
      expect(held().allocations).toBe(allocations);
      at.graph.run(() => at.device.free(at.device.allocate(8)));
      expect(held().allocations).toBe(allocations);
      expect(await numbersAt(at.device, at.to, 2)).toEqual([3, 3]);
    });

    test("compile within", async () => {
      const { device, graph, from, to } = await stage();
      device.upload(from, bytesOf([1]));
      graph.run(() => add(device, device.compile(`${ADD}// within`), { to, from, count: 1, plus: 2 }));
      expect(await numbersAt(device, to, 1)).toEqual([3]);
    });

    test("know no graphs, no marks and no waiting within", async () => {
      const { device, graph } = await stage();
      expect(failureIn(() => graph.run(() => graph.run(() => {})))).toMatchObject({ code: "unsupported" });
      expect(failureIn(() => graph.run(() => void device.mark()))).toMatchObject({ code: "unsupported" });
      let finished: Promise<void> | undefined;
      graph.run(() => {
        finished = device.finished();
        finished.catch(() => {});
      });
      expect(await failureOf(finished as Promise<void>)).toMatchObject({ code: "unsupported" });
      await device.finished();
    });

    test("whose work throws do what was asked for until then, and throw", async () => {
      const at = await stage();
      let read: Promise<number[]> | undefined;
      const work = () => {
        at.device.upload(at.to, bytesOf([1, 2]));
        read = numbersAt(at.device, at.to, 2);
        throw new RangeError("of the caller's");
      };
      expect(() => at.graph.run(work)).toThrow("of the caller's");
      expect(await read).toEqual([1, 2]);
      await run(at, [0, 0]);
      expect(await run(at, [1, 2])).toEqual([2, 7]);
      expect(at.graph.captures).toBe(1);
    });

    test.each([
      "cuMemHostAlloc",
      "cuEventCreate",
      "cuStreamBeginCapture_v2",
      "cuMemcpyHtoDAsync_v2",
      "cuLaunchKernel",
      "cuMemcpyDtoHAsync_v2",
      "cuStreamEndCapture",
      "cuGraphInstantiateWithFlags",
      "cuGraphLaunch",
    ])(
      "that cannot be made since %s fails do their work without, throw, and leave nothing behind",
      async (name) => {
        const at = await stage();
        let result: Promise<number[]> | undefined;
        const once = (a: number, b: number) =>
          at.graph.run(() => {
            at.device.upload(at.from, bytesOf([a, b]));
            add(at.device, at.kernel, { to: at.to, from: at.from, count: 2, plus: 1 });
            result = numbersAt(at.device, at.to, 2);
          });
        once(1, 2);
        for (let i = 0; i < MANY; i++) at.device.upload(at.to, bytesOf([i])); // now all slots are there
        await at.device.finished();
        await result;
        const before = held();
        fail(name, "CUDA_ERROR_INVALID_VALUE");
        const error = failureIn(() => once(10, 20));
        expect(error.message).toContain(`${name} failed: CUDA_ERROR_INVALID_VALUE`);
        expect(await result).toEqual([11, 21]);
        const { captures } = at.graph;
        at.graph.dispose();
        expect(held()).toEqual(before);
        for (const first of [30, 40]) {
          once(first, 0); // the stream is none the worse
          expect(await result).toEqual([first + 1, 1]);
        }
        expect(at.graph.captures).toBe(captures + 1);
      },
    );

    test.each(["cuGraphLaunch", "cuEventRecord"])(
      "that are lost with the device by %s say so to whoever reads",
      async (name) => {
        const at = await stage();
        let result: Promise<unknown> | undefined;
        const once = () =>
          at.graph.run(() => {
            at.device.fill(at.to, 1, 1);
            result = failureOf(at.device.download(at.to, 4)).catch(() => {});
          });
        once();
        await result;
        fail(name, "CUDA_ERROR_ILLEGAL_ADDRESS");
        const error = failureIn(once);
        expect(error).toMatchObject({ code: "device-error" });
        expect(await result).toBe(error);
      },
    );
  });

  describe("closing", () => {
    test("waits for what is queued and gives everything back", async () => {
      const device = await open();
      const kernel = device.compile(ADD);
      const [a, b] = [allocated(device, [1, 2]), device.allocate(6 * MIB)];
      const graph = new Graph(device);
      for (let i = 0; i < 2; i++)
        graph.run(() => {
          device.upload(a, bytesOf([3, 4]));
          add(device, kernel, { to: a, from: a, count: 2, plus: 1 });
        });
      device.mark();
      const [small, large] = [numbersAt(device, a, 2), device.download(b, 6 * MIB)];
      const within = new Graph(device);
      let last: Promise<number[]> | undefined;
      for (let i = 0; i < 2; i++)
        within.run(() => {
          last = numbersAt(device, a, 1);
        });
      device.close();
      expect(controls.pending()).toBe(0);
      expect(held()).toEqual(base);
      expect([await small, (await large).byteLength, await last]).toEqual([[4, 5], 6 * MIB, [4]]);
      device.close();
      graph.dispose();
      device.free(a);
      expect(held()).toEqual(base);
    });

    test("ends all else", async () => {
      const device = await open();
      const kernel = device.compile(ADD);
      const graph = new Graph(device);
      device.close();
      const calls = [
        () => device.check(),
        () => device.allocate(1),
        () => device.compile(ADD),
        () => device.upload(0n, bytesOf([1])),
        () => device.copy(0n, 0n, 1),
        () => device.fill(0n, 0, 1),
        () => add(device, kernel, { to: 0n, from: 0n, count: 0, plus: 0 }),
        () => device.mark(),
        () => graph.run(() => device.fill(0n, 0, 1)),
      ];
      for (const call of calls) expect(failureIn(call), String(call)).toMatchObject({ code: "disposed" });
      expect(await failureOf(device.finished())).toMatchObject({ code: "disposed" });
      expect(await failureOf(device.download(0n, 4))).toMatchObject({ code: "disposed" });
    });
  });
});

function bytesOf(numbers: readonly number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(numbers).buffer);
}

/** u32s of device memory, as they are at this point of the stream. */
async function numbersAt(device: Device, address: Address, count: number): Promise<number[]> {
  return [...new Uint32Array(await device.download(address, 4 * count))];
}

async function failureOf(promise: Promise<unknown>): Promise<Error> {
  return promise.then(
    () => expect.unreachable("it went well"),
    (error: Error) => error,
  );
}

function failureIn(work: () => unknown): Error {
  try {
    work();
  } catch (error) {
    return error as Error;
  }
  return expect.unreachable("it went well");
}

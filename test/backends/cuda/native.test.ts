/** What the driver's calls come to: errors by name, memory that is given back, cubins that are kept. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Device } from "../../../src/backends/cuda/native/device.ts";
import { NVRTC, openLibrary } from "../../../src/backends/cuda/native/libraries.ts";
import { cuda } from "../../../src/cuda.ts";
import { describeOnStandIn, testCuda } from "./cuda.ts";
import { controls } from "./stand-in/controls.ts";

const TEXT = [
  "struct Launch { float* at; unsigned long long pad[3]; };",
  'extern "C" __global__ void __launch_bounds__(32) stepjit_step(const Launch launch) {',
  "launch.at[threadIdx.x] += 1.0f;",
  "}",
].join("\n");

const error = (code: string, ...parts: readonly string[]) =>
  expect.objectContaining({
    code,
    message: expect.stringMatching(new RegExp(parts.map((part) => `(?=[^]*${part})`).join(""))),
  });

describe("libraries", () => {
  const nowhere = {
    load(path: string) {
      throw new Error(`${path}: cannot open shared object file`);
    },
  } as never;

  test("that are not there are told with all that was tried", () => {
    vi.stubEnv("STEPJIT_LIBNVRTC", undefined);
    expect(() => openLibrary(nowhere, NVRTC, () => {})).toThrow(
      error("unsupported", "NVRTC", "libnvrtc.so.12", "/usr/local/cuda/lib64", "Set STEPJIT_LIBNVRTC"),
    );
    vi.unstubAllEnvs();
  });

  test("that are named are the only ones that are tried", () => {
    vi.stubEnv("STEPJIT_LIBNVRTC", "/nowhere/libnvrtc.so");
    expect(() => openLibrary(nowhere, NVRTC, () => {})).toThrow(
      error("unsupported", "/nowhere/libnvrtc.so: .*cannot open"),
    );
    expect(() => openLibrary(nowhere, NVRTC, () => {})).not.toThrow(/usr/);
    vi.unstubAllEnvs();
  });

  test("are told of by cuda()", async () => {
    vi.stubEnv("STEPJIT_LIBCUDA", "/nowhere/libcuda.so");
    await expect(cuda()).rejects.toEqual(error("unsupported", "driver's library", "/nowhere/libcuda.so"));
    vi.unstubAllEnvs();
  });
});

describeOnStandIn("the driver", () => {
  let device: Device;
  beforeEach(async () => {
    ({ device } = await testCuda());
  });
  afterEach(() => {
    device.close();
    controls.reset();
    vi.unstubAllEnvs();
  });

  const launch = (at: bigint) =>
    device.launch(device.compile(TEXT), 1, new Uint8Array(BigUint64Array.of(at, 0n, 0n, 0n).buffer));

  test("says what GPU it is", () => {
    expect(device).toMatchObject({ name: "Stand-in GPU", architecture: "sm_90", multiprocessors: 2 });
  });

  test("without a GPU is unsupported, and so is a GPU that is not there", async () => {
    await expect(cuda({ device: 3 })).rejects.toEqual(error("unsupported", "no GPU 3", "knows 1"));
    controls.setDevices(0);
    await expect(cuda()).rejects.toEqual(error("unsupported", "CUDA_ERROR_NO_DEVICE"));
  });

  test("without memory says how much was asked for, and goes on", async () => {
    expect(() => device.allocate(2 ** 33)).toThrow(error("out-of-memory", "8589934592 bytes", "are free"));
    const at = device.allocate(128);
    device.fill(at, 0, 32);
    launch(at);
    expect(new Float32Array(await device.download(at, 8))).toEqual(Float32Array.of(1, 1));
  });

  test.each([
    ["cuLaunchKernel", 719, "CUDA_ERROR_LAUNCH_FAILED"],
    ["cuEventQuery", 700, "CUDA_ERROR_ILLEGAL_ADDRESS"],
  ])("where %s breaks the context, all that comes later says so", async (name, code, message) => {
    const at = device.allocate(128);
    controls.fail(name, code, 0);
    const failed = expect.objectContaining({
      code: "device-error",
      message: expect.stringContaining(message),
    });
    const use = async () => {
      launch(at);
      await device.finished();
    };
    await expect(use()).rejects.toEqual(failed);
    expect(() => device.check()).toThrow(failed);
    expect(() => device.allocate(1)).toThrow(failed);
    await expect(device.finished()).rejects.toEqual(failed);
  });

  test("that refuses a call is no broken one", () => {
    controls.fail("cuMemsetD32Async", 1, 0);
    const at = device.allocate(4);
    expect(() => device.fill(at, 0, 1)).toThrow(
      error("device-error", "cuMemsetD32Async failed: CUDA_ERROR_INVALID_VALUE"),
    );
    expect(() => device.fill(at, 0, 1)).not.toThrow();
  });

  test("too old for NVRTC's cubins is told apart", () => {
    controls.fail("cuModuleLoadData", 209, 0);
    expect(() => device.compile(TEXT)).toThrow(error("unsupported", "update the driver", "STEPJIT_LIBNVRTC"));
  });

  test("gives addresses as bigint, whatever their size", () => {
    expect(typeof device.allocate(4)).toBe("bigint");
    expect(typeof device.stream).toBe("bigint");
  });

  test("gets everything back", async () => {
    device.close();
    const before = [controls.liveAllocations(), controls.livePinned(), controls.liveHandles()];
    ({ device } = await testCuda());
    const at = device.allocate(1 << 20);
    for (let i = 0; i < 30; i++) device.upload(at, new Uint8Array(100_000));
    launch(at);
    device.download(at, 8 << 16).catch(() => {}); // nobody gets it any more
    device.mark();
    device.close();
    device.close();
    expect([controls.liveAllocations(), controls.livePinned(), controls.liveHandles()]).toEqual(before);
    expect(() => device.check()).toThrow(error("disposed"));
  });

  test("copies from a slot before it is used again", async () => {
    const pieces = 40;
    const at = device.allocate(4096 * pieces);
    for (let i = 0; i < pieces; i++) device.upload(at + BigInt(4096 * i), new Uint8Array(4096).fill(i));
    expect(device.counts.waits).toBeGreaterThan(0);
    const bytes = new Uint8Array(await device.download(at, 4096 * pieces));
    expect(Array.from({ length: pieces }, (_, i) => bytes[4096 * i + 4095])).toEqual([
      ...Array(pieces).keys(),
    ]);
  });

  test("uploads what is longer than a slot in pieces, and downloads it whole", async () => {
    const bytes = new Uint8Array(9 << 20).map((_, i) => i % 251);
    const at = device.allocate(bytes.length);
    device.upload(at, bytes);
    expect(device.counts.uploads).toBe(3);
    expect(Buffer.compare(new Uint8Array(await device.download(at, bytes.length)), bytes)).toBe(0);
  });

  test("is asked by others in between: each download has its own time", async () => {
    const at = device.allocate(4);
    const downloads = [1, 2, 3].map((word) => {
      device.fill(at, word, 1);
      return device.download(at, 4);
    });
    device.fill(at, 9, 1);
    expect((await Promise.all(downloads)).map((bytes) => new Uint32Array(bytes)[0])).toEqual([1, 2, 3]);
  });
});

describeOnStandIn("cubins", () => {
  let folder: string;
  let device: Device;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "stepjit-cubins-"));
    vi.stubEnv("STEPJIT_CACHE_DIR", folder);
    ({ device } = await testCuda());
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true });
  });

  /** Another process would start with nothing in memory. */
  const again = async () => {
    ({ device } = await testCuda());
    return device.compile(TEXT);
  };
  const file = () => join(folder, readdirSync(folder)[0] as string);

  test("are kept by text", async () => {
    device.compile(TEXT);
    device.compile(TEXT);
    expect(readdirSync(folder)).toHaveLength(1);
    device.compile(TEXT.replace("1.0f", "2.0f"));
    expect(readdirSync(folder)).toHaveLength(2);
  });

  test("are found again: the compiler is not asked", async () => {
    device.compile(TEXT);
    vi.stubEnv("STANDIN_CACHE", undefined);
    vi.stubEnv("PATH", "/nowhere"); // it finds no g++
    expect((await again()).threads).toBe(32);
    expect(() => device.compile(TEXT.replace("1.0f", "2.0f"))).toThrow(/NVRTC_ERROR_COMPILATION/);
  });

  test("for another architecture are others", async () => {
    device.compile(TEXT);
    controls.setAttribute(75, 8);
    await again();
    controls.reset();
    expect(readdirSync(folder)).toHaveLength(2);
  });

  test.each(["", "x", "cut"])("that are damaged are made anew: %j", async (how) => {
    device.compile(TEXT);
    const sound = readFileSync(file());
    writeFileSync(file(), how === "cut" ? sound.subarray(0, sound.length - 5) : how);
    await again();
    expect(readFileSync(file()).equals(sound)).toBe(true);
  });

  test("that cannot be written are no failure", async () => {
    vi.stubEnv("STEPJIT_CACHE_DIR", join(folder, "file", "under"));
    writeFileSync(join(folder, "file"), "");
    expect((await again()).threads).toBe(32);
    expect(existsSync(join(folder, "file", "under"))).toBe(false);
  });

  test("a text that does not compile is told with what the compiler says", () => {
    expect(() => device.compile(TEXT.replace("launch.at", "nothing.at"))).toThrow(
      error("device-error", "NVRTC_ERROR_COMPILATION", "text.cu:3", "nothing"),
    );
    expect(readdirSync(folder)).toHaveLength(0);
  });
});

/** Tests that need CUDA: an NVIDIA GPU, or the stand-in for its driver and compiler, which computes on the CPU. */
import { afterAll, beforeAll, describe } from "vitest";
import { type Cuda, type CudaOptions, cuda } from "../../../src/cuda.ts";
import { sayLeftOut } from "../../left-out.ts";
import { isStandIn, standIn, whyNot } from "./stand-in/build.ts";

/** Why there is neither, if so. */
const missing = await find();
const opened: Cuda[] = [];

/** Libraries that are named by the environment are taken; else the machine's own, where they find a GPU; else the stand-in. */
async function find(): Promise<string | undefined> {
  const failure = await cuda().then(
    (gpu) => gpu.dispose(),
    (error: Error) => error,
  );
  if (!failure) return undefined;
  if (process.env.STEPJIT_LIBCUDA) return failure.message;
  const reason = whyNot();
  if (reason === undefined) standIn();
  return reason;
}

/** A describe whose tests compute by CUDA. Where they cannot they are skipped, and stderr says so; where CI=true they fail instead. */
export function describeOnCuda(name: string, tests: () => void): void {
  if (missing !== undefined && process.env.CI !== "true") {
    sayLeftOut(name, missing);
    describe.skip(name, tests);
    return;
  }
  describe(name, () => {
    beforeAll(() => {
      if (missing !== undefined) throw new Error(missing);
    });
    tests();
  });
}

/** A describe of tests that set the stand-in to something. On a machine with a GPU they are left out, which is said. */
export function describeOnStandIn(name: string, tests: () => void): void {
  if (missing === undefined && !isStandIn()) {
    sayLeftOut(name, "there is a GPU: these tests are of the stand-in for one");
    describe.skip(name, tests);
  } else describeOnCuda(name, tests);
}

/** The same for tests that are no describe of their own. */
export function isCudaOffered(name: string): boolean {
  if (missing === undefined) return true;
  if (process.env.CI === "true") throw new Error(missing);
  sayLeftOut(name, missing);
  return false;
}

/** A new one each time, on a device of its own; it is disposed of when the tests of the file are done. */
export async function testCuda(options?: CudaOptions): Promise<Cuda> {
  const gpu = await cuda(options);
  opened.push(gpu);
  return gpu;
}

afterAll(() => {
  for (const gpu of opened.splice(0)) gpu.dispose();
});

/**
 * CUDA's own compiler takes every optimizer's texts, and puts all that their threads work on into registers: what is spilled to memory
 * is moved twice more. Texts of one optimizer are compiled together, each in a namespace of its own, since starting nvcc takes the longest.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { type CompileOptions, compileStep, GradScaler } from "stepjit";
import { describe, expect, test } from "vitest";
import { CudaGenerator } from "../../../src/backends/cuda/generator.ts";
import { ENTRY } from "../../../src/backends/cuda/layout.ts";
import { OPTIONS } from "../../../src/backends/cuda/native/nvrtc.ts";
import { DryBackend } from "../../../src/backends/dry/dry.ts";
import { makeTensor } from "../../../src/make-tensor.ts";
import type { TensorDType } from "../../../src/tensor.ts";
import { sayLeftOut } from "../../left-out.ts";
import { type AnyOptimizerClass, CASES, type Subject } from "../../optim/subjects.ts";

const run = promisify(execFile);

/** An A100's and an H100's. */
const ARCHITECTURES = [80, 90];
const SHAPES = [[7], [5, 3], [4, 3, 2, 2], [2, 3, 1, 1]];
const PLAIN = {};
const FULL = { clipNorm: 1, clipValue: 0.5, ema: 0.9, scaler: new GradScaler() };
const SUMS = { accumulate: 2, zeroGrad: true };

interface Variant {
  readonly dtype: TensorDType;
  readonly options: CompileOptions;
}

/** With STEPJIT_NVCC=all it is all of them, which takes a quarter of an hour; else those that need the most registers. */
const VARIANTS: readonly Variant[] =
  process.env.STEPJIT_NVCC === "all"
    ? (["float32", "float64"] as const).flatMap((dtype) =>
        [PLAIN, FULL, SUMS].flatMap((options) =>
          (["default", "fast"] as const).map((numerics) => ({ dtype, options: { ...options, numerics } })),
        ),
      )
    : [
        { dtype: "float32", options: FULL },
        { dtype: "float64", options: PLAIN },
      ];

/** Compilers wait for each other. */
const TIMEOUT = 1_800_000;

const version = await run("nvcc", ["--version"]).catch(() => undefined);
if (!version && process.env.CI !== "true")
  sayLeftOut("nvcc", "no nvcc, CUDA's compiler. It comes with NVIDIA's CUDA toolkit");

describe.skipIf(!version && process.env.CI !== "true")(
  "compiled by nvcc, without spilling",
  { timeout: TIMEOUT },
  () => {
    test.concurrent.each(CASES)("$name", async ({ make, subject }) => {
      const texts = textsOf(make, subject);
      const said = await compile(texts);
      const functions = said.match(/Compiling entry function/g)?.length;
      expect(functions).toBe(ARCHITECTURES.length * texts.length);
      expect(said.match(/\d+ bytes stack frame, \d+ bytes spill stores, \d+ bytes spill loads/g)).toEqual(
        Array.from(
          { length: functions as number },
          () => "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads",
        ),
      );
    });

    test("a text that does spill is found", async () => {
      const values = Array.from({ length: 40 }, (_, i) => i);
      const text = [
        `extern "C" __global__ void __launch_bounds__(1024, 2) ${ENTRY}(double* at) {`,
        ...values.map((i) => `double v${i} = at[threadIdx.x + ${1024 * i}];`),
        "__syncthreads();",
        ...values.map((i) => `at[threadIdx.x + ${1024 * i}] = v${i} / v${(i + 7) % 40};`),
        "}",
      ].join("\n");
      expect(await compile([text])).toMatch(/[1-9]\d* bytes spill stores/);
    });
  },
);

/** What a backend would compile for these parameters, over two groups. */
function textsOf(make: AnyOptimizerClass, subject: Subject): string[] {
  const texts = new Set<string>();
  for (const { dtype, options } of VARIANTS) {
    const backend = new Listening(texts);
    const tensors = (prefix: string) =>
      Object.fromEntries(SHAPES.map((shape, i) => [`${prefix}${i}`, makeTensor(backend, shape, dtype)]));
    const groups = [subject.options, { ...subject.options, ...subject.second }];
    const optimizer = new make(groups.map((group, i) => ({ ...group, params: tensors(`group ${i} `) })));
    const step = compileStep(optimizer, { ...options, backend });
    step({ ...tensors("group 0 "), ...tensors("group 1 ") });
  }
  return [...texts];
}

/** Keeps the texts that it is to compile. */
class Listening extends DryBackend {
  readonly #texts: Set<string>;

  constructor(texts: Set<string>) {
    super(new CudaGenerator());
    this.#texts = texts;
  }

  override compile(text: string) {
    this.#texts.add(text);
    return super.compile(text);
  }
}

/** What nvcc says, registers and spills included. */
async function compile(texts: readonly string[]): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "stepjit-nvcc-"));
  try {
    const file = join(folder, "texts.cu");
    const parts = texts.map(
      (text, i) => `namespace text_${i} {\n${text.replaceAll(ENTRY, `${ENTRY}_${i}`)}\n}\n`,
    );
    writeFileSync(file, parts.join("\n"));
    const targets = ARCHITECTURES.flatMap((sm) => ["-gencode", `arch=compute_${sm},code=sm_${sm}`]);
    const { stderr } = await run("nvcc", [
      ...["-fatbin", "-Xptxas", "-v", "-o", join(folder, "texts.fatbin")],
      ...OPTIONS,
      ...targets,
      file,
    ]);
    return stderr;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

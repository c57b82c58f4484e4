/** Texts become cubins: machine code for one architecture, which the driver loads as it is. */
import { StepjitError } from "../../../error.ts";
import type { Library } from "./libraries.ts";

/**
 * What every text is compiled with. No contraction, correctly rounded division and square root: what is to be fused or approximate says so
 * in the text.
 */
export const OPTIONS: readonly string[] = [
  "--std=c++17",
  "--fmad=false",
  "--prec-div=true",
  "--prec-sqrt=true",
];

const PROTOTYPES = {
  nvrtcVersion: "int nvrtcVersion(void *major, void *minor)",
  nvrtcCreateProgram:
    "int nvrtcCreateProgram(void *program, const char *text, const char *name, int headers, void *contents, void *names)",
  nvrtcCompileProgram: "int nvrtcCompileProgram(uint64_t program, int count, const char **options)",
  nvrtcGetProgramLogSize: "int nvrtcGetProgramLogSize(uint64_t program, void *bytes)",
  nvrtcGetProgramLog: "int nvrtcGetProgramLog(uint64_t program, void *log)",
  nvrtcGetCUBINSize: "int nvrtcGetCUBINSize(uint64_t program, void *bytes)",
  nvrtcGetCUBIN: "int nvrtcGetCUBIN(uint64_t program, void *cubin)",
  nvrtcDestroyProgram: "int nvrtcDestroyProgram(void *program)",
  nvrtcGetErrorString: "const char *nvrtcGetErrorString(int result)",
} as const;

type NvrtcCall = keyof typeof PROTOTYPES;

type Functions = Readonly<Record<NvrtcCall, (...args: readonly unknown[]) => number | string>>;

export class Nvrtc {
  /** `12.4`. */
  readonly version: string;
  readonly #functions: Functions;

  constructor(library: Library) {
    this.#functions = Object.fromEntries(
      Object.entries(PROTOTYPES).map(([name, prototype]) => [name, library.func(prototype)]),
    ) as unknown as Functions;
    const [major, minor] = [new Int32Array(1), new Int32Array(1)];
    this.#call("nvrtcVersion", major, minor);
    this.version = `${major[0]}.${minor[0]}`;
  }

  /** `architecture`: sm_90. Throws `device-error` with the compiler's log. */
  compile(text: string, architecture: string): Uint8Array {
    const program = new BigUint64Array(1);
    this.#call("nvrtcCreateProgram", program, text, "stepjit.cu", 0, null, null);
    const handle = program[0] as bigint;
    try {
      const options = [`--gpu-architecture=${architecture}`, ...OPTIONS];
      const code = this.#functions.nvrtcCompileProgram(handle, options.length, options);
      if (code !== 0) throw this.#error("nvrtcCompileProgram", code as number, this.#logOf(handle));
      return this.#read("nvrtcGetCUBINSize", "nvrtcGetCUBIN", handle);
    } finally {
      this.#functions.nvrtcDestroyProgram(program);
    }
  }

  #logOf(program: bigint): string {
    return new TextDecoder().decode(this.#read("nvrtcGetProgramLogSize", "nvrtcGetProgramLog", program));
  }

  #read(size: NvrtcCall, contents: NvrtcCall, program: bigint): Uint8Array {
    const bytes = new BigUint64Array(1);
    this.#call(size, program, bytes);
    const result = new Uint8Array(Number(bytes[0]));
    this.#call(contents, program, result);
    return result;
  }

  #call(name: NvrtcCall, ...args: readonly unknown[]): void {
    const code = this.#functions[name](...args) as number;
    if (code !== 0) throw this.#error(name, code);
  }

  #error(name: NvrtcCall, code: number, log = ""): StepjitError {
    const what = this.#functions.nvrtcGetErrorString(code) as string;
    const said = log.replace(/\0+$/, "").trim();
    return new StepjitError("device-error", `cuda: ${name} failed: ${what}${said ? `\n${said}` : ""}`);
  }
}

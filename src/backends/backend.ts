/**
 * What a backend is to the rest of stepjit: it keeps tensors, turns kernels into text and text into pipelines, and
 * launches a whole phase, over all parameters of all classes, from tables.
 */
import type { DISPOSE } from "../dispose.ts";
import type { StepjitError } from "../error.ts";
import type { Dims, Walked } from "../ir/dims.ts";
import type { Extent, Level } from "../ir/extent.ts";
import type { Func } from "../ir/module.ts";
import type { DType, FloatType } from "../ir/type.ts";

/** Elements of a tensor: float32 or float64. */
export type FloatArray = Float32Array | Float64Array;

/** Memory that holds the elements of one tensor. */
export interface Storage {
  readonly dtype: FloatType;
  /** Elements. */
  readonly length: number;
  /** True where the memory may move between steps (TensorFlow.js owns it): it is then bound anew at every step. */
  readonly moves?: boolean;
  /** Whether the host sees the elements: else `view` throws, and they are to be had by `read` only. */
  readonly visible: boolean;
  /** The elements, writable; take it afresh each time: growing memory may detach an older view. Throws `device-memory`. */
  view(): FloatArray;
  /** A copy of the elements, as they are once all that was asked for before is done. */
  read(): Promise<FloatArray>;
  /** Replaces all elements, in the order of steps and other writes; `data` may be changed right afterwards. */
  write(data: FloatArray): void;
  fill(value: number): void;
  /** Takes over the elements of another storage: one that is visible, or of the same backend. */
  copyFrom(source: Storage): void;
  free(): void;
}

/** A state slot that needs memory. */
export interface SlotRequest {
  /** Which parameter's: kernels touch all its slots at once. */
  readonly parameter: number;
  readonly dtype: FloatType;
  readonly length: number;
  /** Whether it has a number for each element of the parameter. */
  readonly overElements: boolean;
  readonly view: Walked;
  readonly dims: Dims;
  /** Slots that the parameter has already, over elements too or not. */
  readonly beside: readonly Storage[];
}

/** `default` gives the same bits on every engine and for any number of threads; `fast` allows fused multiply-add. */
export type Numerics = "default" | "fast";

/** A reduction that stays within a parameter: a number for each of its rows, columns or slabs. */
export interface AxisTotal {
  readonly name: string;
  readonly extent: Extent;
  readonly op: "reduce.sum" | "reduce.max";
  /** Each block of a slab's rows has numbers of its own, to be combined in order where they are read (`blocksOf`, plan/chunks.ts). */
  readonly blocked: boolean;
}

/** What all kernels of one parameter class share. */
export interface ClassLayout {
  readonly name: string;
  readonly dtype: FloatType;
  /** The tensors of a parameter, by role, in the order of a tensor row's bases: param, grad, state.exp_avg … */
  readonly roles: readonly string[];
  /** Those of them that some kernel writes. */
  readonly written: readonly string[];
  /** How the memory of a parameter is walked. */
  readonly view: Walked;
  /** Reductions over axes that one launch leaves for the next: f64, kept by the runner. */
  readonly totals: readonly AxisTotal[];
  /** Slots in a scalar row, each holding one number: of the class's dtype, or a mask as 0 and 1. */
  readonly scalarTypes: readonly DType[];
}

/** A compiled kernel, ready to be launched by the backend that made it. */
export interface Pipeline {
  readonly text: string;
}

/** A total to a level, and where the kernels of the phase before left their shares of it. */
export interface FinishedTotal {
  readonly name: string;
  readonly level: Level;
  readonly op: "reduce.sum" | "reduce.max";
  /** By class index: which of a partial slot's numbers is the class's share; undefined where it has none. */
  readonly shares: readonly (number | undefined)[];
}

/** What a device runs before the kernels of a phase: totals of the phase before are finished, then come functions above elements. */
export interface DevicePrograms {
  readonly finishes: readonly FinishedTotal[];
  /** The part of the step body that runs on the device. */
  readonly step: Func | undefined;
  /** At most one a class. */
  readonly scalars: readonly Func[];
  /** Whether these are the last programs of a step with a commit: then step counts advance. */
  readonly advances: boolean;
}

/** All that one phase runs on the backend. */
export interface PhaseWork {
  readonly phase: number;
  readonly kernels: readonly Func[];
  /** Whether what is stored (gradients excepted) obeys the commit flag. */
  readonly guarded: boolean;
  readonly programs: DevicePrograms | undefined;
  readonly numbers: NumberTable;
}

/** Numbers above elements that a module keeps on the device, in the order of their tables; none where programs run on the host. */
export interface NumberTable {
  /** Step-level values by name, whoever gives them. */
  readonly gives: readonly string[];
  readonly totals: readonly { readonly name: string; readonly level: Level }[];
  /** What the device remembers of each parameter: where only it knows whether the step is, stepcount and first; then state of one number. */
  readonly records: readonly string[];
  /** Hyperparameter members that live on the device. */
  readonly hypers: readonly string[];
}

/** A text that has to be compiled, and whose work it does. */
export interface PhaseText {
  /** For people: `AdamW f32`. */
  readonly name: string;
  readonly phase: number;
  readonly text: string;
  /** The classes whose kernels it has; none for a phase's programs. */
  readonly classes: readonly number[];
}

/** Which tensors a step touches, in numbers only. Shapes live here and nowhere else. */
export interface Tables {
  readonly classes: readonly ClassLayout[];
  /** A row per parameter. */
  readonly tensors: readonly {
    /** For people. */
    readonly name: string;
    readonly classIndex: number;
    readonly group: number;
    readonly elements: number;
    readonly dims: Dims;
  }[];
  readonly groups: number;
  readonly numbers: NumberTable;
  /**
   * Four u32 a chunk: tensor, start, length, partial slot (below the number of chunks). Of a vector start and length are in elements,
   * multiples of 256; of other views in lines (a, row), and a chunk lies within one slab or holds whole ones.
   */
  readonly chunks: Uint32Array;
  /** Where each span starts in `chunks`, and the end: what a worker claims at once. */
  readonly spans: Uint32Array;
  /** One entry a phase: the pipeline of each class (null where a class has no work), that of its programs, and the totals a chunk writes. */
  readonly phases: readonly {
    readonly pipelines: readonly (Pipeline | null)[];
    readonly programs: Pipeline | null;
    readonly totals: number;
  }[];
}

/** The tables of one plan, in the backend's memory, and the power to launch over them. */
export interface Runner {
  /** Says where one tensor of a parameter is. */
  bind(tensor: number, role: number, storage: Storage): void;
  /** An inactive parameter (no gradient this step) is skipped, and its partial sums are zero. */
  setActive(tensor: number, active: boolean): void;
  /** Points a parameter to its row of the scalar table; there are as many rows as parameters. */
  setScalarRow(tensor: number, row: number): void;
  /** Writes a slot, rounded to the class's dtype. */
  writeScalar(classIndex: number, row: number, slot: number, value: number): void;
  /** Runs one phase to its end. `threads` is how many may work, the caller included; `timer` is the backend's own, where launches are queued. */
  launch(phase: number, threads: number, timer?: DeviceTimer): void;
  /** Partial sums of the last launch: `totals` f64 a partial slot. */
  partials(phase: number): Float64Array;
  dispose(): void;
}

/** What a scalar row is for: device programs run once a row. */
export interface RowOf {
  readonly classIndex: number;
  readonly group: number;
  /** The parameter, or the first of those that share the row. */
  readonly tensor: number;
  readonly first: boolean;
  readonly present: boolean;
  readonly summed: boolean;
}

/** What a device remembers of a parameter, by the names of `NumberTable.records`. */
export type DeviceRecord = Readonly<Record<string, number>>;

/** A runner whose launches are queued, and which runs what waits for reductions itself. */
export interface DeviceRunner extends Runner {
  /** Hears, some time later, of a step that the device refused; at most once. */
  onFailure: (error: StepjitError) => void;
  /** Says what the scalar rows are for; those that are written from here on. */
  setRows(rows: readonly RowOf[]): void;
  /** Writes a step-level value of the host's. */
  writeGive(name: string, value: number): void;
  /** A hyperparameter member that lives on the device in some group: its number in a group where it does not, or where it is. */
  bindHyper(group: number, name: string, value: number | Storage): void;
  /** What the device is to remember of a parameter, by one name. */
  writeRecord(tensor: number, name: string, value: number): void;
  /** Takes over what another runner's device remembers, parameter by parameter. */
  inherit(from: DeviceRunner): void;
  /** Runs the programs of a phase. */
  runPrograms(phase: number, timer?: DeviceTimer): void;
  /** Hands over all that was launched since the last time, as one step. `verdict` hears whether the device committed it, in order. */
  submit(verdict?: (committed: boolean) => void): void;
  /** All verdicts so far have been heard; gives what the device remembers, by parameter. */
  settle(): Promise<readonly DeviceRecord[]>;
  /** Dispatches of the last step. */
  readonly dispatches: number;
  readonly report: DeviceReport;
}

/** Measures launches by the clock of the device that they are queued on. */
export interface DeviceTimer {
  /** Launches that it was given so far. */
  readonly launches: number;
  /** When each began and ended, in order, once all are done: milliseconds by the device's clock, whose zero is its own. Null where it did not say. */
  read(): Promise<readonly (Interval | null)[]>;
  dispose(): void;
}

/** In milliseconds. */
export interface Interval {
  readonly begin: number;
  readonly end: number;
}

/** Where a device finds a parameter: in memory of ours, in a copy of somebody else's buffer, or in that buffer itself. */
export type Placement = "arena" | "copied" | "bound";

/** How a step over many buffers is dispatched. */
export interface DeviceReport {
  /** Buffer-to-buffer copies of a step, and the bytes that they move: each is read and written. */
  readonly copies: number;
  readonly bytes: number;
  /** By parameter. */
  readonly placements: readonly Placement[];
  /** What decides between copying and binding, in words. */
  readonly rule: string;
}

/** The part of a backend that writes kernels: it needs no device and keeps nothing. */
export interface CodeGenerator {
  /** For people: `wasm`. */
  readonly name: string;
  /** What a compiled kernel depends on besides its text: part of the kernel key. */
  readonly target: string;
  /** Dtypes that its kernels work on. */
  readonly dtypes: readonly FloatType[];
  /** Where what waits for reductions is computed: on the host, which then reads partial sums, or where the kernels run. */
  readonly programs: "host" | "device";
  /** Elements of a vector's full chunk, where a plan has `total` elements: a power of two from 256 to 16 Ki. */
  chunkElements(total: number): number;
  /** The texts of a phase. Pure: the same functions, layouts and numerics give the same texts. Throws `unsupported`. */
  emit(work: PhaseWork, layouts: readonly ClassLayout[], numerics: Numerics): PhaseText[];
}

/** Where steps run: `wasm()`, `reference()`, `await webgpu()`. To write one, see src/backends: `reference` is the smallest. */
export interface Backend extends CodeGenerator {
  /** Threads that may work on a launch, the caller included, unless a step asks for fewer. */
  readonly threads: number;
  /** Zero-filled memory. Throws `out-of-memory`. */
  allocate(dtype: FloatType, length: number): Storage;
  /** Memory that is only there for a while: `free` gives it back whole. Where this is missing, `allocate` does as well. */
  allocateScratch?(dtype: FloatType, length: number): Storage;
  /** Memory for state, zero-filled, one storage a request. Throws `out-of-memory`. */
  allocateState(requests: readonly SlotRequest[]): Storage[];
  /** This array's memory, if the backend can work on it in place; undefined where it has to be copied. */
  adopt(data: FloatArray): Storage | undefined;
  /** True for storage that this backend's kernels can read and write in place. */
  owns(storage: Storage): boolean;
  /** Compiles one of `emit`'s texts; called once for each. */
  compile(text: string): Pipeline;
  /** A DeviceRunner where `programs` is "device". */
  prepare(tables: Tables): Runner;
  /** Where launches are queued: what measures them, if the device has a clock that can be read. */
  makeTimer?(): DeviceTimer | undefined;
  /** Throws what ended all work on it: `device-error` where the device was lost, `disposed`. */
  check(): void;
  /**
   * Resolves once all that was launched so far is done; at once where launches wait by themselves, and runners have heard what
   * the device says of it. Rejects as `check` throws.
   */
  finished(): Promise<void>;
  /** Ends its threads. Its memory goes when nothing refers to it. */
  dispose(): void;
  /** `dispose()`, for `using`. */
  [DISPOSE](): void;
}

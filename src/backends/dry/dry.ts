/**
 * The dry backend: another's kernels and tables, and no memory. A step on it is traced, compiled, planned and launched as there, and
 * computes nothing: what there is to know of a step over a billion numbers is known without them, and of a GPU's without a GPU.
 */
import { DISPOSE } from "../../dispose.ts";
import { StepjitError } from "../../error.ts";
import type { FloatType } from "../../ir/type.ts";
import type {
  Backend,
  ClassLayout,
  CodeGenerator,
  DeviceRecord,
  DeviceReport,
  DeviceRunner,
  FloatArray,
  Numerics,
  PhaseText,
  PhaseWork,
  Pipeline,
  SlotRequest,
  Storage,
  Tables,
} from "../backend.ts";

/** A length and a dtype. */
class DryStorage implements Storage {
  readonly dtype: FloatType;
  readonly length: number;
  readonly visible = false;

  constructor(dtype: FloatType, length: number) {
    this.dtype = dtype;
    this.length = length;
  }

  view(): FloatArray {
    throw new StepjitError("device-memory", "a dry tensor has no elements");
  }

  async read(): Promise<FloatArray> {
    return this.view();
  }

  write(): void {}

  fill(): void {}

  copyFrom(): void {}

  free(): void {}
}

export class DryBackend implements Backend {
  readonly name: string;
  readonly target: string;
  readonly dtypes: readonly FloatType[];
  readonly programs: "host" | "device";
  readonly threads = 1;
  readonly #generator: CodeGenerator;

  constructor(generator: CodeGenerator) {
    const { name, target, dtypes, programs } = generator;
    this.name = name;
    this.target = target;
    this.dtypes = dtypes;
    this.programs = programs;
    this.#generator = generator;
  }

  chunkElements(total: number): number {
    return this.#generator.chunkElements(total);
  }

  emit(work: PhaseWork, layouts: readonly ClassLayout[], numerics: Numerics): PhaseText[] {
    return this.#generator.emit(work, layouts, numerics);
  }

  allocate(dtype: FloatType, length: number): Storage {
    return new DryStorage(dtype, length);
  }

  allocateState(requests: readonly SlotRequest[]): Storage[] {
    return requests.map(({ dtype, length }) => this.allocate(dtype, length));
  }

  adopt(): undefined {
    return undefined;
  }

  owns(storage: Storage): boolean {
    return storage instanceof DryStorage;
  }

  compile(text: string): Pipeline {
    return { text };
  }

  prepare(tables: Tables): DeviceRunner {
    return new DryRunner(tables);
  }

  check(): void {}

  async finished(): Promise<void> {}

  dispose(): void {}

  [DISPOSE](): void {}
}

/** Launches nothing, and finds every sum to be zero and every step to be committed. */
class DryRunner implements DeviceRunner {
  onFailure = (): void => {};
  /** As on a device whose bindings hold everything. */
  dispatches = 0;
  readonly report: DeviceReport;
  readonly #tables: Tables;
  readonly #active: boolean[] = [];
  readonly #records: Record<string, number>[];
  #isSubmitted = true;

  constructor(tables: Tables) {
    this.#tables = tables;
    this.#records = tables.tensors.map(() => ({}));
    this.report = { copies: 0, bytes: 0, placements: tables.tensors.map(() => "arena"), rule: "" };
  }

  launch(): void {
    if (this.#isSubmitted) this.dispatches = 0;
    this.#isSubmitted = false;
    this.dispatches++;
  }

  runPrograms(): void {
    this.launch();
  }

  submit(verdict?: (committed: boolean) => void): void {
    this.#isSubmitted = true;
    if (verdict) this.#commit(verdict);
  }

  partials(phase: number): Float64Array {
    const { totals } = this.#tables.phases[phase] as Tables["phases"][number];
    return new Float64Array((this.#tables.chunks.length / 4) * totals);
  }

  #commit(verdict: (committed: boolean) => void): void {
    for (const [tensor, record] of this.#records.entries())
      if (this.#active[tensor]) record.stepcount = (record.stepcount ?? 0) + 1;
    verdict(true);
  }

  setActive(tensor: number, active: boolean): void {
    this.#active[tensor] = active;
  }

  writeRecord(tensor: number, name: string, value: number): void {
    (this.#records[tensor] as Record<string, number>)[name] = value;
  }

  async settle(): Promise<readonly DeviceRecord[]> {
    return this.#records;
  }

  bind(): void {}

  setScalarRow(): void {}

  writeScalar(): void {}

  setRows(): void {}

  writeGive(): void {}

  bindHyper(): void {}

  inherit(): void {}

  dispose(): void {}
}

/** The tables of one plan in a CUDA device's memory, and steps over them: enqueued as they are asked for, never waited for. */
import { StepjitError } from "../../error.ts";
import { totalPlaces } from "../../plan/layout.ts";
import type {
  ClassLayout,
  DeviceRecord,
  DeviceReport,
  DeviceRunner,
  DeviceTimer,
  RowOf,
  Storage,
  Tables,
} from "../backend.ts";
import { COMMIT_AT, giveAt, rowFloats, rowsAt, tensorRowWords } from "../gpu/layout.ts";
import { rowTable } from "../gpu/row-table.ts";
import { Block, type RegionName } from "./block.ts";
import { BoundTensors } from "./bound.ts";
import { Hypers } from "./hypers.ts";
import { Launches } from "./launches.ts";
import { HYPER_WORDS } from "./layout.ts";
import type { Memory } from "./memory.ts";
import type { Device, Kernel } from "./native/device.ts";
import { Records } from "./records.ts";
import type { MarkTimer } from "./timer.ts";
import { Verdicts } from "./verdicts.ts";

export class CudaRunner implements DeviceRunner {
  /** Never called: what fails on a device ends all work on it, which `check` and `finished` tell. */
  onFailure: (error: StepjitError) => void = () => {};
  dispatches = 0;
  readonly #tables: Tables;
  readonly #device: Device;
  readonly #block: Block;
  readonly #bound: BoundTensors;
  readonly #hypers: Hypers;
  readonly #records: Records;
  readonly #launches: Launches;
  readonly #verdicts = new Verdicts();
  /** Whether the coming launch is not the first of its step. */
  #isBegun = false;
  #isDisposed = false;

  /** Throws `out-of-memory`. */
  constructor(tables: Tables, memory: Memory) {
    const { tensors, numbers } = tables;
    this.#tables = tables;
    this.#device = memory.device;
    this.#block = new Block(memory, bytesOf(tables));
    this.#bound = new BoundTensors(tables, memory, this.#block.tables.tensors, this.#block.addressOf("axes"));
    this.#hypers = new Hypers(numbers, this.#block.tables.hypers, this.#block.addressOf("hypers"));
    this.#records = new Records(this.#device, numbers, tensors.length, this.#block.addressOf("records"));
    this.#launches = new Launches(tables, this.#block);
    this.#block.tables.chunks.replace(chunksWithRows(tables));
    tensors.forEach((_, tensor) => {
      this.setScalarRow(tensor, tensor);
    });
    this.setRows([]);
  }

  bind(tensor: number, role: number, storage: Storage): void {
    this.#bound.bind(tensor, role, storage);
  }

  setActive(tensor: number, active: boolean): void {
    this.#bound.setActive(tensor, active);
  }

  setScalarRow(tensor: number, row: number): void {
    this.#bound.setScalars(tensor, this.#scalarsOf(row));
  }

  setRows(rows: readonly RowOf[]): void {
    this.#block.tables.rows.replace(rowTable(this.#tables, rows));
    this.#block.tables.scalars.used = 8 * this.#scalarsOf(Math.max(1, rows.length));
    this.#launches.setRows(rows.length);
  }

  writeScalar(_classIndex: number, row: number, slot: number, value: number): void {
    this.#block.tables.scalars.setNumber(this.#scalarsOf(row) + slot, value);
  }

  writeGive(name: string, value: number): void {
    this.#block.tables.scalars.setNumber(giveAt(this.#tables.numbers, name), value);
  }

  bindHyper(group: number, name: string, value: number | Storage): void {
    this.#hypers.bind(group, name, value);
  }

  writeRecord(tensor: number, name: string, value: number): void {
    this.#records.write(tensor, name, value);
  }

  inherit(from: DeviceRunner): void {
    this.#records.inherit((from as CudaRunner).#records);
  }

  runPrograms(phase: number, timer?: DeviceTimer): void {
    const kernel = this.#tables.phases[phase]?.programs as Kernel;
    this.#launch(kernel, 1, this.#launches.ofPrograms(phase), timer as MarkTimer | undefined);
  }

  /** As many blocks as the device holds at once; each takes several chunks where there are more. */
  launch(phase: number, _threads: number, timer?: DeviceTimer): void {
    const { pipelines } = this.#tables.phases[phase] as Tables["phases"][number];
    const kernel = pipelines.find((candidate) => candidate !== null) as Kernel;
    const grid = Math.min(this.#tables.chunks.length / 4, kernel.blocks);
    this.#launch(kernel, grid, this.#launches.ofKernels(phase), timer as MarkTimer | undefined);
  }

  partials(): Float64Array {
    throw new StepjitError("device-memory", "partial sums stay on the device");
  }

  submit(verdict?: (committed: boolean) => void): void {
    this.#isBegun = false;
    if (!verdict) return;
    const flag = this.#block.addressOf("scalars") + BigInt(8 * COMMIT_AT);
    this.#verdicts.ask(this.#device.download(flag, 8), verdict);
  }

  async settle(): Promise<readonly DeviceRecord[]> {
    await this.#verdicts.settled();
    return this.#records.read();
  }

  get report(): DeviceReport {
    return this.#bound.report;
  }

  /** The step that runs may go on: memory is given back once the device is done with it. */
  dispose(): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    this.#block.dispose();
  }

  #launch(kernel: Kernel, grid: number, params: Uint8Array, timer: MarkTimer | undefined): void {
    if (!this.#isBegun) this.#begin();
    if (grid === 0) return;
    const launch = () => this.#device.launch(kernel, grid, params);
    if (timer) timer.measure(launch);
    else launch();
    this.dispatches++;
  }

  /** What comes before a step's first launch: tables are brought up to date. Kernels write scalars, too, so these always are. */
  #begin(): void {
    if (this.#isDisposed) throw new StepjitError("disposed", "this plan was disposed of");
    this.#bound.check();
    this.#records.flush();
    this.#block.tables.scalars.isDirty = true;
    this.#block.upload();
    this.#hypers.copyDoubles(this.#device);
    this.#isBegun = true;
    this.dispatches = 0;
  }

  #scalarsOf(row: number): number {
    return rowsAt(this.#tables.numbers) + row * rowFloats(this.#tables.classes);
  }
}

/** Rows and scalar rows are at most as many as parameters. */
function bytesOf(tables: Tables): Record<RegionName, number> {
  const { classes, tensors, groups, numbers, chunks, phases } = tables;
  const parameters = tensors.length;
  const stride = Math.max(0, ...phases.map(({ totals }) => totals));
  const axes = tensors.flatMap(({ classIndex, dims }) =>
    (classes[classIndex] as ClassLayout).totals.map((total) => totalPlaces(total, dims)),
  );
  return {
    chunks: 4 * chunks.length,
    rows: 16 * 2 * parameters,
    hypers: 8 * HYPER_WORDS * groups * numbers.hypers.length,
    tensors: 8 * parameters * tensorRowWords(classes),
    scalars: 8 * (rowsAt(numbers) + Math.max(1, parameters) * rowFloats(classes)),
    totals: 8 * numbers.totals.length * Math.max(1, groups, parameters),
    records: 8 * numbers.records.length * parameters,
    partials: 8 * stride * (chunks.length / 4),
    axes: 8 * axes.reduce((sum, places) => sum + places, 0),
  };
}

/** A chunk has the first word of its tensor's row in the place of the tensor's number. */
function chunksWithRows({ classes, chunks }: Tables): Uint32Array {
  const words = tensorRowWords(classes);
  return chunks.map((number, index) => (index % 4 === 0 ? number * words : number));
}

/** The tables of one plan in GPU memory, and steps over them: one command buffer a step, never waited for. */
import { StepjitError } from "../../error.ts";
import type {
  DeviceRecord,
  DeviceReport,
  DeviceRunner,
  DeviceTimer,
  RowOf,
  Storage,
  Tables,
} from "../backend.ts";
import { baseWord, COMMIT_AT, FLAGS, giveAt, rowFloats, rowsAt, TENSOR_ROW } from "../gpu/layout.ts";
import { rowTable } from "../gpu/row-table.ts";
import { BindGroups, type ByBinding } from "./bind-groups.ts";
import { explain, type Foreign } from "./blame.ts";
import { BoundTensors, type Change, foreignBuffers } from "./bound.ts";
import type { Device } from "./device.ts";
import { Launches } from "./launches.ts";
import { KERNEL_BINDINGS, type KernelBinding, PROGRAM_BINDINGS, type ProgramBinding } from "./layout.ts";
import type { Memory } from "./memory.ts";
import type { WebGpuPipeline } from "./pipeline.ts";
import type { Segment, WebGpuStorage } from "./storage.ts";
import { Table } from "./table.ts";
import { baseOf, buildTables, type DeviceTables, type Dispatch, isBeside } from "./tables.ts";
import type { Timestamps } from "./timestamps.ts";
import { Verdicts } from "./verdicts.ts";

export class WebGpuRunner implements DeviceRunner {
  onFailure: (error: StepjitError) => void = () => {};
  readonly #tables: Tables;
  /** For people. */
  readonly #what: string;
  readonly #device: Device;
  readonly #bound: BoundTensors;
  readonly #bindGroups: BindGroups;
  readonly #rowOf: number[];
  /** Undefined where they have to be built anew. */
  #built: DeviceTables | undefined;
  #rows: readonly RowOf[] = [];
  readonly #words: Table;
  readonly #chunks: Table;
  readonly #inOrder: Table;
  readonly #launches: Launches;
  readonly #rowTable: Table;
  readonly #scalars: Table;
  readonly #hypers: Table;
  /** Those of which what has changed is uploaded before a step. */
  readonly #uploaded: readonly (Table | Launches)[];
  readonly #residents = new Map<number, WebGpuStorage>();
  readonly #buffers: Readonly<Record<"partials" | "totals" | "records", GPUBuffer>>;
  readonly #verdicts: Verdicts;
  #pass: GPUComputePassEncoder | undefined;
  #dispatches = 0;
  #disposed = false;
  /** What the device refused first. */
  #refused: StepjitError | undefined;
  #hasFailed = false;

  constructor(tables: Tables, device: Device, axes: Memory) {
    const { classes, tensors, numbers, phases, groups } = tables;
    this.#tables = tables;
    this.#what = `a step of ${classes.map(({ name }) => name).join(", ")}`;
    this.#device = device;
    this.#bound = new BoundTensors(tables, device, axes);
    this.#bindGroups = new BindGroups(device, (error) => {
      this.#refused ??= error;
    });
    this.#rowOf = tensors.map((_, tensor) => tensor);
    this.#words = new Table(device, "tensor rows");
    this.#chunks = new Table(device, "chunks");
    this.#inOrder = new Table(device, "chunks in order");
    this.#launches = new Launches(device);
    this.#rowTable = new Table(device, "rows");
    this.#scalars = new Table(device, "scalars");
    this.#scalars.reserve(rowsAt(numbers) + tensors.length * rowFloats(classes));
    this.#rowTable.reserve(2 * 4 * tensors.length);
    this.#hypers = new Table(device, "hypers");
    this.#hypers.reserve(groups * numbers.hypers.length);
    this.#uploaded = [this.#words, this.#chunks, this.#inOrder, this.#launches, this.#rowTable, this.#hypers];
    const stride = Math.max(0, ...phases.map(({ totals }) => totals));
    const places = Math.max(1, groups, tensors.length);
    const bufferOf = (label: string, floats: number) => device.createBuffer(label, Math.max(16, 4 * floats));
    this.#buffers = {
      partials: bufferOf("partial sums", stride * (tables.chunks.length / 4)),
      totals: bufferOf("totals", numbers.totals.length * places),
      records: bufferOf("records", numbers.records.length * tensors.length),
    };
    this.#verdicts = new Verdicts(device);
  }

  bind(tensor: number, role: number, storage: Storage): void {
    const change = this.#bound.bind(tensor, role, storage);
    if (change.before === change.after || !this.#built) return;
    if (!this.#rebase(tensor, role, change)) this.#built = undefined;
  }

  setActive(tensor: number, active: boolean): void {
    if (this.#bound.setActive(tensor, active)) this.#built = undefined;
    for (const row of this.#built?.rows[tensor] ?? []) this.#setFlags(row, tensor);
  }

  setScalarRow(tensor: number, row: number): void {
    this.#rowOf[tensor] = row;
    for (const at of this.#built?.rows[tensor] ?? [])
      this.#words.setWord(at + TENSOR_ROW.scalars, this.#scalarsOf(row));
  }

  setRows(rows: readonly RowOf[]): void {
    this.#rows = rows;
    if (this.#built) this.#writeRows(this.#built);
  }

  writeScalar(_classIndex: number, row: number, slot: number, value: number): void {
    this.#scalars.setFloat(this.#scalarsOf(row) + slot, value);
  }

  writeGive(name: string, value: number): void {
    this.#scalars.setFloat(giveAt(this.#tables.numbers, name), value);
  }

  bindHyper(group: number, name: string, value: number | Storage): void {
    const { hypers } = this.#tables.numbers;
    const at = group * hypers.length + hypers.indexOf(name);
    if (typeof value === "number") {
      this.#residents.delete(at);
      this.#hypers.setFloat(at, value);
    } else this.#residents.set(at, value as WebGpuStorage);
  }

  writeRecord(tensor: number, name: string, value: number): void {
    const { records } = this.#tables.numbers;
    const at = tensor * records.length + records.indexOf(name);
    this.#flush();
    this.#device.write(this.#buffers.records, 4 * at, Float32Array.of(value));
  }

  inherit(from: DeviceRunner): void {
    const other = from as WebGpuRunner;
    const [mine, theirs] = [this.#tables.numbers.records, other.#tables.numbers.records];
    const tensors = Math.min(this.#tables.tensors.length, other.#tables.tensors.length);
    this.#device.encode((encoder) => {
      for (const [to, name] of mine.entries()) {
        const at = theirs.indexOf(name);
        if (at < 0) continue;
        for (let tensor = 0; tensor < tensors; tensor++)
          encoder.copyBufferToBuffer(
            other.#buffers.records,
            4 * (tensor * theirs.length + at),
            this.#buffers.records,
            4 * (tensor * mine.length + to),
            4,
          );
      }
    });
    this.#flush(); // whose records these were is disposed of next
  }

  runPrograms(phase: number, timer?: DeviceTimer): void {
    const pipeline = this.#tables.phases[phase]?.programs as WebGpuPipeline;
    const pass = this.#begin(timer as Timestamps | undefined);
    const { partials, totals, records } = this.#buffers;
    const buffers: Record<ProgramBinding, GPUBufferBinding> = {
      launch: this.#launches.ofPrograms(phase),
      chunks: { buffer: this.#inOrder.buffer },
      tensors: { buffer: this.#words.buffer },
      rows: { buffer: this.#rowTable.buffer },
      partials: { buffer: partials },
      scalars: { buffer: this.#scalars.buffer },
      totals: { buffer: totals },
      records: { buffer: records },
      hypers: { buffer: this.#hypers.buffer },
    };
    pass.setPipeline(pipeline.pipelineFor(false));
    pass.setBindGroup(
      0,
      this.#bindGroups.of(pipeline, `programs ${phase}`, byBinding(PROGRAM_BINDINGS, buffers)),
    );
    pass.dispatchWorkgroups(1);
    this.#dispatches++;
  }

  launch(phase: number, _threads: number, timer?: DeviceTimer): void {
    const pass = this.#begin(timer as Timestamps | undefined);
    const { pipelines } = this.#tables.phases[phase] as Tables["phases"][number];
    const pipeline = pipelines.find((candidate) => candidate !== null) as WebGpuPipeline;
    (this.#built as DeviceTables).dispatches.forEach((dispatch, index) => {
      if (dispatch.count === 0) return;
      pass.setPipeline(pipeline.pipelineFor(isBeside(dispatch.windows)));
      pass.setBindGroup(
        0,
        this.#bindGroups.of(pipeline, `${phase} ${index}`, this.#buffersOf(phase, index, dispatch)),
      );
      pass.dispatchWorkgroups(Math.min(dispatch.count, this.#device.workgroups));
      this.#dispatches++;
    });
  }

  partials(): Float64Array {
    throw new StepjitError("device-memory", "partial sums stay on the device");
  }

  submit(verdict?: (committed: boolean) => void): void {
    const pass = this.#pass;
    if (!pass) return;
    this.#pass = undefined;
    pass.end();
    this.#device.encode((encoder) => {
      this.#bound.copyOut(encoder);
      if (verdict) this.#verdicts.ask(encoder, this.#scalars.buffer, 4 * COMMIT_AT, verdict);
    });
    this.#flush();
    this.#verdicts.listen();
  }

  async settle(): Promise<readonly DeviceRecord[]> {
    await this.#verdicts.settled();
    const { records } = this.#tables.numbers;
    const { tensors } = this.#tables;
    const bytes = 4 * records.length * tensors.length;
    const numbers = new Float32Array(
      await this.#device.read([{ buffer: this.#buffers.records, offset: 0, bytes }]),
    );
    return tensors.map((_, tensor) =>
      Object.fromEntries(records.map((name, i) => [name, numbers[tensor * records.length + i] as number])),
    );
  }

  get dispatches(): number {
    return this.#dispatches;
  }

  get report(): DeviceReport {
    return this.#bound.report;
  }

  /** The step that runs may go on: buffers are destroyed once the device is done with them. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const table of [...this.#uploaded, this.#scalars]) table.dispose();
    for (const buffer of Object.values(this.#buffers)) buffer.destroy();
    this.#bound.dispose();
    this.#bindGroups.dispose();
  }

  #scalarsOf(row: number): number {
    return rowsAt(this.#tables.numbers) + row * rowFloats(this.#tables.classes);
  }

  /** The pass of the step at hand; where launches are timed, each has one of its own. */
  #begin(timer: Timestamps | undefined): GPUComputePassEncoder {
    if (this.#pass && !timer) return this.#pass;
    if (this.#pass) this.#pass.end();
    else this.#prepare();
    const timed = timer && { timestampWrites: timer.next() };
    this.#device.encode((encoder) => {
      this.#pass = encoder.beginComputePass({ label: "stepjit step", ...timed });
    });
    return this.#pass as GPUComputePassEncoder;
  }

  /** What comes before a step's first launch: all tables are brought up to date, and copies are. */
  #prepare(): void {
    if (this.#disposed) throw new StepjitError("disposed", "this plan was disposed of");
    this.#checkBuffers();
    this.#flush(); // what fills state belongs to the step
    this.#built ??= this.#build();
    this.#dispatches = 0;
    for (const table of this.#uploaded) table.upload();
    this.#scalars.uploadAll(this.#scalarsOf(Math.max(1, this.#rows.length)));
    this.#device.encode((encoder) => {
      this.#bound.copyIn(encoder);
      for (const [at, { segments }] of this.#residents)
        encoder.copyBufferToBuffer(
          segments[0]?.home.buffer as GPUBuffer,
          segments[0]?.offset as number,
          this.#hypers.buffer,
          4 * at,
          4,
        );
    });
  }

  #checkBuffers(): void {
    if (!this.#device.hasFailures) return;
    this.#bound.check();
    for (const { buffer } of this.#foreign) this.#device.checkBuffer(buffer);
  }

  /** Buffers of somebody else's that the coming step uses. */
  get #foreign(): Foreign[] {
    const { hypers } = this.#tables.numbers;
    const residents = [...this.#residents].flatMap(([at, storage]) =>
      foreignBuffers(`hyperparameter "${hypers[at % hypers.length]}"`, storage),
    );
    return [...this.#bound.foreign, ...residents];
  }

  /** What was encoded is a step's, or belongs to one. */
  #flush(): void {
    this.#device.flush(this.#what, this.#hear);
  }

  readonly #hear = async (error: StepjitError | undefined): Promise<void> => {
    if (!error || this.#hasFailed) return;
    this.#hasFailed = true;
    const pipelines = this.#tables.phases.flatMap((phase) => [phase.programs, ...phase.pipelines]);
    const suspects = {
      pipelines: pipelines.filter((one) => one !== null) as WebGpuPipeline[],
      buffers: this.#bindGroups.buffers,
      foreign: this.#foreign,
    };
    this.onFailure(await explain(this.#device, this.#what, this.#refused ?? error, suspects));
  };

  #build(): DeviceTables {
    this.#bound.placeTotals();
    const built = buildTables(this.#tables, this.#bound.all, this.#device.bindingBytes);
    this.#words.replace(built.words);
    this.#chunks.replace(built.chunks);
    this.#inOrder.replace(built.inOrder);
    built.rows.forEach((rows, tensor) => {
      for (const row of rows) {
        this.#setFlags(row, tensor);
        this.#words.setWord(row + TENSOR_ROW.scalars, this.#scalarsOf(this.#rowOf[tensor] as number));
      }
    });
    this.#built = built;
    this.#writeRows(built);
    return built;
  }

  #setFlags(row: number, tensor: number): void {
    this.#words.setWord(row + TENSOR_ROW.flags, this.#bound.isActive(tensor) ? 0 : FLAGS.inactive);
  }

  /** Another tensor in the same buffers is a word of the tables. */
  #rebase(tensor: number, role: number, { before, after }: Change): boolean {
    const [old, now] = [before?.segments, after?.segments];
    if (old?.length !== 1 || now?.length !== 1 || old[0]?.home !== now[0]?.home) return false;
    const rows = this.#built?.rows[tensor] as readonly number[];
    const [segment] = now as [Segment];
    if (rows.length !== 1 || segment.home.buffer.size > this.#device.bindingBytes) return false;
    this.#words.setWord(
      (rows[0] as number) + baseWord(role),
      baseOf(segment, { home: segment.home, offset: 0, bytes: undefined }),
    );
    return true;
  }

  #buffersOf(phase: number, index: number, { windows }: Dispatch): ByBinding {
    const bindingOf = (name: keyof typeof windows): GPUBufferBinding | undefined => {
      const window = windows[name];
      if (!window || (name === "grad" && isBeside(windows))) return undefined;
      const { home, offset, bytes } = window;
      return { buffer: home.buffer, ...(bytes !== undefined && { offset, size: bytes }) };
    };
    return byBinding<KernelBinding>(KERNEL_BINDINGS, {
      launch: this.#launches.ofDispatch(phase, index),
      chunks: { buffer: this.#chunks.buffer },
      tensors: { buffer: this.#words.buffer },
      scalars: { buffer: this.#scalars.buffer },
      partials: { buffer: this.#buffers.partials },
      param: bindingOf("param"),
      grad: bindingOf("grad"),
      state: bindingOf("state"),
      axes: bindingOf("axes"),
    });
  }

  #writeRows({ dispatches }: DeviceTables): void {
    this.#rowTable.replace(rowTable(this.#tables, this.#rows));
    this.#launches.write(this.#tables, dispatches, this.#rows);
  }
}

/** By number. */
function byBinding<B extends string>(
  numbers: Readonly<Record<B, number>>,
  buffers: Readonly<Record<B, GPUBufferBinding | undefined>>,
): ByBinding {
  const result: (GPUBufferBinding | undefined)[] = [];
  for (const name of Object.keys(numbers) as B[]) result[numbers[name]] = buffers[name];
  return result;
}

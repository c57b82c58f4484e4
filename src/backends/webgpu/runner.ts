/** The tables of one plan in GPU memory, and steps over them: one command buffer a step, never waited for. */
import { StepjitError } from "../../error.ts";
import { totalPlaces } from "../../plan/layout.ts";
import type {
  ClassLayout,
  DeviceRecord,
  DeviceReport,
  DeviceRunner,
  Placement,
  RowOf,
  Storage,
  Tables,
} from "../backend.ts";
import { BindGroups, type ByBinding } from "./bind-groups.ts";
import { explain, type Foreign } from "./blame.ts";
import { COPY_DST, type Device, UNIFORM } from "./device.ts";
import {
  baseWord,
  COMMIT_AT,
  FLAGS,
  giveAt,
  KERNEL_BINDINGS,
  type KernelBinding,
  LAUNCH,
  MASK_BITS,
  PROGRAM_BINDINGS,
  type ProgramBinding,
  rowFloats,
  rowsAt,
  TENSOR_ROW,
  THREADS,
} from "./layout.ts";
import type { Memory, Place } from "./memory.ts";
import type { WebGpuPipeline } from "./pipeline.ts";
import { RULE, STAGED_ROLES, Staging } from "./staging.ts";
import { type Segment, WebGpuStorage } from "./storage.ts";
import { Table } from "./table.ts";
import { type Bound, baseOf, buildTables, type DeviceTables, type Dispatch, isBeside } from "./tables.ts";
import { Verdicts } from "./verdicts.ts";

/** Bytes from one dispatch's uniform to the next. */
const UNIFORM_STRIDE = 256;

export class WebGpuRunner implements DeviceRunner {
  onFailure: (error: StepjitError) => void = () => {};
  readonly #tables: Tables;
  readonly #device: Device;
  readonly #axes: Memory;
  readonly #bound: { storages: (WebGpuStorage | undefined)[]; totals: Segment[] }[];
  readonly #totals: Place[] = [];
  readonly #staging: Staging;
  readonly #bindGroups: BindGroups;
  readonly #active: boolean[];
  readonly #rowOf: number[];
  /** Undefined where they have to be built anew. */
  #built: DeviceTables | undefined;
  #rows: readonly RowOf[] = [];
  readonly #words: Table;
  readonly #chunks: Table;
  readonly #inOrder: Table;
  readonly #launches: Table;
  readonly #rowTable: Table;
  readonly #scalars: Table;
  readonly #hypers: Table;
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
    this.#device = device;
    this.#axes = axes;
    this.#bound = tensors.map(() => ({ storages: [], totals: [] }));
    this.#staging = new Staging(device);
    this.#bindGroups = new BindGroups(device, (error) => {
      this.#refused ??= error;
    });
    this.#active = tensors.map(() => false);
    this.#rowOf = tensors.map((_, tensor) => tensor);
    this.#words = new Table(device, "tensor rows");
    this.#chunks = new Table(device, "chunks");
    this.#inOrder = new Table(device, "chunks in order");
    this.#launches = new Table(device, "launches", UNIFORM | COPY_DST);
    this.#rowTable = new Table(device, "rows");
    this.#scalars = new Table(device, "scalars");
    this.#scalars.reserve(rowsAt(numbers) + tensors.length * rowFloats(classes));
    this.#rowTable.reserve(2 * 4 * tensors.length);
    this.#hypers = new Table(device, "hypers");
    this.#hypers.reserve(groups * numbers.hypers.length);
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
    if (!(storage instanceof WebGpuStorage) || storage.device !== this.#device)
      throw new StepjitError(
        "invalid-parameters",
        `tensor ${tensor}, role ${role}: not in this device's memory`,
      );
    const { roles, written } = this.#layout(tensor);
    const name = roles[role] as string;
    const isTensor = name === "param" || name === "grad";
    // Who has no gradient may be given a state slot to read instead: any place will do.
    const given = name === "grad" && storage.kind === "state" ? undefined : storage;
    const { storages } = this.#bound[tensor] as Bound & { storages: (WebGpuStorage | undefined)[] };
    const bindable = name !== "grad" || !this.#isOutOfReach(given, storages[roles.indexOf("param")]);
    const place = isTensor
      ? this.#staging.standInFor(tensor, name, given, { written: written.includes(name), bindable })
      : storage;
    const before = storages[role];
    if (before === place) return;
    storages[role] = place;
    if (this.#built && !this.#rebase(tensor, role, before, place)) this.#built = undefined;
  }

  setActive(tensor: number, active: boolean): void {
    this.#active[tensor] = active;
    if (!active) this.#letGo(tensor);
    for (const row of this.#built?.rows[tensor] ?? []) this.#setFlags(row, tensor);
  }

  setScalarRow(tensor: number, row: number): void {
    this.#rowOf[tensor] = row;
    for (const at of this.#built?.rows[tensor] ?? [])
      this.#words.setWord(at + TENSOR_ROW.scalars, this.#scalarsOf(row));
  }

  setRows(rows: readonly RowOf[]): void {
    this.#rows = rows;
    if (this.#built) this.#writeRows();
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

  runPrograms(phase: number): void {
    const pipeline = this.#tables.phases[phase]?.programs as WebGpuPipeline;
    const pass = this.#begin();
    const { partials, totals, records } = this.#buffers;
    const buffers: Record<ProgramBinding, GPUBufferBinding> = {
      launch: this.#launchAt(phase, 0),
      chunks: { buffer: this.#inOrder.buffer },
      tensors: { buffer: this.#words.buffer },
      rows: { buffer: this.#rowTable.buffer },
      partials: { buffer: partials },
      scalars: { buffer: this.#scalars.buffer },
      totals: { buffer: totals },
      records: { buffer: records },
      hypers: { buffer: this.#hypers.buffer },
    };
    pass.setPipeline(pipeline.pipeline);
    pass.setBindGroup(
      0,
      this.#bindGroups.of(pipeline, `programs ${phase}`, byBinding(PROGRAM_BINDINGS, buffers)),
    );
    pass.dispatchWorkgroups(1);
    this.#dispatches++;
  }

  launch(phase: number): void {
    const pass = this.#begin();
    const { pipelines } = this.#tables.phases[phase] as Tables["phases"][number];
    const pipeline = pipelines.find((candidate) => candidate !== null) as WebGpuPipeline;
    pass.setPipeline(pipeline.pipeline);
    (this.#built as DeviceTables).dispatches.forEach((dispatch, index) => {
      if (dispatch.count === 0) return;
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
      this.#staging.copyOut(encoder, this.#active);
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
    const placements = this.#bound.map(({ storages }, tensor): Placement => {
      if (this.#staging.holds(tensor)) return "copied";
      return storages.some((storage) => storage?.kind === "foreign") ? "bound" : "arena";
    });
    return { ...this.#staging.traffic, placements, rule: RULE };
  }

  /** The step that runs may go on: buffers are destroyed once the device is done with them. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const table of [
      this.#words,
      this.#chunks,
      this.#inOrder,
      this.#launches,
      this.#rowTable,
      this.#scalars,
      this.#hypers,
    ])
      table.dispose();
    for (const buffer of Object.values(this.#buffers)) buffer.destroy();
    for (const { home, offset, bytes } of this.#totals) home.free(offset, bytes);
    this.#staging.dispose();
    this.#bindGroups.dispose();
  }

  #layout(tensor: number): ClassLayout {
    return this.#tables.classes[this.#tables.tensors[tensor]?.classIndex as number] as ClassLayout;
  }

  #scalarsOf(row: number): number {
    return rowsAt(this.#tables.numbers) + row * rowFloats(this.#tables.classes);
  }

  /** The pass of the step at hand; the first launch brings all tables up to date. */
  #begin(): GPUComputePassEncoder {
    if (this.#pass) return this.#pass;
    if (this.#disposed) throw new StepjitError("disposed", "this plan was disposed of");
    this.#checkBuffers();
    this.#flush(); // what fills state belongs to the step
    this.#built ??= this.#build();
    this.#dispatches = 0;
    for (const table of [
      this.#words,
      this.#chunks,
      this.#inOrder,
      this.#launches,
      this.#rowTable,
      this.#hypers,
    ])
      table.upload();
    this.#scalars.uploadAll(this.#scalarsOf(Math.max(1, this.#rows.length)));
    this.#device.encode((encoder) => {
      this.#staging.copyIn(encoder, this.#active);
      for (const [at, { segments }] of this.#residents)
        encoder.copyBufferToBuffer(
          segments[0]?.home.buffer as GPUBuffer,
          segments[0]?.offset as number,
          this.#hypers.buffer,
          4 * at,
          4,
        );
      this.#pass = encoder.beginComputePass({ label: "stepjit step" });
    });
    return this.#pass as unknown as GPUComputePassEncoder;
  }

  /** Throws what is known to be wrong with a tensor's buffer. */
  #checkBuffers(): void {
    if (!this.#device.hasFailures) return;
    for (const { storages } of this.#bound)
      for (const storage of storages)
        for (const { home } of storage?.segments ?? []) this.#device.checkBuffer(home.buffer);
    for (const { buffer } of this.#foreign()) this.#device.checkBuffer(buffer);
  }

  /** Buffers of somebody else's that the coming step uses, copied or bound. */
  #foreign(): Foreign[] {
    const { tensors, numbers } = this.#tables;
    const used = tensors.flatMap(({ name }, tensor) => {
      if (!this.#active[tensor]) return [];
      return STAGED_ROLES.map((role) => {
        const bound = this.#bound[tensor]?.storages[this.#layout(tensor).roles.indexOf(role)];
        const storage = this.#staging.sourceOf(tensor, role) ?? bound;
        return { name: `${role === "param" ? "parameter" : "gradient of"} "${name}"`, storage };
      });
    });
    for (const [at, storage] of this.#residents)
      used.push({ name: `hyperparameter "${numbers.hypers[at % numbers.hypers.length]}"`, storage });
    return used.flatMap(({ name, storage }) =>
      storage?.kind === "foreign" ? storage.segments.map(({ home }) => ({ name, buffer: home.buffer })) : [],
    );
  }

  /** What was encoded is a step's, or belongs to one. */
  #flush(): void {
    this.#device.flush(this.#what, this.#hear);
  }

  get #what(): string {
    return `a step of ${this.#tables.classes.map(({ name }) => name).join(", ")}`;
  }

  readonly #hear = async (error: StepjitError | undefined): Promise<void> => {
    if (!error || this.#hasFailed) return;
    this.#hasFailed = true;
    const pipelines = this.#tables.phases.flatMap((phase) => [phase.programs, ...phase.pipelines]);
    const suspects = {
      pipelines: pipelines.filter((one) => one !== null) as WebGpuPipeline[],
      buffers: this.#bindGroups.buffers,
      foreign: this.#foreign(),
    };
    this.onFailure(await explain(this.#device, this.#what, this.#refused ?? error, suspects));
  };

  #build(): DeviceTables {
    this.#placeTotals();
    const built = buildTables(this.#tables, this.#bound, this.#device.bindingBytes);
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
    this.#writeRows();
    return built;
  }

  #setFlags(row: number, tensor: number): void {
    const beside = (this.#words.word(row + TENSOR_ROW.flags) ?? 0) & FLAGS.gradBesideParam;
    this.#words.setWord(row + TENSOR_ROW.flags, beside | (this.#active[tensor] ? 0 : FLAGS.inactive));
  }

  /** Totals over axes lie beside the parameter's state over axes, so that one binding reaches both. */
  #placeTotals(): void {
    if (this.#totals.length > 0) return;
    this.#tables.tensors.forEach(({ dims }, tensor) => {
      const { totals } = this.#layout(tensor);
      if (totals.length === 0) return;
      const bound = this.#bound[tensor] as { storages: (WebGpuStorage | undefined)[]; totals: Segment[] };
      const near = bound.storages.find((storage) => storage?.kind === "axes")?.segments[0]?.home;
      const lengths = totals.map((total) => totalPlaces(total, dims));
      const bytes = lengths.map((length) => 4 * length);
      const places = near ? this.#axes.allocateIn(near, bytes) : this.#axes.allocate(bytes);
      if (!places)
        throw new StepjitError(
          "unsupported",
          `webgpu: parameter ${tensor}: its state over rows and columns and the sums over them do not fit into one binding of ` +
            `${this.#device.bindingBytes} bytes: ask for a device with larger limits`,
        );
      this.#totals.push(...places);
      bound.totals = places.map(({ home, offset }, i) => ({
        home,
        offset,
        start: 0,
        length: lengths[i] as number,
      }));
    });
  }

  /** A gradient that the parameter's binding, a window of their common buffer, does not reach. */
  #isOutOfReach(gradient: WebGpuStorage | undefined, parameter: WebGpuStorage | undefined): boolean {
    const [buffer, other] = [gradient, parameter].map((one) => one?.segments[0]?.home.buffer);
    return buffer !== undefined && buffer === other && buffer.size > this.#device.bindingBytes;
  }

  /** Who takes no part is not bound to a gradient of earlier steps, whose owner may destroy it. */
  #letGo(tensor: number): void {
    const { storages } = this.#bound[tensor] as { storages: (WebGpuStorage | undefined)[] };
    const role = this.#layout(tensor).roles.indexOf("grad");
    if (storages[role]?.kind !== "foreign") return;
    storages[role] = undefined;
    this.#built = undefined;
  }

  /** Another tensor in the same buffers is a word of the tables. */
  #rebase(
    tensor: number,
    role: number,
    before: WebGpuStorage | undefined,
    after: WebGpuStorage | undefined,
  ): boolean {
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

  #writeLaunches({ dispatches }: DeviceTables): void {
    const { phases, classes, tensors, groups, chunks } = this.#tables;
    const perPhase = Math.max(1, dispatches.length);
    const words = UNIFORM_STRIDE / 4;
    const average = chunks.length / 4 / Math.max(1, tensors.length);
    const lanes = 2 ** Math.min(Math.log2(THREADS), Math.max(0, Math.ceil(Math.log2(Math.max(1, average)))));
    const table = new Uint32Array(phases.length * (perPhase + 1) * words);
    phases.forEach(({ totals }, phase) => {
      // Programs finish what the phase before left.
      const before = phases[phase - 1]?.totals ?? 0;
      const all = [
        { first: 0, count: chunks.length / 4, stride: before },
        ...dispatches.map(({ first, count }) => ({ first, count, stride: totals })),
      ];
      all.forEach(({ first, count, stride }, index) => {
        const launch: Record<(typeof LAUNCH)[number], number> = {
          first,
          count,
          stride,
          rows: this.#rows.length,
          row_floats: rowFloats(classes),
          groups,
          tensors: tensors.length,
          lanes,
        };
        table.set(
          LAUNCH.map((name) => launch[name]),
          (phase * (perPhase + 1) + index) * words,
        );
      });
    });
    this.#launches.replace(table);
  }

  /** The uniform of a phase's programs (0) or of one of its dispatches (from 1). */
  #launchAt(phase: number, index: number): GPUBufferBinding {
    const perPhase = Math.max(1, this.#built?.dispatches.length ?? 0) + 1;
    return {
      buffer: this.#launches.buffer,
      offset: (phase * perPhase + index) * UNIFORM_STRIDE,
      size: 4 * LAUNCH.length,
    };
  }

  #buffersOf(phase: number, index: number, { windows }: Dispatch): ByBinding {
    const bindingOf = (name: keyof typeof windows): GPUBufferBinding | undefined => {
      const window = windows[name];
      if (!window || (name === "grad" && isBeside(windows))) return undefined;
      const { home, offset, bytes } = window;
      return { buffer: home.buffer, ...(bytes !== undefined && { offset, size: bytes }) };
    };
    return byBinding<KernelBinding>(KERNEL_BINDINGS, {
      launch: this.#launchAt(phase, index + 1),
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

  /** What programs have to know of parameters, and then of rows. */
  #writeRows(): void {
    const { tensors, chunks } = this.#tables;
    const table = new Uint32Array(4 * (this.#rows.length + tensors.length));
    this.#rows.forEach((row, index) => {
      let masks = 0;
      for (const [name, bit] of Object.entries(MASK_BITS))
        if (row[name as keyof typeof MASK_BITS]) masks |= bit;
      table.set([row.classIndex, row.tensor, row.group, masks], 4 * (tensors.length + index));
    });
    const runs = chunkRuns(chunks, tensors.length);
    tensors.forEach(({ group, classIndex }, tensor) => {
      const [first, count] = runs[tensor] as [number, number];
      table.set([first, count, group, classIndex], 4 * tensor);
    });
    this.#rowTable.replace(table);
    if (this.#built) this.#writeLaunches(this.#built);
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

/** The first chunk of each tensor, and how many it has. */
function chunkRuns(chunks: Uint32Array, tensors: number): [number, number][] {
  const runs = Array.from({ length: tensors }, (): [number, number] => [0, 0]);
  for (let at = 0; at < chunks.length; at += 4) {
    const run = runs[chunks[at] as number] as [number, number];
    if (run[1]++ === 0) run[0] = at / 4;
  }
  return runs;
}

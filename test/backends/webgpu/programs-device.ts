/** Runs the programs of a module on a device: the tables that a runner keeps, for parameters that are nothing but chunks. */
import { globals } from "webgpu";
import type { ClassLayout, PhaseWork } from "../../../src/backends/backend.ts";
import {
  FLAGS,
  giveAt,
  rowFloats,
  rowsAt,
  TENSOR_ROW,
  tensorRowWords,
} from "../../../src/backends/gpu/layout.ts";
import { LAUNCH, PROGRAM_BINDINGS, type ProgramBinding } from "../../../src/backends/webgpu/layout.ts";
import { emitPrograms } from "../../../src/backends/webgpu/programs.ts";
import type { Module } from "../../../src/ir/module.ts";
import { layoutOf } from "../../../src/plan/layout.ts";
import { sharesOf, worksOf } from "../../../src/plan/work.ts";

Object.assign(globalThis, globals);

export interface Parameter {
  readonly classIndex: number;
  readonly group: number;
  readonly active: boolean;
  /** Chunks of each piece. */
  readonly pieces: readonly number[];
}

export class ProgramDevice {
  readonly module: Module;
  readonly layouts: readonly ClassLayout[];
  readonly works: readonly PhaseWork[];
  /** Of the host's kind: tensor, start, length, slot. */
  readonly chunks: Uint32Array;
  /** Numbers that a chunk leaves in each phase. */
  readonly strides: readonly number[];
  readonly #device: GPUDevice;
  readonly #parameters: readonly Parameter[];
  readonly #groups: number;
  readonly #buffers = new Map<ProgramBinding, GPUBuffer>();

  constructor(
    device: GPUDevice,
    module: Module,
    classes: readonly string[],
    parameters: readonly Parameter[],
    groups: number,
  ) {
    this.#device = device;
    this.module = module;
    this.layouts = classes.map((name) => layoutOf(module, name, "f32", "vector"));
    this.works = worksOf(module, this.layouts);
    this.#parameters = parameters;
    this.#groups = groups;
    this.strides = this.works.map(({ kernels }) =>
      Math.max(0, ...kernels.map((one) => sharesOf(one).length)),
    );
    const words = tensorRowWords(this.layouts);
    const hostChunks: number[] = [];
    const deviceChunks: number[] = [];
    const tensors: number[] = [];
    const rows: number[] = [];
    parameters.forEach(({ classIndex, group, active, pieces }, parameter) => {
      const first = deviceChunks.length / 4;
      for (const count of pieces) {
        const row = new Array<number>(words).fill(0);
        row[TENSOR_ROW.classIndex] = classIndex;
        row[TENSOR_ROW.flags] = active ? 0 : FLAGS.inactive;
        row[TENSOR_ROW.parameter] = parameter;
        for (let i = 0; i < count; i++) {
          const slot = deviceChunks.length / 4;
          deviceChunks.push(tensors.length, 0, 256, slot);
          hostChunks.push(parameter, 0, 256, slot);
        }
        tensors.push(...row);
      }
      rows.push(first, deviceChunks.length / 4 - first, group, classIndex);
    });
    this.chunks = Uint32Array.from(hostChunks);
    const { numbers } = this.works[0] as PhaseWork;
    const places = Math.max(1, groups, parameters.length);
    this.#make("launch", new Uint32Array(LAUNCH.length), GPUBufferUsage.UNIFORM);
    this.#make("chunks", Uint32Array.from(deviceChunks));
    this.#make("tensors", Uint32Array.from(tensors));
    this.#make("rows", Uint32Array.from([...rows, ...rows]));
    this.#make("partials", new Float32Array((this.chunks.length / 4) * Math.max(1, ...this.strides)));
    this.#make("scalars", new Float32Array(rowsAt(numbers) + parameters.length * rowFloats(this.layouts)));
    this.#make("totals", new Float32Array(Math.max(1, numbers.totals.length) * places));
    this.#make("records", new Float32Array(Math.max(1, numbers.records.length) * parameters.length));
    this.#make("hypers", new Float32Array(Math.max(1, numbers.hypers.length) * groups));
  }

  #make(binding: ProgramBinding, data: Uint32Array | Float32Array, usage = GPUBufferUsage.STORAGE): void {
    const size = Math.max(16, data.byteLength);
    const buffer = this.#device.createBuffer({
      size,
      usage: usage | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC,
    });
    this.#buffers.set(binding, buffer);
    this.write(binding, data);
  }

  write(binding: ProgramBinding, data: Uint32Array | Float32Array, at = 0): void {
    this.#device.queue.writeBuffer(this.#buffers.get(binding) as GPUBuffer, 4 * at, data as BufferSource);
  }

  async read(binding: ProgramBinding): Promise<Float32Array> {
    const source = this.#buffers.get(binding) as GPUBuffer;
    const copy = this.#device.createBuffer({
      size: source.size,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    const encoder = this.#device.createCommandEncoder();
    encoder.copyBufferToBuffer(source, 0, copy, 0, source.size);
    this.#device.queue.submit([encoder.finish()]);
    await copy.mapAsync(GPUMapMode.READ);
    return new Float32Array(copy.getMappedRange().slice(0));
  }

  /** Where a slot of the parameter's scalar row lies: active parameters have a row each, in order. */
  slotAt(parameter: number, slot: number): number {
    const row = this.#parameters.slice(0, parameter).filter(({ active }) => active).length;
    return rowsAt(this.#numbers) + row * rowFloats(this.layouts) + slot;
  }

  giveAt(name: string): number {
    return giveAt(this.#numbers, name);
  }

  get #numbers() {
    return (this.works[0] as PhaseWork).numbers;
  }

  /** One dispatch. `partials` are what the kernels of the phase before left; `masks` by parameter. */
  async run(phase: number, partials: Float32Array, masks: readonly number[], lanes = 16): Promise<void> {
    const scalarRows = this.#parameters.flatMap(({ active, classIndex, group }, parameter) =>
      active ? [classIndex, parameter, group, masks[parameter] ?? 0] : [],
    );
    this.write("partials", partials);
    this.write("rows", Uint32Array.from(scalarRows), 4 * this.#parameters.length);
    const launch: Record<(typeof LAUNCH)[number], number> = {
      first: 0,
      count: this.chunks.length / 4,
      stride: this.strides[phase - 1] ?? 0,
      scalar_rows: scalarRows.length / 4,
      row_floats: rowFloats(this.layouts),
      groups: this.#groups,
      parameters: this.#parameters.length,
      lanes,
    };
    this.write("launch", Uint32Array.from(LAUNCH.map((name) => launch[name])));
    await this.#dispatch(emitPrograms(this.works[phase] as PhaseWork, this.layouts));
  }

  async #dispatch(text: string): Promise<void> {
    const { layout, pipeline, used } = await ready(this.#device, text);
    const bindings = this.#device.createBindGroup({
      layout,
      entries: used.map((name) => ({
        binding: PROGRAM_BINDINGS[name],
        resource: { buffer: this.#buffers.get(name) as GPUBuffer },
      })),
    });
    const encoder = this.#device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindings);
    pass.dispatchWorkgroups(1);
    pass.end();
    this.#device.queue.submit([encoder.finish()]);
  }
}

interface Ready {
  readonly used: readonly ProgramBinding[];
  readonly layout: GPUBindGroupLayout;
  readonly pipeline: GPUComputePipeline;
}

const pipelines = new Map<string, Promise<Ready>>();

/** Of one device; a software device takes seconds to compile a text. */
function ready(device: GPUDevice, text: string): Promise<Ready> {
  const known = pipelines.get(text) ?? prepare(device, text);
  pipelines.set(text, known);
  return known;
}

async function prepare(device: GPUDevice, text: string): Promise<Ready> {
  const module = device.createShaderModule({ code: text });
  const { messages } = await module.getCompilationInfo();
  if (messages.length > 0) throw new Error(`${messages.map(({ message }) => message).join("\n")}\n${text}`);
  const used = (Object.keys(PROGRAM_BINDINGS) as ProgramBinding[]).filter((name) =>
    new RegExp(`> ${name}:`).test(text),
  );
  const type = (name: ProgramBinding): GPUBufferBindingType =>
    name === "launch" ? "uniform" : text.includes(`read_write> ${name}:`) ? "storage" : "read-only-storage";
  const layout = device.createBindGroupLayout({
    entries: used.map((name) => ({
      binding: PROGRAM_BINDINGS[name],
      visibility: GPUShaderStage.COMPUTE,
      buffer: { type: type(name) },
    })),
  });
  const pipeline = await device.createComputePipelineAsync({
    layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
    compute: { module, entryPoint: "main" },
  });
  return { used, layout, pipeline };
}

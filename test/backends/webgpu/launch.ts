/**
 * Runs the kernels of one phase on a device, over tables laid out by hand, and the evaluator over the same numbers. Scalars and totals
 * that a kernel reads are made up, so that each phase stands for itself.
 */
import { expect } from "vitest";
import type { AxisTotal, ClassLayout, PhaseWork } from "../../../src/backends/backend.ts";
import { emitKernels } from "../../../src/backends/webgpu/emit.ts";
import {
  baseWord,
  COMMIT_AT,
  FLAGS,
  KERNEL_BINDINGS,
  type KernelBinding,
  LAUNCH,
  rowFloats,
  SIZES,
  sizeWord,
  TENSOR_ROW,
  tensorRowWords,
} from "../../../src/backends/webgpu/layout.ts";
import { type Dims, placesOf } from "../../../src/ir/dims.ts";
import { evaluateFunc, type Numbers } from "../../../src/ir/evaluate.ts";
import { ELEMENT, type Extent, isLevel } from "../../../src/ir/extent.ts";
import { type Func, tensorName, type Value, valueAt } from "../../../src/ir/module.ts";
import { totalName } from "../../../src/ir/spaces.ts";
import { blocksOf, chunkTable } from "../../../src/plan/chunks.ts";
import { totalPlaces } from "../../../src/plan/layout.ts";
import { sharesOf } from "../../../src/plan/work.ts";
import { randomNumbers } from "../wasm/run.ts";
import { compile } from "./dawn.ts";

export interface TestTensor {
  readonly classIndex: number;
  readonly dims: Dims;
  readonly inactive?: boolean;
  readonly gradBesideParam?: boolean;
}

export interface Launch {
  readonly work: PhaseWork;
  readonly layouts: readonly ClassLayout[];
  readonly tensors: readonly TestTensor[];
  readonly seed: number;
  /** Numbers of tensors and scalars, from one that is evenly distributed below 1. Default: 0.5 to 1.5. */
  readonly number?: (random: number) => number;
  /** The step is not to be. Default false. */
  readonly refused?: boolean;
  /** Largest |a - b| / max(1, |b|). Default 5e-6. */
  readonly tolerance?: number;
}

/** What nobody writes keeps this. */
const UNTOUCHED = 12345;
/** Floats between tensors. */
const GAP = 3;
/** Where scalar rows begin, after the commit flag. */
const ROWS_AT = 16;

/** Floats that grow as tensors are laid in. */
class Arena {
  readonly #parts: number[] = [];

  /** The place of the first. */
  put(numbers: Numbers): number {
    for (let i = 0; i < GAP; i++) this.#parts.push(UNTOUCHED);
    const at = this.#parts.length;
    for (let i = 0; i < numbers.length; i++) this.#parts.push(numbers[i] as number);
    return at;
  }

  finish(): Float32Array {
    this.put([UNTOUCHED]);
    return Float32Array.from(this.#parts);
  }
}

/** Where a tensor, or a total, of a parameter is, and what it was. */
interface Laid {
  readonly binding: KernelBinding;
  readonly at: number;
  readonly before: Numbers;
  readonly extent: Extent;
  readonly total?: AxisTotal;
}

type Arenas = Record<"param" | "grad" | "state" | "axes", Arena>;

/** Expects what the evaluator says, and that nothing else is touched. */
export async function expectLaunch(device: GPUDevice, launch: Launch): Promise<void> {
  const { work, layouts, tensors, seed, refused = false } = launch;
  const random = randomNumbers(seed);
  const number = () => Math.fround((launch.number ?? ((x) => 0.5 + x))(random()));
  const arenas: Arenas = { param: new Arena(), grad: new Arena(), state: new Arena(), axes: new Arena() };
  const places = tensors.map((tensor) => layTensor(tensor, layouts, work, arenas, number));
  const floats = rowFloats(layouts);
  const scalars = Float32Array.from({ length: ROWS_AT + tensors.length * floats }, number);
  scalars[COMMIT_AT] = refused ? 0 : 1;
  tensors.forEach(({ classIndex }, tensor) => {
    layouts[classIndex]?.scalarTypes.forEach((dtype, slot) => {
      if (dtype === "bool") scalars[ROWS_AT + tensor * floats + slot] = random() < 0.5 ? 0 : 1;
    });
  });

  const words = tensorRowWords(layouts) + 1;
  const rows = new Uint32Array(tensors.length * words);
  tensors.forEach((tensor, index) => {
    writeRow(rows.subarray(index * words), tensor, layouts, places[index] as Map<string, Laid>);
    rows[index * words + TENSOR_ROW.scalars] = ROWS_AT + index * floats;
  });
  const { chunks } = chunkTable(
    tensors.map(({ classIndex, dims }) => ({ view: (layouts[classIndex] as ClassLayout).view, dims })),
  );
  const chunkRows = chunks.map((word, index) => (index % 4 === 0 ? word * words : word));
  const stride = Math.max(0, ...work.kernels.map((kernel) => sharesOf(kernel).length));

  const contents: Record<string, Float32Array | Uint32Array> = {
    chunks: chunkRows,
    tensors: rows,
    scalars,
    partials: new Float32Array(Math.max(1, (chunks.length / 4) * stride)).fill(UNTOUCHED),
    ...Object.fromEntries(Object.entries(arenas).map(([name, arena]) => [name, arena.finish()])),
  };
  const text = emitKernels(work, layouts, "default");
  const after = await run(device, text, contents, chunks.length / 4, stride);

  // What should be there.
  const expected = Object.fromEntries(
    Object.entries(contents).map(([name, numbers]) => [name, Float64Array.from(numbers)]),
  );
  const shareChecks: (() => void)[] = [];
  tensors.forEach((tensor, index) => {
    const { name } = layouts[tensor.classIndex] as ClassLayout;
    const kernel = work.kernels.find((one) => one.name === name);
    if (!kernel || tensor.inactive) return;
    const laid = places[index] as Map<string, Laid>;
    const results = evaluateFunc(kernel, tensor.dims, (value: Value) => {
      if (value.op === "scalar")
        return [scalars[ROWS_AT + index * floats + (value.attribute as number)] as number];
      const place = laid.get(tensorName(value)) as Laid;
      return place.total?.blocked ? joinBlocks(place.before, place.total, tensor.dims) : place.before;
    });
    for (const [target, result] of results) {
      const place = laid.get(target.replace(/'$/, ""));
      if (!place)
        shareChecks.push(() =>
          expectShare(kernel, target, result[0] as number, index, chunks, after, stride, launch),
        );
      else if (place.total?.blocked) {
        // Blocks are summed apart: what matters is their sum.
        const got = (after[place.binding] as Float32Array).subarray(place.at, place.at + place.before.length);
        const whole = joinBlocks(got, place.total, tensor.dims);
        result_each(result, (want, i) =>
          expectNumber(whole[i] as number, want, `${target}[${i}] of ${index}`, launch),
        );
        (expected[place.binding] as Float64Array).set(got, place.at);
      } else if (!(work.guarded && refused && target.endsWith("'") && target !== "grad'"))
        (expected[place.binding] as Float64Array).set(Array.from(result), place.at);
    }
  });
  for (const name of ["param", "grad", "state", "axes"] as const)
    result_each(expected[name] as Float64Array, (want, i) => {
      const got = (after[name] as Float32Array)[i] as number;
      expectNumber(got, want, `${name}[${i}]`, launch, () => whereIs(places, name, i));
    });
  for (const check of shareChecks) check();
  // Slots of inactive tensors stay as they were.
  for (let chunk = 0; chunk < chunks.length / 4; chunk++)
    if (tensors[chunks[4 * chunk] as number]?.inactive)
      for (let k = 0; k < stride; k++) expect(after.partials?.[chunk * stride + k]).toBe(UNTOUCHED);
}

function result_each(numbers: Numbers, check: (number: number, index: number) => void): void {
  for (let i = 0; i < numbers.length; i++) check(numbers[i] as number, i);
}

function whereIs(places: readonly Map<string, Laid>[], binding: string, at: number): string {
  for (const [tensor, laid] of places.entries())
    for (const [role, place] of laid)
      if (place.binding === binding && place.at <= at && at < place.at + place.before.length)
        return `${role}[${at - place.at}] of tensor ${tensor}`;
  return "between tensors";
}

function expectNumber(
  got: number,
  want: number,
  what: string,
  { tolerance = 5e-6 }: Launch,
  more: () => string = () => "",
): void {
  if (Object.is(Math.fround(want), got) || Math.abs(got - want) <= tolerance * Math.max(1, Math.abs(want)))
    return;
  expect.fail(`${what} is ${got}, not ${want} ${more()}`);
}

/** All chunks of a tensor together. */
function expectShare(
  kernel: Func,
  target: string,
  want: number,
  tensor: number,
  chunks: Uint32Array,
  after: Record<string, Float32Array>,
  stride: number,
  launch: Launch,
): void {
  const shares = sharesOf(kernel);
  const k = shares.findIndex(({ name }) => `total.${name}` === target);
  const isMax = shares[k]?.op === "reduce.max";
  let got = isMax ? -Infinity : 0;
  for (let chunk = 0; chunk < chunks.length / 4; chunk++)
    if (chunks[4 * chunk] === tensor) {
      const share = after.partials?.[(chunks[4 * chunk + 3] as number) * stride + k] as number;
      got = isMax ? Math.max(got, share) : got + share;
    }
  expectNumber(got, want, `${target} of ${tensor}`, launch);
}

function layTensor(
  { classIndex, dims, gradBesideParam }: TestTensor,
  layouts: readonly ClassLayout[],
  { kernels }: PhaseWork,
  arenas: Arenas,
  number: () => number,
): Map<string, Laid> {
  const { name, roles, totals } = layouts[classIndex] as ClassLayout;
  const extents = extentsOf(kernels.find((kernel) => kernel.name === name));
  const fill = (length: number) => Float32Array.from({ length }, number);
  const laid = new Map<string, Laid>();
  for (const role of roles) {
    const extent = extents.get(role) ?? ELEMENT;
    const kind = role === "param" || role === "grad" ? role : extent === ELEMENT ? "state" : "axes";
    const binding = role === "grad" && gradBesideParam ? "param" : kind;
    const before = fill(placesOf(extent, dims));
    laid.set(role, { binding, at: arenas[binding].put(before), before, extent });
  }
  for (const total of totals) {
    const before = fill(totalPlaces(total, dims));
    const place = {
      binding: "axes",
      at: arenas.axes.put(before),
      before,
      extent: total.extent,
      total,
    } as const;
    laid.set(`total.${total.name}`, place);
  }
  return laid;
}

/** Of the tensors that a kernel touches. */
function extentsOf(kernel: Func | undefined): Map<string, Extent> {
  const extents = new Map<string, Extent>();
  if (!kernel) return extents;
  for (const value of kernel.values)
    if (!isLevel(value.type.extent)) extents.set(tensorName(value), value.type.extent);
  for (const { target, value } of kernel.outputs)
    if (totalName(target) === undefined) extents.set(target.slice(0, -1), valueAt(kernel, value).type.extent);
  return extents;
}

/** Adds up what blocks have each for themselves: their arrays lie one after the other, slab by slab. */
function joinBlocks(numbers: Numbers, { op, extent }: AxisTotal, dims: Dims): Float64Array {
  const { count } = blocksOf(dims);
  const size = placesOf(extent, dims) / dims.A;
  return Float64Array.from({ length: dims.A * size }, (_, place) => {
    const [a, at] = [Math.floor(place / size), place % size];
    const each = Array.from(
      { length: count },
      (_, block) => numbers[(a * count + block) * size + at] as number,
    );
    return op === "reduce.max" ? Math.max(...each) : each.reduce((x, y) => x + y, 0);
  });
}

function writeRow(
  row: Uint32Array,
  { classIndex, dims, inactive, gradBesideParam }: TestTensor,
  layouts: readonly ClassLayout[],
  places: ReadonlyMap<string, Laid>,
): void {
  const layout = layouts[classIndex] as ClassLayout;
  row[TENSOR_ROW.classIndex] = classIndex;
  row[TENSOR_ROW.flags] = (inactive ? FLAGS.inactive : 0) | (gradBesideParam ? FLAGS.gradBesideParam : 0);
  const order = [...layout.roles, ...layout.totals.map(({ name }) => `total.${name}`)];
  order.forEach((role, index) => {
    row[baseWord(index)] = (places.get(role) as Laid).at;
  });
  if (layout.view === "vector") return;
  const { rows, count } = blocksOf(dims);
  const sizes = { row: dims.R, b: dims.B, col: dims.C, d: dims.D, "block.rows": rows, "block.count": count };
  for (const name of SIZES) row[sizeWord(layout, name)] = sizes[name];
}

/** Two dispatches, of fewer workgroups than there are chunks; gives all that may have been written. */
async function run(
  device: GPUDevice,
  text: string,
  contents: Record<string, Float32Array | Uint32Array>,
  chunks: number,
  stride: number,
): Promise<Record<string, Float32Array>> {
  const pipeline = await compile(device, text);
  const buffers = new Map<string, GPUBuffer>();
  const { STORAGE, COPY_SRC, COPY_DST, UNIFORM, MAP_READ } = {
    STORAGE: 128,
    COPY_SRC: 4,
    COPY_DST: 8,
    UNIFORM: 64,
    MAP_READ: 1,
  };
  const make = (data: Float32Array | Uint32Array, usage: number) => {
    const buffer = device.createBuffer({ size: Math.max(16, data.byteLength), usage: usage | COPY_DST });
    device.queue.writeBuffer(buffer, 0, data as Uint32Array<ArrayBuffer>);
    return buffer;
  };
  const used = Object.keys(KERNEL_BINDINGS).filter(
    (name) => name !== "launch" && text.includes(`@binding(${KERNEL_BINDINGS[name as KernelBinding]})`),
  );
  for (const name of used) buffers.set(name, make(contents[name] as Float32Array, STORAGE | COPY_SRC));
  const encoder = device.createCommandEncoder();
  const half = Math.floor(chunks / 2);
  const made: GPUBuffer[] = [];
  for (const [first, count] of [
    [0, half],
    [half, chunks - half],
  ] as const) {
    if (count === 0) continue;
    const words: Record<string, number> = { first, count, stride };
    const uniform = make(
      Uint32Array.from(LAUNCH, (name) => words[name] ?? 0),
      UNIFORM,
    );
    made.push(uniform);
    const entries = [...buffers].map(([name, buffer]) => ({
      binding: KERNEL_BINDINGS[name as KernelBinding],
      resource: { buffer },
    }));
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(
      0,
      device.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: [{ binding: KERNEL_BINDINGS.launch, resource: { buffer: uniform } }, ...entries],
      }),
    );
    pass.dispatchWorkgroups(Math.max(1, Math.ceil(count / 2)));
    pass.end();
  }
  const copies = used.map((name) => {
    const buffer = buffers.get(name) as GPUBuffer;
    const copy = device.createBuffer({ size: buffer.size, usage: MAP_READ | COPY_DST });
    encoder.copyBufferToBuffer(buffer, 0, copy, 0, buffer.size);
    return [name, copy] as const;
  });
  device.queue.submit([encoder.finish()]);
  const after: Record<string, Float32Array> = Object.fromEntries(
    Object.entries(contents).map(([name, data]) => [name, Float32Array.from(data)]),
  );
  for (const [name, copy] of copies) {
    await copy.mapAsync(1);
    after[name] = new Float32Array(copy.getMappedRange()).slice(0, contents[name]?.length);
    copy.destroy();
  }
  for (const buffer of [...buffers.values(), ...made]) buffer.destroy();
  return after;
}

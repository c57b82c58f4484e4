/**
 * Runs the kernels of one phase on a device, over tables laid out by hand, and the evaluator over the same numbers. Scalars and totals
 * that a kernel reads are made up, so that each phase stands for itself. How a device is given all that is its launcher's business.
 */
import { expect } from "vitest";
import type { AxisTotal, ClassLayout, PhaseWork } from "../../../src/backends/backend.ts";
import {
  baseWord,
  COMMIT_AT,
  FLAGS,
  rowFloats,
  SIZES,
  sizeWord,
  TENSOR_ROW,
} from "../../../src/backends/gpu/layout.ts";
import { type Dims, placesOf } from "../../../src/ir/dims.ts";
import { evaluateFunc, type Numbers } from "../../../src/ir/evaluate.ts";
import { ELEMENT, type Extent, isLevel } from "../../../src/ir/extent.ts";
import { type Func, tensorName, type Value, valueAt } from "../../../src/ir/module.ts";
import { totalName } from "../../../src/ir/spaces.ts";
import { blocksOf, chunkTable } from "../../../src/plan/chunks.ts";
import { totalPlaces } from "../../../src/plan/layout.ts";
import { sharesOf } from "../../../src/plan/work.ts";
import { randomNumbers } from "../wasm/run.ts";

/** A device that kernels can be launched on. */
export interface Launcher {
  emit(work: PhaseWork, layouts: readonly ClassLayout[]): string;
  /** Launches over all chunks; gives all that may have been written. */
  run(text: string, scene: Scene): Promise<Contents>;
  /** Largest |a - b| / max(1, |b|). */
  readonly tolerance: number;
}

export interface TestTensor {
  readonly classIndex: number;
  readonly dims: Dims;
  readonly inactive?: boolean;
}

export interface Launch {
  readonly work: PhaseWork;
  readonly layouts: readonly ClassLayout[];
  readonly tensors: readonly TestTensor[];
  readonly seed: number;
  /** Numbers of tensors and scalars, from one that is evenly distributed below 1. Default: 0.5 to 1.5. */
  readonly number?: (random: number) => number;
  /** Gradients lie in the parameters' buffer. Default false. */
  readonly gradBesideParam?: boolean;
  /** The step is not to be. Default false. */
  readonly refused?: boolean;
  /** Of the launcher, unless this is larger. */
  readonly tolerance?: number;
}

/** What nobody writes keeps this. */
const UNTOUCHED = 12345;
/** Floats between tensors, padding not counted. */
const GAP = 4;
/** Tensors begin at multiples of so many floats and are padded to such, with NaN: it may be written but must not count. */
const ALIGNMENT = 4;
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
    while (this.#parts.length % ALIGNMENT !== 0) this.#parts.push(Number.NaN);
    return at;
  }

  finish(): Float64Array {
    this.put([UNTOUCHED]);
    return Float64Array.from(this.#parts);
  }
}

/** Where a tensor, or a total, of a parameter is, and what it was. */
export interface Laid {
  readonly binding: keyof Arenas;
  readonly at: number;
  readonly before: Numbers;
  readonly extent: Extent;
  readonly total?: AxisTotal;
}

type Arenas = Record<"param" | "grad" | "state" | "axes", Arena>;

/** All that a launch works on, and how it was laid out. */
export interface Scene {
  readonly launch: Launch;
  /** By tensor and role. */
  readonly places: readonly ReadonlyMap<string, Laid>[];
  /** Four u32 a chunk: tensor, start, length, partial slot. */
  readonly chunks: Uint32Array;
  /** Numbers a scalar row. */
  readonly floats: number;
  /** Numbers a partial slot. */
  readonly stride: number;
  readonly contents: Contents;
}

/** Tensors in their arenas, and numbers of tables. */
export type Contents = Readonly<Record<keyof Arenas | "scalars" | "partials", Float64Array>>;

/** Expects what the evaluator says, and that nothing else is touched. */
export async function expectLaunch(launcher: Launcher, given: Launch): Promise<void> {
  const tolerance = Math.max(launcher.tolerance, given.tolerance ?? 0);
  const launch = { ...given, tolerance: given.tolerance === 0 ? 0 : tolerance };
  const scene = layOut(launch);
  const after = await launcher.run(launcher.emit(launch.work, launch.layouts), scene);
  const expected = new Map(STORED.map((name) => [name, Float64Array.from(scene.contents[name])]));
  const shares = new Float64Array(after.partials.length).fill(UNTOUCHED);
  launch.tensors.forEach((tensor, index) => {
    const kernel = kernelOf(launch, tensor);
    if (!kernel || tensor.inactive) return;
    for (const [target, numbers] of evaluateKernel(scene, kernel, index)) {
      const place = scene.places[index]?.get(target.replace(/'$/, ""));
      if (!place) expectShare(scene, kernel, index, target, numbers[0] as number, after.partials, shares);
      else if (place.total?.blocked) {
        // How a sum falls apart into blocks is not the evaluator's business.
        const got = after[place.binding].subarray(place.at, place.at + place.before.length);
        expectClose(
          joinBlocks(got, place.total, tensor.dims),
          numbers,
          launch,
          (i) => `${target}[${i}] of tensor ${index}`,
        );
        expected.get("axes")?.set(got, place.at);
      } else if (!launch.work.guarded || !launch.refused || !target.endsWith("'") || target === "grad'")
        expectStored(place, numbers, after, expected);
    }
  });
  for (const [name, numbers] of expected)
    expectClose(after[name], numbers, launch, (i) => nameOf(scene, name, i));
  expect(after.partials).toEqual(shares); // of what is inactive, nothing
}

const STORED = ["param", "grad", "state", "axes"] as const;

/** What is stored, and whatever may now be in the padding behind it. */
function expectStored(
  { binding, at }: Laid,
  numbers: Numbers,
  after: Contents,
  expected: ReadonlyMap<string, Float64Array>,
): void {
  const end = at + numbers.length;
  const padding = after[binding].subarray(end, end + (-end & (ALIGNMENT - 1)));
  expected.get(binding)?.set(Array.from(numbers), at);
  expected.get(binding)?.set(padding, end);
}

function kernelOf({ layouts, work }: Launch, { classIndex }: TestTensor): Func | undefined {
  return work.kernels.find(({ name }) => name === layouts[classIndex]?.name);
}

function evaluateKernel(
  { launch, places, contents, floats }: Scene,
  kernel: Func,
  index: number,
): Map<string, Numbers> {
  const { dims } = launch.tensors[index] as TestTensor;
  return evaluateFunc(kernel, dims, (value: Value) => {
    if (value.op === "scalar")
      return [contents.scalars[ROWS_AT + index * floats + (value.attribute as number)] as number];
    const place = places[index]?.get(tensorName(value));
    const { before, total } = place as Laid;
    return total?.blocked ? joinBlocks(before, total, dims) : before;
  });
}

/** What all chunks of a tensor have of a total; puts into `shares` what they may have written. */
function expectShare(
  { launch, chunks, stride }: Scene,
  kernel: Func,
  index: number,
  target: string,
  want: number,
  partials: Float64Array,
  shares: Float64Array,
): void {
  const k = sharesOf(kernel).findIndex(({ name }) => `total.${name}` === target);
  const isMax = sharesOf(kernel)[k]?.op === "reduce.max";
  let got = isMax ? -Infinity : 0;
  for (let chunk = 0; chunk < chunks.length / 4; chunk++) {
    if (chunks[4 * chunk] !== index) continue;
    const at = (chunks[4 * chunk + 3] as number) * stride + k;
    const share = partials[at] as number;
    shares[at] = share;
    got = isMax ? Math.max(got, share) : got + share;
  }
  expectClose([got], [want], launch, () => `${target} of tensor ${index}`);
}

function expectClose(
  got: Numbers,
  want: Numbers,
  { tolerance = 0 }: Launch,
  what: (index: number) => string,
): void {
  expect(got.length).toBe(want.length);
  for (let i = 0; i < want.length; i++) {
    const [a, b] = [got[i] as number, want[i] as number];
    const same =
      Object.is(Math.fround(b), Math.fround(a)) || Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(b));
    if (!same) expect.fail(`${what(i)} is ${a}, not ${b}`);
  }
}

function nameOf({ places }: Scene, binding: string, at: number): string {
  for (const [tensor, laid] of places.entries())
    for (const [role, place] of laid)
      if (place.binding === binding && place.at <= at && at < place.at + place.before.length)
        return `${role}[${at - place.at}] of tensor ${tensor}`;
  return `${binding}[${at}], between tensors,`;
}

function layOut(launch: Launch): Scene {
  const { work, layouts, tensors, seed, refused = false } = launch;
  const random = randomNumbers(seed);
  const number = () => Math.fround((launch.number ?? ((x) => 0.5 + x))(random()));
  const arenas: Arenas = { param: new Arena(), grad: new Arena(), state: new Arena(), axes: new Arena() };
  const places = tensors.map((tensor) => layTensor(tensor, launch, arenas, number));

  const floats = rowFloats(layouts);
  const scalars = Float64Array.from({ length: ROWS_AT + tensors.length * floats }, number);
  scalars[COMMIT_AT] = refused ? 0 : 1;
  tensors.forEach(({ classIndex }, tensor) => {
    layouts[classIndex]?.scalarTypes.forEach((dtype, slot) => {
      if (dtype === "bool") scalars[ROWS_AT + tensor * floats + slot] = random() < 0.5 ? 0 : 1;
    });
  });

  const { chunks } = chunkTable(
    tensors.map(({ classIndex, dims }) => ({ view: (layouts[classIndex] as ClassLayout).view, dims })),
  );
  const stride = Math.max(0, ...work.kernels.map((kernel) => sharesOf(kernel).length));
  const contents: Contents = {
    scalars,
    partials: new Float64Array(Math.max(1, (chunks.length / 4) * stride)).fill(UNTOUCHED),
    param: arenas.param.finish(),
    grad: arenas.grad.finish(),
    state: arenas.state.finish(),
    axes: arenas.axes.finish(),
  };
  return { launch, places, chunks, floats, stride, contents };
}

function layTensor(
  tensor: TestTensor,
  launch: Launch,
  arenas: Arenas,
  number: () => number,
): Map<string, Laid> {
  const { classIndex, dims } = tensor;
  const { roles, totals } = launch.layouts[classIndex] as ClassLayout;
  const extents = extentsOf(kernelOf(launch, tensor));
  const fill = (length: number) => Float64Array.from({ length }, number);
  const laid = new Map<string, Laid>();
  for (const role of roles) {
    const extent = extents.get(role) ?? ELEMENT;
    const kind = role === "param" || role === "grad" ? role : extent === ELEMENT ? "state" : "axes";
    const binding = role === "grad" && launch.gradBesideParam ? "param" : kind;
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

/**
 * The rows of all tensors, `words` each: a number at each word. `placeOf` says where a tensor or total is; `scalarsAt` where scalar rows
 * begin.
 */
export function tensorRows(
  { launch: { layouts, tensors }, places, floats }: Scene,
  words: number,
  placeOf: (laid: Laid, tensor: number, role: string) => number,
): number[] {
  return tensors.flatMap(({ classIndex, dims, inactive }, tensor) => {
    const layout = layouts[classIndex] as ClassLayout;
    const row = new Array<number>(words).fill(0);
    row[TENSOR_ROW.classIndex] = classIndex;
    row[TENSOR_ROW.flags] = inactive ? FLAGS.inactive : 0;
    row[TENSOR_ROW.scalars] = ROWS_AT + tensor * floats;
    const order = [...layout.roles, ...layout.totals.map(({ name }) => `total.${name}`)];
    order.forEach((role, index) => {
      row[baseWord(index)] = placeOf(places[tensor]?.get(role) as Laid, tensor, role);
    });
    if (layout.view === "vector") return row;
    const { rows, count } = blocksOf(dims);
    const sizes = {
      row: dims.R,
      b: dims.B,
      col: dims.C,
      d: dims.D,
      "block.rows": rows,
      "block.count": count,
    };
    for (const name of SIZES) row[sizeWord(layout, name)] = sizes[name];
    return row;
  });
}

/** The chunks, their tensors given by the word at which each one's row begins. */
export function chunksByWord({ chunks }: Scene, words: number): Uint32Array {
  return chunks.map((word, index) => (index % 4 === 0 ? word * words : word));
}

/** What a command looks at: an optimizer, over a set of parameters, on a backend; each by a name or from a file of the user's. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { CodeGenerator } from "../backends/backend.ts";
import { CudaGenerator } from "../backends/cuda/generator.ts";
import { DryBackend } from "../backends/dry/dry.ts";
import { WatGenerator } from "../backends/wasm/generator.ts";
import { WgslGenerator } from "../backends/webgpu/generator.ts";
import { type CompileOptions, compileStep, type Step } from "../compile.ts";
import { StepjitError } from "../error.ts";
import * as stepjit from "../index.ts";
import { makeTensor } from "../make-tensor.ts";
import { GradScaler } from "../optim/grad-scaler.ts";
import { show } from "../optim/hyper.ts";
import { Optimizer } from "../optim/optimizer.ts";
import { sizeOf } from "../tensor.ts";
import { isRecord, parseJson, readText, refuse } from "./input.ts";

/** As it is asked for, in words and numbers. */
export interface Subject {
  /** A name that stepjit exports, or `file#export`. */
  readonly optimizer: string;
  /** A set by name, or a JSON file. */
  readonly params: string;
  readonly backend: BackendName;
  /** The optimizer's options, and compileStep's. */
  readonly options: Options;
  readonly stepOptions: Options;
}

export type Options = Readonly<Record<string, unknown>>;

type OptimizerClass = new (params: Record<string, stepjit.Tensor>, options: object) => Optimizer;

/** Parameters by name. */
export type Shapes = ReadonlyMap<string, readonly number[]>;

/** Who writes each backend's kernels. */
export const GENERATORS = {
  wasm: () => new WatGenerator(true),
  webgpu: () => new WgslGenerator(),
  cuda: () => new CudaGenerator(),
} as const satisfies Record<string, () => CodeGenerator>;

export type BackendName = keyof typeof GENERATORS;

/** Sets that come with stepjit: the parameters of models that everybody knows, and many small ones. */
export const SETS = ["mlp-small", "many-tiny", "resnet50", "gpt2-small"] as const;

/** A step that was taken once, over tensors without elements. Files are looked for from `folder`. */
export async function dryStep(subject: Subject, folder: string): Promise<Step> {
  const backend = new DryBackend(GENERATORS[subject.backend]());
  const shapes = loadShapes(subject.params, folder);
  const tensors = () =>
    Object.fromEntries([...shapes].map(([name, shape]) => [name, makeTensor(backend, shape)]));
  const Class = await loadOptimizer(subject.optimizer, folder);
  const step = compileStep(new Class(tensors(), subject.options), { ...stepOptionsOf(subject), backend });
  step(tensors());
  return step;
}

/** `scaler: true` is a scaler with its defaults: it cannot be written down otherwise. */
export function stepOptionsOf({ stepOptions }: Subject): CompileOptions {
  return stepOptions.scaler === true ? { ...stepOptions, scaler: new GradScaler() } : stepOptions;
}

/** Throws `invalid-option` where there is none, and says which there are. */
export async function loadOptimizer(name: string, folder: string): Promise<OptimizerClass> {
  const own: Readonly<Record<string, unknown>> = stepjit;
  const known = Object.keys(own)
    .filter((key) => isOptimizerClass(own[key]))
    .sort((a, b) => a.localeCompare(b));
  const [file, exported] = splitAt(name, "#");
  if (!/[./\\#]/.test(name))
    return known.includes(name)
      ? (own[name] as OptimizerClass)
      : refuse(`no optimizer ${show(name)}; there are ${known.join(", ")}; your own is file#export`);
  const path = resolve(folder, file);
  if (!existsSync(path)) refuse(`${file} is not there: an optimizer of your own is file#export`);
  const all = await importFile(path, file);
  const found = Object.keys(all).filter((key) => isOptimizerClass(all[key]));
  const key = exported ?? (found.length === 1 ? (found[0] as string) : "default");
  if (isOptimizerClass(all[key])) return all[key];
  const others =
    found.length === 0 ? "it exports no class that defineOptimizer made" : `there are ${found.join(", ")}`;
  const copy = isForeign(all[key])
    ? "; that one was made by another copy of stepjit than this command's"
    : "";
  return refuse(`${file} exports no optimizer ${show(key)}: ${others}${copy}`);
}

async function importFile(path: string, name: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    return await import(pathToFileURL(path).href);
  } catch (cause) {
    throw new StepjitError("invalid-option", `${name} cannot be imported: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** Throws `invalid-option`. */
export function loadShapes(name: string, folder: string): Shapes {
  const isSet = (SETS as readonly string[]).includes(name);
  if (!isSet && !name.endsWith(".json"))
    refuse(`no parameter set ${show(name)}; there are ${SETS.join(", ")}; your own is a JSON file`);
  const file = isSet
    ? fileURLToPath(new URL(`../../bench/shapes/${name}.json`, import.meta.url))
    : resolve(folder, name);
  const json = parseJson(readText(file), name);
  const entries = isRecord(json) ? (Array.isArray(json.shapes) ? json.shapes : Object.entries(json)) : [];
  if (entries.length === 0)
    refuse(
      `${name} holds no parameters: it has to be { "name": [sizes], … } or { "shapes": [["name", [sizes]], …] }`,
    );
  const shapes = entries.map((entry: unknown) => checkShape(entry, name));
  checkTogether(shapes, name);
  return new Map(shapes);
}

/** Elements of all parameters: their chunks alone take 128 MiB. */
const MOST_ELEMENTS = 2 ** 37;

function checkTogether(shapes: readonly [string, readonly number[]][], file: string): void {
  const seen = new Set<string>();
  for (const [name] of shapes) {
    if (seen.has(name)) refuse(`${file} has two parameters ${show(name)}`);
    seen.add(name);
  }
  const elements = shapes.reduce((sum, [, shape]) => sum + sizeOf(shape), 0);
  if (elements > MOST_ELEMENTS)
    refuse(`${file} has ${elements} elements; at most ${MOST_ELEMENTS} can be looked at`);
}

function checkShape(entry: unknown, file: string): [string, number[]] {
  const [name, shape] = Array.isArray(entry) ? entry : [];
  if (typeof name !== "string") refuse(`${file}: a parameter is ["name", [sizes]], got ${show(entry)}`);
  if (Array.isArray(shape) && shape.every((size) => Number.isSafeInteger(size) && size >= 0))
    return [name, shape];
  return refuse(
    `${file}: the shape of parameter ${show(name)} is a list of whole numbers, got ${show(shape)}`,
  );
}

/** `momentum=0.9`, `betas=[0,0.999]`, `amsgrad=true`: added to what was given before. Throws `invalid-option`. */
export function readOption(text: string, before: Options = {}): Options {
  const [name, value] = splitAt(text, "=");
  if (value === undefined) refuse(`an option is name=value, such as momentum=0.9, got ${show(text)}`);
  return { ...before, [name]: parseJson(value, `option ${name}`) };
}

function splitAt(text: string, mark: string): [string, string | undefined] {
  const at = text.indexOf(mark);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

function isOptimizerClass(value: unknown): value is OptimizerClass {
  return typeof value === "function" && value.prototype instanceof Optimizer;
}

function isForeign(value: unknown): boolean {
  return typeof value === "function" && "definition" in value;
}

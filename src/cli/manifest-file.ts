/** The compile manifest: a small file to commit, and to read in a pull request. */
import { show } from "../optim/hyper.ts";
import type { Engine } from "../step/engine.ts";
import { engineOf } from "../step/engines.ts";
import { isRecord, parseJson, refuse } from "./input.ts";
import { dryStep, GENERATORS, type Subject } from "./subject.ts";

/** What the step of one subject compiles to: counts that are the same on every machine. */
export interface Entry extends Subject {
  /** Kernels that are compiled. */
  readonly kernels: number;
  /** A step; on a GPU whose bindings hold everything. */
  readonly launches: number;
  /** Bytes that a step moves, and the least there is to move. */
  readonly bytesMoved: number;
  readonly bytesIdeal: number;
  /** What the plan was made for, part by part: why counts differ. */
  readonly key: Readonly<Record<string, string>>;
}

const VERSION = 1;

/** Parts of the key that the subject says already, or that are never another here. */
const SAID: ReadonlySet<string> = new Set(["optimizer", "backend", "state dicts loaded"]);

/** Compiles a subject and counts. */
export async function record(subject: Subject, folder: string): Promise<Entry> {
  const step = await dryStep(subject, folder);
  const { kernels, launches, bytesMoved, bytesIdeal } = step.stats;
  const { key } = (engineOf(step) as Engine).planned;
  const parts = [...key].filter(([part]) => !SAID.has(part));
  return { ...subject, kernels, launches, bytesMoved, bytesIdeal, key: Object.fromEntries(parts) };
}

/** `SGD momentum=0.9 clipNorm=1 over resnet50 on wasm`: subjects with one name are one. */
export function nameOf({ optimizer, params, backend, options, stepOptions }: Subject): string {
  const said = Object.entries({ ...options, ...stepOptions }).map(
    ([name, value]) => ` ${name}=${JSON.stringify(value)}`,
  );
  return `${optimizer}${said.join("")} over ${params} on ${backend}`;
}

/** Entries in order of their names, each on three lines, so that a difference shows what differs: subject, counts or key. */
export function printManifest(entries: readonly Entry[]): string {
  const sorted = [...entries].sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
  return `{ "version": ${VERSION}, "entries": [\n${sorted.map(printEntry).join(",\n")}\n] }\n`;
}

function printEntry({ kernels, launches, bytesMoved, bytesIdeal, key, ...subject }: Entry): string {
  const parts = [subject, { kernels, launches, bytesMoved, bytesIdeal }, { key }];
  return `{ ${parts.map((part) => JSON.stringify(part).slice(1, -1)).join(",\n  ")} }`;
}

const FIELDS: Readonly<Record<keyof Entry, readonly [allowed: string, fits: (value: unknown) => boolean]>> = {
  optimizer: ["a name, or file#export", isText],
  params: ["the name of a set, or a file", isText],
  backend: [
    `one of ${Object.keys(GENERATORS).join(", ")}`,
    (value) => isText(value) && Object.hasOwn(GENERATORS, value),
  ],
  options: ["an object", isRecord],
  stepOptions: ["an object", isRecord],
  kernels: ["a whole number", isCount],
  launches: ["a whole number", isCount],
  bytesMoved: ["a whole number", isCount],
  bytesIdeal: ["a whole number", isCount],
  key: ["an object of texts", (value) => isRecord(value) && Object.values(value).every(isText)],
};

/** Throws `invalid-option` for what is no manifest, naming the entry and the field. */
export function parseManifest(text: string, file: string): Entry[] {
  const json = parseJson(text, file);
  if (!isRecord(json) || !Array.isArray(json.entries)) refuse(`${file} is no manifest: it has no entries`);
  if (json.version !== VERSION)
    refuse(`${file} is a manifest of version ${show(json.version)}; this stepjit reads ${VERSION}`);
  return json.entries.map((entry, index) => {
    for (const [field, [allowed, fits]] of Object.entries(FIELDS)) {
      const value = isRecord(entry) ? entry[field] : undefined;
      if (!fits(value)) refuse(`${file}, entry ${index}: ${field} is ${allowed}, got ${show(value)}`);
    }
    return entry as Entry;
  });
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

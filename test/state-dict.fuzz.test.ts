/** Damaged state dicts and files: a load succeeds or refuses with `invalid-state`, and a refusal has changed nothing at all. */
import fc from "fast-check";
import {
  Adam,
  compileStep,
  count,
  defineOptimizer,
  loadSafetensors,
  type Optimizer,
  type StateDict,
  StepjitError,
  saveSafetensors,
  scalar,
  tensor,
} from "stepjit";
import { add, mul } from "stepjit/ops";
import { beforeAll, describe, expect, test } from "vitest";
import { visibleStateDict } from "../src/optim/state-dict.ts";
import { numbers } from "./models.ts";

/** Fixed, so that a run can be repeated; fast-check prints it with the path of a failure. */
const SEED = 20_240_613;
const RUNS = 400;

/** State over elements, of one number in both dtypes, and a count. */
const Mixed = defineOptimizer({
  name: "Mixed",
  hyper: { lr: { default: 0.1, min: 0 }, momentum: { default: 0.5 } },
  flags: { flipped: false },
  derive: ({ momentum }) => ({ hasBuffer: momentum !== 0 }),
  state: {
    step: count,
    single: { extent: "param", dtype: "f32", init: 1 },
    double: { extent: "param", init: 1 },
    buffer: { when: "hasBuffer" },
    constructor: { when: "flipped" },
  },
  update({ param, grad, state, hyper, flags }) {
    state.single = mul(state.single, hyper.lr);
    state.double = mul(state.double, hyper.lr);
    if (flags.hasBuffer) state.buffer = add(mul(state.buffer, hyper.momentum), grad);
    if (flags.flipped) state.constructor = add(state.constructor, grad);
    return add(param, mul(state.single, grad));
  },
});

interface Scene {
  readonly optimizer: Optimizer;
  /** One more step. */
  readonly advance: () => void;
}

function trained(optimizer: Optimizer): Scene {
  const step = compileStep(optimizer, { backend: "reference" });
  const gradients = optimizer.parameters.map(({ tensor: { size, dtype } }, i) =>
    dtype === "float32" ? Float32Array.from(numbers(size, i)) : Float64Array.from(numbers(size, i)),
  );
  const advance = () => step(gradients);
  step([...gradients.slice(0, -1), null]); // the last one has not stepped yet
  return { optimizer, advance };
}

const SCENES: Readonly<Record<string, () => Scene>> = {
  "Adam in named groups": () =>
    trained(
      new Adam([
        { params: { "a.weight": tensor(numbers(6), [2, 3]), bias: tensor([3], "float64") }, amsgrad: true },
        { params: { scale: tensor([]), late: tensor([2]) }, lr: scalar(0.5) },
      ]),
    ),
  "Mixed without names": () =>
    trained(new Mixed([tensor(numbers(3), [3]), tensor([0]), tensor([2], "float64"), tensor([1])])),
};

/** All that a load may change, inside and out. */
const photograph = (optimizer: Optimizer) =>
  structuredClone({
    dict: visibleStateDict(optimizer),
    groups: optimizer.paramGroups.map(({ settings, flags, flagsKey }) => ({ settings, flags, flagsKey })),
    parameters: optimizer.parameters.map(({ tensor, count, numbers, slots }) => ({
      data: tensor.data.slice(),
      count,
      numbers,
      slots: [...slots].map(([name, { live, zeroed, storage }]) => ({
        name,
        live,
        zeroed,
        data: storage.view().slice(),
      })),
    })),
    revision: optimizer.revision,
  });

/** Returns whether it loaded. */
function attempt({ optimizer, advance }: Scene, make: () => Scene, load: () => unknown): boolean {
  const before = photograph(optimizer);
  try {
    load();
  } catch (error) {
    if (!(error instanceof StepjitError) || error.code !== "invalid-state") throw error;
    expect(error.message.length).toBeLessThan(5_000);
    expect(photograph(optimizer)).toEqual(before);
    return false;
  }
  // What was taken is whole: the next step runs on it, and another optimizer takes it again.
  make().optimizer.loadStateDict(visibleStateDict(optimizer));
  advance();
  return true;
}

const huge = () => new Array(2 ** 32 - 1);
const deep = (open: string, close: string) => () =>
  JSON.parse(`${open.repeat(20_000)}1${close.repeat(20_000)}`);
const detached = () => {
  const data = new Float32Array(6);
  structuredClone(data, { transfer: [data.buffer] });
  return data;
};

/** Values that should not be where they are put. Made afresh, since some of them are changed later. */
const SMALL: readonly (() => unknown)[] = [
  ...[undefined, null, Number.NaN, Infinity, -1, -0, 0.5, 3, 2 ** 53, 2 ** 60, 1e308].map((one) => () => one),
  ...["", "0", "NaN", "__proto__", "float32", true, false, 1n].map((one) => () => one),
  () => Symbol("s"),
  () => () => 1,
  () => [],
  () => ({}),
  () => [0, 0],
  () => Object.create(null),
  () => Object.create({ params: [0], step: 1, exp_avg: 1 }),
  () => new Map([["params", [0]]]),
  () => new Date(0),
  () => new Float32Array(6),
  () => new Float64Array(1),
  () => new Int32Array(6),
  () => new ArrayBuffer(8),
  () => ({ dtype: "float32", shape: [2, 3], data: new Float32Array(6) }),
  () => ({ dtype: "float32", shape: [], data: Float32Array.of(7) }),
  () => JSON.parse('{ "__proto__": { "lr": 1, "params": [0] } }'),
  () => JSON.parse('{ "constructor": { "name": { "toString": 1, "valueOf": 1 } } }'),
  detached,
];

/** Those that JSON.stringify walks for ages, or not at all. */
const LARGE: readonly (() => unknown)[] = [
  huge,
  () => ({ dtype: "float32", shape: huge(), data: new Float32Array(6) }),
  () => new Float32Array(100_000),
  deep("[", "]"),
  deep('{"a":', "}"),
];

const KEYS = [
  ...["__proto__", "constructor", "toString", "length", "0", "7", "-1", "9007199254740993", "params"],
  ...["param_names", "state", "param_groups", "step", "lr", "betas", "data", "shape", "dtype", "exp_avg"],
];

const pick = fc.nat({ max: 1_000_000 });
const hostile = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...SMALL, ...LARGE) },
  {
    weight: 1,
    arbitrary: fc
      .anything({
        withBigInt: true,
        withMap: true,
        withNullPrototype: true,
        withSparseArray: true,
        withTypedArray: true,
      })
      .map((value) => () => value),
  },
);

/** One act of damage to a tree of objects and lists. */
type Damage = readonly [
  kind: "replace" | "remove" | "add" | "swap",
  place: number,
  other: number,
  value: () => unknown,
];
const damage: fc.Arbitrary<Damage> = fc.tuple(
  fc.constantFrom("replace", "remove", "add", "swap"),
  pick,
  pick,
  hostile,
);

type Container = Record<string, unknown>;

/** Each place where a value is, within what came from a dict (hostile values are not entered: some have no end). */
function placesOf(value: unknown, depth = 0): [Container, string][] {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value) || depth > 6) return [];
  const keys = Object.keys(value).slice(0, 50);
  const container = value as Container;
  return keys.flatMap((key) => [
    [container, key] as [Container, string],
    ...placesOf(container[key], depth + 1),
  ]);
}

const put = (container: Container, key: string, value: unknown) =>
  !(Array.isArray(container) && key === "length") &&
  Object.defineProperty(container, key, { value, enumerable: true, configurable: true, writable: true });

function spoil(root: { value: unknown }, [kind, place, other, value]: Damage): void {
  const places = placesOf(root);
  const [container, key] = places[place % places.length] as [Container, string];
  const [second, secondKey] = places[other % places.length] as [Container, string];
  if (Object.isFrozen(container) || Object.isFrozen(second)) return;
  if (kind === "remove" && container !== root) delete container[key];
  else if (kind === "add" && container !== root) put(container, KEYS[other % KEYS.length] as string, value());
  else if (kind === "swap") {
    const [a, b] = [container[key], second[secondKey]];
    put(container, key, b);
    put(second, secondKey, a);
  } else put(container, key, value());
}

/** Runs a property, and sees to it that it met both ways out. */
function check<T>(arbitrary: fc.Arbitrary<T>, property: (input: T) => boolean): void {
  const met = new Set<boolean>();
  fc.assert(
    fc.property(arbitrary, (input) => {
      met.add(property(input));
    }),
    { seed: SEED, numRuns: RUNS },
  );
  expect([...met].sort()).toEqual([false, true]);
}

describe.each(Object.entries(SCENES))("%s", (_name, make) => {
  let scene: Scene;
  let saved: StateDict;
  let file: Uint8Array<ArrayBuffer>;
  beforeAll(async () => {
    scene = make();
    saved = await scene.optimizer.stateDict();
    file = await saveSafetensors(scene.optimizer);
  });

  const dicts = fc.record({
    damages: fc.array(damage, { minLength: 1, maxLength: 4 }),
    strict: fc.boolean(),
  });

  test("a damaged state dict", () => {
    check(dicts, ({ damages, strict }) => {
      const root = { value: structuredClone(saved) as unknown };
      for (const one of damages) spoil(root, one);
      return attempt(scene, make, () => scene.optimizer.loadStateDict(root.value as StateDict, { strict }));
    });
  });

  test("a state dict of anything", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.anything(), fc.record({ state: fc.anything(), param_groups: fc.array(fc.anything()) })),
        fc.boolean(),
        (value, strict) => {
          attempt(scene, make, () => scene.optimizer.loadStateDict(value as StateDict, { strict }));
        },
      ),
      { seed: SEED, numRuns: RUNS },
    );
  });

  /** Damage to bytes: flips, cuts, moved ranges, lengths. */
  type Bytes = (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>;
  const flip = fc.tuple(pick, fc.nat({ max: 7 })).map(
    ([at, bit]): Bytes =>
      (bytes) => {
        const index = at % Math.max(1, bytes.length);
        bytes[index] = (bytes[index] ?? 0) ^ (1 << bit);
        return bytes;
      },
  );
  const cut = pick.map(
    (at): Bytes =>
      (bytes) =>
        bytes.slice(0, at % (bytes.length + 1)),
  );
  const insert = fc.tuple(pick, fc.uint8Array({ maxLength: 20 })).map(
    ([at, more]): Bytes =>
      (bytes) => {
        const index = at % (bytes.length + 1);
        return Uint8Array.of(...bytes.slice(0, index), ...more, ...bytes.slice(index));
      },
  );
  const move = fc.tuple(pick, pick, fc.nat({ max: 64 })).map(
    ([from, to, length]): Bytes =>
      (bytes) => {
        const start = from % (bytes.length + 1);
        return bytes.copyWithin(to % (bytes.length + 1), start, start + length);
      },
  );
  const claim = fc
    .oneof(
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      fc.bigInt({ min: 0n, max: 4096n }),
      fc.constantFrom(99_999_999n, 2n ** 32n, 2n ** 53n),
    )
    .map(
      (length): Bytes =>
        (bytes) => {
          if (bytes.length >= 8) new DataView(bytes.buffer).setBigUint64(0, length, true);
          return bytes;
        },
    );
  const bytes = fc.array(fc.oneof(flip, cut, insert, move, claim), { minLength: 1, maxLength: 3 });

  test("a file with damaged bytes", () => {
    check(fc.tuple(bytes, fc.boolean()), ([changes, strict]) => {
      const damaged = changes.reduce((before, change) => change(before), file.slice());
      return attempt(scene, make, () => loadSafetensors(scene.optimizer, damaged, { strict }));
    });
  });

  /** The header, with the JSON inside of it opened too, and the data. */
  function openFile() {
    const length = Number(new DataView(file.buffer).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length)));
    const { param_groups, state, ...more } = header.__metadata__;
    header.__metadata__ = { ...more, param_groups: JSON.parse(param_groups), state: JSON.parse(state) };
    return { header, data: file.subarray(8 + length) };
  }

  /** The way back; what no JSON can hold is left out, what was to be text is made text again. */
  function closeFile(header: unknown, data: Uint8Array): Uint8Array {
    const plain = (_: string, value: unknown) => (typeof value === "bigint" ? Number(value) : value);
    const isTree = (value: unknown): value is Container => typeof value === "object" && value !== null;
    if (isTree(header) && isTree(header.__metadata__))
      for (const key of ["param_groups", "state"])
        if (isTree(header.__metadata__[key]))
          put(header.__metadata__, key, JSON.stringify(header.__metadata__[key], plain));
    const text = new TextEncoder().encode(JSON.stringify(header, plain) ?? "");
    const made = new Uint8Array(8 + text.length + data.length);
    new DataView(made.buffer).setBigUint64(0, BigInt(text.length), true);
    made.set(text, 8);
    made.set(data, 8 + text.length);
    return made;
  }

  const modest = fc.tuple(
    fc.constantFrom<Damage[0]>("replace", "remove", "add", "swap"),
    pick,
    pick,
    fc.constantFrom(...SMALL),
  );

  test("a file with a damaged header", () => {
    check(fc.tuple(fc.array(modest, { minLength: 1, maxLength: 3 }), fc.boolean()), ([damages, strict]) => {
      const { header, data } = openFile();
      const root = { value: header };
      for (const one of damages) spoil(root, one);
      let damaged: Uint8Array;
      try {
        damaged = closeFile(root.value, data);
      } catch {
        return attempt(scene, make, () => loadSafetensors(scene.optimizer, file, { strict })); // a cycle: no JSON
      }
      return attempt(scene, make, () => loadSafetensors(scene.optimizer, damaged, { strict }));
    });
  });
});

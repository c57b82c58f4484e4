/**
 * Offload: for backends where reductions stay on the device, cuts step bodies and scalar programs into what the host knows and what
 * only the device knows. A step then never waits for the device: the host does its part of all phases at once, ahead, in f64; the
 * device goes on from there between its launches, in f32.
 *
 *     step phase 1 {                              step phase 0 {
 *       f64@step %0 = total n                       f64@step %0 = hyper clipNorm
 *       f64@step %1 = hyper clipNorm                give.host0 = %0
 *       f64@step %2 = div %1 %0           →       }
 *       give.c = %2                               step phase 1 on device {
 *     }                                             f64@step %0 = given host0
 *                                                   f64@step %1 = total n
 *                                                   f64@step %2 = div %0 %1
 *                                                   give.c = %2
 *                                                 }
 *
 * Only the device knows: totals, and what a step body on the device gives; hyperparameters that live there; and where the step may
 * turn out not to be (its `commit` is such a value), how many steps were: so step counts, `mask first` and state of one number. State
 * of one number is also there if what it becomes is. All else is the host's and moves to phase 0. Its numbers travel in slots of the
 * scalar table, or as gives of the step body: those that are there anyway, else new ones. Constants are copied.
 *
 * It does not pay on a backend whose reductions the host finishes anyway: there f64 and one interpreter are the better deal.
 *
 * In f32 a power is worth its logarithm: 1 - b^t would lose all digits for b near 1. On the device
 *
 *     1 - pow b e  →  -expm1(e · log b)           pow b e  →  exp(e · log b)
 *
 * with log b computed by the host where it knows b. log 0 is -1e30 instead: shaders may assume that there are no infinities, and this
 * is finite, as are its products with any count of steps, while its exp is 0 and 1 - 0^t comes out as 1. A base known to the device
 * only, to the power of a whole constant, is multiplied out. Any other power of a negative number is NaN there.
 */
import { Builder } from "../ir/build.ts";
import type { Func, Module, Output, Value, ValueId } from "../ir/module.ts";
import { slice } from "../ir/slice.ts";
import { batch } from "./batch.ts";
import { eliminateCommonSubexpressions } from "./cse.ts";

/** `module` is batched, as is the result; `resident` has the hyperparameter members (`lr`, `betas.0`) that live on the device. */
export function offload(module: Module, resident: ReadonlySet<string>): Module {
  const above = module.funcs.filter(({ kind }) => kind === "step" || kind === "scalars");
  const device = new DeviceValues(above, resident);
  if (!above.some((func) => func.outputs.some((output) => device.writes(func, output)))) return module;
  const owners = [...new Set(above.map(({ name }) => name))];
  const parts = owners.map((owner) =>
    cut(
      above.filter(({ name }) => name === owner),
      device,
    ),
  );
  return batch({
    ...module,
    funcs: [
      ...parts.flatMap(({ host }) => host),
      ...parts.flatMap((part) => part.device),
      ...module.funcs.filter(({ kind }) => kind === "kernel"),
    ],
  });
}

/** Tells what only the device knows. */
class DeviceValues {
  readonly #resident: ReadonlySet<string>;
  readonly #gives = new Set<string>();
  /** State of one number. */
  readonly #numbers = new Set<string>();
  /** Whether the host knows that the step will be. */
  #certain = true;

  constructor(above: readonly Func[], resident: ReadonlySet<string>) {
    this.#resident = resident;
    for (const [, { target }] of this.#found(above, "step")) {
      if (target === "commit") this.#certain = false;
      else this.#gives.add(target.slice("give.".length));
    }
    // What one number becomes may depend on another one that turns out to be the device's.
    for (let before = -1; before < this.#numbers.size; ) {
      before = this.#numbers.size;
      for (const [, output] of this.#found(above, "scalars"))
        if (isState(output)) this.#numbers.add(stateName(output));
    }
  }

  /** By value: true where it depends on something that the device knows. */
  of({ values }: Func): boolean[] {
    const found: boolean[] = [];
    for (const value of values)
      found.push(this.#isSource(value) || value.args.some((arg) => found[arg] === true));
    return found;
  }

  writes(func: Func, output: Output): boolean {
    return this.of(func)[output.value] === true || (isState(output) && !this.#certain);
  }

  #found(above: readonly Func[], kind: Func["kind"]): [Func, Output][] {
    return above
      .filter((func) => func.kind === kind)
      .flatMap((func) =>
        func.outputs
          .filter((output) => this.writes(func, output))
          .map((output): [Func, Output] => [func, output]),
      );
  }

  #isSource({ op, attribute, type }: Value): boolean {
    const name = String(attribute);
    switch (op) {
      case "total":
        return true;
      case "given":
        return this.#gives.has(name);
      case "hyper":
        return type.extent === "group" && this.#resident.has(name);
      case "state":
        return this.#numbers.has(name);
      case "stepcount":
        return !this.#certain;
      case "mask":
        return !this.#certain && name === "first";
      default:
        return false;
    }
  }
}

function isState({ target }: Output): boolean {
  return target.startsWith("state.");
}

function stateName({ target }: Output): string {
  return target.slice("state.".length, -"'".length);
}

/** What one owner (the step, or a class) has in all phases, as one part for the host and at most one a phase for the device. */
function cut(funcs: readonly Func[], device: DeviceValues): { host: Func[]; device: Func[] } {
  const merged = merge(funcs);
  const func = share(withoutPowers(merged, device.of(merged)));
  const phases = funcs.flatMap(({ phase = 0, outputs }) => outputs.map(() => phase));
  const isDevice = device.of(func);
  const mine = func.outputs.map((output) => !device.writes(func, output));
  const travel = new Travel(
    func,
    func.outputs.filter((_, index) => mine[index]),
  );
  const parts = [...new Set(phases)].flatMap((phase) => {
    const outputs = func.outputs.filter((_, index) => phases[index] === phase && !mine[index]);
    const crosses = (id: ValueId, { op }: Value) => !isDevice[id] && op !== "const" && op !== "broadcast";
    return outputs.length === 0
      ? []
      : slice(func, outputs, { phase, on: "device" }, (id, value) =>
          crosses(id, value) ? travel.read(id, value) : undefined,
        );
  });
  const host = travel.outputs.length === 0 ? [] : [slice(func, travel.outputs, { phase: 0 })];
  return { host, device: parts };
}

/** The values and outputs of all, one after the other, what is common once. */
function merge(funcs: readonly Func[]): Func {
  const values: Value[] = [];
  const outputs: Output[] = [];
  for (const func of funcs) {
    const start = values.length;
    const shift = (id: ValueId) => start + id;
    values.push(...func.values.map((value) => ({ ...value, args: value.args.map(shift) })));
    outputs.push(...func.outputs.map(({ target, value }) => ({ target, value: shift(value) })));
  }
  return share({ ...(funcs[0] as Func), values, outputs });
}

function share(func: Func): Func {
  return eliminateCommonSubexpressions({ name: "", funcs: [func] }).funcs[0] as Func;
}

/** How numbers of the host get to the device: through what it writes anyway, or through outputs added here. */
class Travel {
  /** All that the host writes. */
  readonly outputs: Output[];
  readonly #input: "given" | "scalar";
  /** By value: its give or slot. */
  readonly #known = new Map<ValueId, string | number>();
  /** Names that are free. */
  readonly #fresh: Iterator<string | number>;

  constructor({ kind, outputs: all }: Func, outputs: readonly Output[]) {
    this.outputs = [...outputs];
    const prefix = kind === "step" ? "give." : "scalar.";
    const named = ({ target }: Output) => (target.startsWith(prefix) ? [target.slice(prefix.length)] : []);
    const taken = all.flatMap(named);
    this.#input = kind === "step" ? "given" : "scalar";
    this.#fresh = kind === "step" ? freshGives(taken) : count(1 + Math.max(-1, ...taken.map(Number)));
    for (const output of outputs)
      for (const name of named(output)) this.#known.set(output.value, kind === "step" ? name : Number(name));
  }

  /** The input that stands for a value of the host. */
  read(id: ValueId, { type, source }: Value): Value {
    let attribute = this.#known.get(id);
    if (attribute === undefined) {
      attribute = this.#fresh.next().value as string | number;
      this.#known.set(id, attribute);
      this.outputs.push({ target: `${this.#input === "given" ? "give" : "scalar"}.${attribute}`, value: id });
    }
    return { op: this.#input, type, args: [], attribute, ...(source !== undefined && { source }) };
  }
}

function* count(from: number): Generator<number> {
  for (let next = from; ; next++) yield next;
}

function* freshGives(taken: readonly string[]): Generator<string> {
  for (const index of count(0)) if (!taken.includes(`host${index}`)) yield `host${index}`;
}

/** Stands for log 0. */
const LOG_OF_ZERO = -1e30;

/** Whole exponents up to here are multiplied out. */
const MOST_FACTORS = 32;

/** Powers that the device has to compute, and their distance from 1, in the words of exp and log. */
function withoutPowers(func: Func, isDevice: readonly boolean[]): Func {
  const at = new Builder(func.kind, func.name, "f64");
  const moved: ValueId[] = [];
  func.values.forEach((old, id) => {
    const value = { ...old, args: old.args.map((arg) => moved[arg] as ValueId) };
    moved.push((isDevice[id] ? rewrite(value, at) : undefined) ?? at.push(value));
  });
  const outputs = func.outputs.map(({ target, value }) => ({ target, value: moved[value] as ValueId }));
  return { ...func, values: at.values, outputs };
}

function rewrite({ op, args, type, source }: Value, at: Builder): ValueId | undefined {
  const [a, b] = args as [ValueId, ValueId];
  const right = at.values[b];
  if (op === "sub" && right?.op === "exp" && constantBehind(a, at) === 1)
    return at.map("neg", [at.map("expm1", right.args, source)], source);
  if (op !== "pow") return undefined;
  const exponent = constantBehind(b, at);
  if (Number.isInteger(exponent) && Math.abs(exponent as number) <= MOST_FACTORS)
    return at.broadcast(wholePower(a, exponent as number, at, source), type.extent, source);
  return at.map("exp", [at.map("mul", [b, logOf(a, at, source)], source)], source);
}

/** By squaring. */
function wholePower(x: ValueId, exponent: number, at: Builder, source: string | undefined): ValueId {
  if (exponent === 0) return at.constant(1, source);
  if (exponent < 0)
    return at.map("div", [at.constant(1, source), wholePower(x, -exponent, at, source)], source);
  if (exponent === 1) return x;
  const half = wholePower(x, Math.floor(exponent / 2), at, source);
  const square = at.map("mul", [half, half], source);
  return exponent % 2 === 0 ? square : at.map("mul", [square, x], source);
}

function logOf(x: ValueId, at: Builder, source: string | undefined): ValueId {
  const number = constantBehind(x, at);
  if (number !== undefined) return at.constant(number === 0 ? LOG_OF_ZERO : Math.log(number), source);
  const isZero = at.map("equal", [x, at.constant(0, source)], source);
  return at.map("select", [isZero, at.constant(LOG_OF_ZERO, source), at.map("log", [x], source)], source);
}

/** The number behind a constant, widened or not. */
function constantBehind(id: ValueId, at: Builder): number | undefined {
  const { op, args, attribute } = at.values[id] as Value;
  if (op === "broadcast") return constantBehind(args[0] as ValueId, at);
  return op === "const" ? (attribute as number) : undefined;
}

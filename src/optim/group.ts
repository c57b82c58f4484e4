import type { Storage } from "../backends/backend.ts";
import { StepjitError } from "../error.ts";
import {
  type AnyDefinition,
  type FlagValues,
  type HyperNumbers,
  type HyperValue,
  memberNames,
} from "../trace/definition.ts";
import { checkFlag, HyperCell, isResident, type Member, numberOf, show } from "./hyper.ts";
import type { Parameter } from "./parameter.ts";
import { factorsOf, type ScaledNumbers, type ScaleRule } from "./scales.ts";

/**
 * Parameters that share hyperparameters and flags. Every hyperparameter and flag is a property: reading gives numbers and booleans,
 * assigning checks first (and changes nothing if it throws), a pair such as betas is replaced whole. A number never compiles
 * anything; a flag makes a new class.
 *
 * A number may stand in a tensor of one element (`group.assign({ lr: tensor })`), which every step reads, and which a number that is
 * assigned later is written to. Where that tensor is on a device, reading the property gives the tensor.
 */
export class ParamGroup {
  /** Its place among the optimizer's groups. */
  readonly index: number;
  readonly #definition: AnyDefinition;
  readonly #parameters: Parameter[];
  readonly #cells: Record<string, HyperCell>;
  readonly #order: readonly HyperCell[];
  readonly #flags: FlagValues;
  /** Derived flags: true where the numbers say so, or where state is there for them. */
  #derived: FlagValues = {};
  readonly #kept = new Set<string>();
  #flagsKey = "";
  readonly #numbers: Float64Array;
  readonly #scaled: ScaledNumbers[] = [];
  readonly #residents = new Map<string, Storage>();

  /** Throws `invalid-hyperparameter`. */
  constructor(
    definition: AnyDefinition,
    index: number,
    parameters: Parameter[],
    options: Record<string, unknown>,
    scales: readonly ScaleRule[] = [],
  ) {
    this.index = index;
    this.#definition = definition;
    this.#parameters = parameters;
    this.#flags = { ...definition.flags };
    this.#cells = Object.fromEntries(
      Object.entries(definition.hyper).map(([name, spec]) => [name, new HyperCell(name, spec)]),
    );
    this.#order = Object.values(this.#cells);
    for (const name of Object.keys(this.settings))
      Object.defineProperty(this, name, {
        enumerable: true,
        get: () => this.settings[name],
        set: (value: unknown) => this.assign({ [name]: value }),
      });
    this.#numbers = new Float64Array(this.#order.reduce((sum, { size }) => sum + size, 0));
    this.assign(options);
    for (const parameter of parameters) parameter.scaled = this.#scaledBy(factorsOf(scales, parameter.name));
    this.#checkScales(new Map(this.#order.map((cell) => [cell, cell.members])));
    this.refresh();
  }

  /** Its tensors, in order. */
  get params(): Parameter["tensor"][] {
    return this.#parameters.map(({ tensor }) => tensor);
  }

  /** @internal */
  get parameters(): readonly Parameter[] {
    return this.#parameters;
  }

  /** All hyperparameters and flags by name. */
  get settings(): Record<string, HyperValue | boolean> {
    const settings: Record<string, HyperValue | boolean> = {};
    for (const cell of this.#order) settings[cell.name] = cell.value;
    return Object.assign(settings, this.#flags);
  }

  /** The hyperparameters as the maths has them. */
  get hyper(): HyperNumbers {
    const hyper: Record<string, unknown> = {};
    for (const cell of this.#order) hyper[cell.name] = cell.shape(cell.numbers);
    return hyper as HyperNumbers;
  }

  /** @internal The hyperparameters as one of the parameters has them. */
  hyperOf({ scaled }: Parameter): HyperNumbers {
    return withFactors(this.hyper, scaled);
  }

  /** @internal The same, those on a device read. */
  async readHyper({ scaled }: Parameter): Promise<HyperNumbers> {
    const hyper = await Promise.all(
      this.#order.map(async (cell) => [cell.name, cell.shape(await cell.read())] as const),
    );
    return withFactors(Object.fromEntries(hyper) as HyperNumbers, scaled);
  }

  /** @internal A hyperparameter's numbers, and what stands for some; undefined where there is none of this name. */
  members(name: string): readonly Member[] | undefined {
    return this.#cells[name]?.members;
  }

  /** Flags and derived flags: what the maths depends on. */
  get flags(): FlagValues {
    return { ...this.#flags, ...this.#derived };
  }

  /** @internal Members of hyperparameters that live on a device (`lr`, `betas.0`), and where. */
  get residents(): ReadonlyMap<string, Storage> {
    return this.#residents;
  }

  /** @internal The same with NaN for residents: a number that is loaded goes where only the device reads it. */
  withoutResidents(hyper: HyperNumbers): HyperNumbers {
    const known: Record<string, unknown> = { ...hyper };
    for (const cell of this.#order)
      if (cell.members.some(isResident)) {
        const numbers = [hyper[cell.name] as number].flat();
        known[cell.name] = cell.shape(
          numbers.map((number, i) => (cell.isResidentAt(i) ? Number.NaN : number)),
        );
      }
    return known as HyperNumbers;
  }

  /** @internal Changes whenever a flag does; cheap to compare. */
  get flagsKey(): string {
    return this.#flagsKey;
  }

  /** @internal */
  get derivedNames(): string[] {
    return Object.keys(this.#derived);
  }

  /** @internal The hyperparameters' numbers in definition order, pairs flat, as of the last `refresh`; NaN for residents. */
  get numbers(): Float64Array {
    return this.#numbers;
  }

  /** Sets several at once. Everything is checked before anything is set. Throws `invalid-hyperparameter` and `invalid-option`. */
  assign(options: Record<string, unknown>): void {
    const commit = this.prepare(options);
    commit();
  }

  /** @internal Checks, and gives what carries it out. */
  prepare(options: Record<string, unknown>): () => void {
    const where = this.#where;
    const known = Object.keys(this.settings);
    const members = new Map<HyperCell, readonly Member[]>();
    const flags: FlagValues = {};
    const hyper: Record<string, unknown> = this.hyper;
    for (const [name, value] of Object.entries(options)) {
      const cell = this.#cells[name];
      if (!known.includes(name))
        throw new StepjitError(
          "invalid-hyperparameter",
          `${where}: no option ${show(name)}; there are ${known.join(", ")}`,
        );
      if (!cell) {
        flags[name] = checkFlag(name, value, where);
        continue;
      }
      const checked = cell.check(value, where);
      members.set(cell, checked);
      hyper[name] = cell.shape(checked.map(numberOf));
    }
    this.#checkScales(members);
    const unknown = this.#order.filter((cell) => (members.get(cell) ?? cell.members).some(isResident));
    this.#checkTogether(hyper as HyperNumbers, { ...this.#flags, ...flags }, unknown);
    return () => {
      for (const [cell, checked] of members) cell.assign(checked);
      Object.assign(this.#flags, flags);
      this.#findResidents();
      this.#derive();
    };
  }

  /**
   * @internal Reads all numbers afresh, scalars and tensors that the host sees included. Throws `invalid-hyperparameter` for one that
   * was set to something that is not allowed, `disposed` for a tensor that was disposed.
   */
  refresh(): void {
    if (!this.#differs()) return;
    for (const cell of this.#order)
      for (let i = 0; i < cell.size; i++)
        if (!cell.isResidentAt(i) && !cell.fits(cell.numberAt(i)))
          cell.refuseNumber(cell.numberAt(i), this.#where);
    const unknown = this.#order.filter((cell) => cell.members.some(isResident));
    if (this.#definition.check) this.#checkTogether(this.hyper, this.#flags, unknown);
    this.#fill(this.#numbers, NO_FACTORS);
    for (const { numbers, factors } of this.#scaled) this.#fill(numbers, factors);
    this.#derive();
  }

  #fill(numbers: Float64Array, factors: ReadonlyMap<string, number>): void {
    let at = 0;
    for (const cell of this.#order) {
      const factor = factors.get(cell.name) ?? 1;
      for (let i = 0; i < cell.size; i++) numbers[at++] = cell.numberAt(i) * factor;
    }
  }

  /** One for all parameters with these factors; undefined where there are none. */
  #scaledBy(factors: ReadonlyMap<string, number>): ScaledNumbers | undefined {
    if (factors.size === 0) return undefined;
    const label = [...factors].map(([name, factor]) => `${name} × ${factor}`).join(", ");
    const known = this.#scaled.find((one) => one.label === label);
    if (known) return known;
    const scaled = { label, factors, numbers: new Float64Array(this.#numbers.length) };
    this.#scaled.push(scaled);
    return scaled;
  }

  #differs(): boolean {
    let at = 0;
    for (const cell of this.#order)
      for (let i = 0; i < cell.size; i++) if (!Object.is(cell.numberAt(i), this.#numbers[at++])) return true;
    return false;
  }

  /** @internal State is there for these derived flags (planned, or loaded): from now on they hold whatever the numbers are. */
  keepDerived(names: readonly string[]): void {
    for (const name of names) this.#kept.add(name);
    this.#derive();
  }

  #derive(): void {
    if (this.#definition.derive) {
      const now = this.#definition.derive(this.hyper, this.#flags);
      for (const name of Object.keys(now)) this.#derived[name] = now[name] || this.#kept.has(name);
    }
    this.#flagsKey = Object.values(this.flags).map(Number).join("");
  }

  #findResidents(): void {
    this.#residents.clear();
    for (const { name, members } of this.#order) {
      const names = memberNames(name, this.#definition.hyper[name]?.default as HyperValue);
      members.forEach((member, i) => {
        if (isResident(member)) this.#residents.set(names[i] as string, member.storage);
      });
    }
  }

  /** Numbers that only a device knows cannot be multiplied here. */
  #checkScales(members: ReadonlyMap<HyperCell, readonly Member[]>): void {
    for (const [{ name }, all] of members)
      if (all.some(isResident) && this.#scaled.some(({ factors }) => factors.has(name)))
        throw new StepjitError(
          "invalid-option",
          `${this.#where}: ${name} is scaled by name for some parameters, so it cannot be a tensor on a device`,
        );
  }

  /** A rule that has looked at a number which is not known here has nothing to say. */
  #checkTogether(hyper: HyperNumbers, flags: FlagValues, unknown: readonly HyperCell[]): void {
    let guessed = false;
    const watched = { ...hyper };
    for (const { name } of unknown)
      Object.defineProperty(watched, name, {
        get: () => {
          guessed = true;
          return hyper[name];
        },
      });
    const problem = this.#definition.check?.(watched, flags);
    if (problem && !guessed) throw new StepjitError("invalid-hyperparameter", `${this.#where}: ${problem}`);
  }

  get #where(): string {
    return `${this.#definition.name}, param group ${this.index}`;
  }
}

function withFactors(hyper: HyperNumbers, scaled: ScaledNumbers | undefined): HyperNumbers {
  for (const [name, factor] of scaled?.factors ?? []) hyper[name] = (hyper[name] as number) * factor;
  return hyper;
}

const NO_FACTORS: ReadonlyMap<string, number> = new Map();

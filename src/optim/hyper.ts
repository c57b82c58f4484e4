/** Hyperparameters: values, their checks, and the scalars that may stand for them. */
import { StepjitError } from "../error.ts";
import { Tensor } from "../tensor.ts";
import type { HyperMember, HyperNumbers, HyperSpec, HyperValue, HyperValues } from "../trace/definition.ts";

/** One number on the host, f64, that hyperparameters may share: read at every step, changed in place, never compiled in. */
export class Scalar {
  /** The number, read at every step. Assigning it compiles nothing. */
  value: number;

  constructor(value: number) {
    this.value = value;
  }
}

/** A hyperparameter that is changed from outside: `const lr = scalar(1e-3)`, later `lr.value = 5e-4`. */
export function scalar(value: number): Scalar {
  if (typeof value !== "number")
    throw new StepjitError("invalid-hyperparameter", `scalar() takes a number, got ${show(value)}`);
  return new Scalar(value);
}

/**
 * A value as a user may give it. Each number may be a `Scalar`, in which NaN stands for null where null is allowed, or a tensor of one
 * element. A tensor on a device is read there, by the step itself: nothing checks its number, and the host does not know it.
 */
export type HyperInput<T extends HyperValue> = T extends HyperMember
  ? MemberInput<T>
  : { readonly [I in keyof T]: MemberInput<T[I]> };

type MemberInput<M> = M extends number ? number | Scalar | Tensor : M;

/** A member of a hyperparameter: a number, or what one is read from at every step. */
export type Member = number | Scalar | Tensor;

/** Whether only a device knows the number. */
export function isResident(member: unknown): member is Tensor {
  return member instanceof Tensor && !member.storage.visible;
}

/** The current number; NaN where only a device knows it. */
export function numberOf(member: Member): number {
  if (typeof member === "number") return member;
  if (member instanceof Scalar) return member.value;
  return member.storage.visible ? (member.data[0] as number) : Number.NaN;
}

/** What users read: null for a NaN, if it may be null. */
export function orNull({ nullable }: HyperSpec<HyperValue>, number: number): HyperMember {
  return nullable && Number.isNaN(number) ? null : number;
}

/** One hyperparameter of one group: its members, each a number, or bound to a scalar or a tensor. */
export class HyperCell {
  readonly name: string;
  readonly #spec: HyperSpec<HyperValue>;
  #members: Member[];

  constructor(name: string, spec: HyperSpec<HyperValue>) {
    this.name = name;
    this.#spec = spec;
    this.#members = asMembers(spec.default);
  }

  get size(): number {
    return this.#members.length;
  }

  /** Numbers, and the scalars and tensors that stand for some. */
  get members(): readonly Member[] {
    return this.#members;
  }

  /** One of the current numbers. */
  numberAt(index: number): number {
    return numberOf(this.#members[index] as Member);
  }

  isResidentAt(index: number): boolean {
    return isResident(this.#members[index]);
  }

  /** The current numbers; NaN stands for null, and for what only a device knows. */
  get numbers(): number[] {
    return this.#members.map(numberOf);
  }

  /** The current numbers, those on a device read. */
  async read(): Promise<number[]> {
    return Promise.all(
      this.#members.map(async (member) =>
        isResident(member) ? ((await member.read())[0] as number) : numberOf(member),
      ),
    );
  }

  /** What users read: the tensor itself where only a device knows the number. */
  get value(): HyperValue {
    const asRead = (member: Member) => (isResident(member) ? member : orNull(this.#spec, numberOf(member)));
    return this.shape(this.#members.map(asRead) as HyperMember[]) as HyperValue;
  }

  /** Members as one value: the only one, or all of them, frozen. */
  shape(members: readonly HyperMember[]): unknown {
    return Array.isArray(this.#spec.default) ? Object.freeze(members) : members[0];
  }

  /** Takes checked members: a scalar or a tensor binds; a number fills the one that is bound, or stands for itself. */
  assign(members: readonly Member[]): void {
    this.#members = members.map((member, index) => {
      const bound = this.#members[index];
      if (typeof member !== "number" || bound === undefined || typeof bound === "number") return member;
      if (bound instanceof Scalar) bound.value = member;
      else if (bound.disposed) return member;
      else bound.write([member]);
      return bound;
    });
  }

  /** The members of a new value. Throws `invalid-hyperparameter`, naming hyperparameter and group. */
  check(value: unknown, where: string): Member[] {
    const { nullable } = this.#spec;
    const isNumber = !Array.isArray(this.#spec.default);
    const members = isNumber ? [value] : value;
    const expected = isNumber ? "a number" : `${this.size} numbers`;
    if (!Array.isArray(members) || members.length !== this.size)
      return this.#refuse(value, `is ${expected}`, where);
    for (const member of members) {
      if (member === null && nullable) continue;
      const isMember =
        typeof member === "number" ||
        (member instanceof Scalar && typeof member.value === "number") ||
        (member instanceof Tensor && member.size === 1);
      if (!isMember)
        return this.#refuse(
          value,
          `is ${expected} (or scalars, or tensors of one element${nullable ? ", or null" : ""})`,
          where,
        );
      if (isResident(member)) continue;
      const number = numberOf(member);
      if (Number.isNaN(member)) this.refuseNumber(number, where); // a user says null with null
      this.checkNumber(number, where);
    }
    return members.map((member) => member ?? Number.NaN);
  }

  /** Throws where a number is not finite or out of bounds. */
  checkNumber(number: number, where: string): void {
    if (!this.fits(number)) this.refuseNumber(number, where);
  }

  fits(number: number): boolean {
    const { min = number, max = number, below = Number.POSITIVE_INFINITY, nullable, whole } = this.#spec;
    if (Number.isNaN(number)) return nullable === true;
    const isNumber = whole ? Number.isSafeInteger(number) : Number.isFinite(number);
    return isNumber && number >= min && number <= max && number < below;
  }

  refuseNumber(number: number, where: string): never {
    const { min, max, below, nullable, whole } = this.#spec;
    const bounds = [
      min !== undefined && `at least ${min}`,
      max !== undefined && `at most ${max}`,
      below !== undefined && `less than ${below}`,
    ].filter(Boolean);
    return this.#refuse(
      number,
      `has to be ${nullable ? "null or " : ""}a ${whole ? "whole" : "finite"} number${bounds.length > 0 ? `, ${bounds.join(" and ")}` : ""}`,
      where,
    );
  }

  #refuse(value: unknown, rule: string, where: string): never {
    throw new StepjitError("invalid-hyperparameter", `${where}: ${this.name} ${rule}, got ${show(value)}`);
  }
}

function asMembers(value: HyperValue): number[] {
  const members = (Array.isArray(value) ? value : [value]) as readonly HyperMember[];
  return members.map((member) => (isResident(member) ? Number.NaN : (member ?? Number.NaN)));
}

/** Values as the maths has them. */
export function inNumbers(hyper: Readonly<HyperValues>): HyperNumbers {
  return Object.fromEntries(
    Object.entries(hyper).map(([name, value]) => {
      const members = asMembers(value);
      return [name, Array.isArray(value) ? members : members[0]];
    }),
  ) as HyperNumbers;
}

/** Throws unless `value` is a boolean. */
export function checkFlag(name: string, value: unknown, where: string): boolean {
  if (typeof value === "boolean") return value;
  throw new StepjitError("invalid-hyperparameter", `${where}: ${name} is true or false, got ${show(value)}`);
}

/** Members of a list, lists within lists, and characters that a message shows: a value may come from a hostile file. */
const SHOWN = { members: 8, depth: 4, characters: 200 };

/** A value as an error message shows it. */
export function show(value: unknown): string {
  return showWithin(value, SHOWN.depth);
}

function showWithin(value: unknown, depth: number): string {
  if (value instanceof Scalar) return `scalar(${value.value})`;
  if (Array.isArray(value)) return showList(value, depth);
  if (typeof value === "string")
    return JSON.stringify(value.length > SHOWN.characters ? `${value.slice(0, SHOWN.characters)}…` : value);
  if (typeof value === "function") return value.name ? `the function ${value.name}` : "a function";
  if (typeof value !== "object" || value === null) return String(value);
  const name: unknown = value.constructor?.name;
  return typeof name === "string" ? name : "an object";
}

function showList(list: readonly unknown[], depth: number): string {
  if (depth === 0) return "[…]";
  const length = Math.min(list.length, SHOWN.members);
  const shown = Array.from({ length }, (_, index) => showWithin(list[index], depth - 1));
  return `[${shown.join(", ")}${list.length > SHOWN.members ? `, … ${list.length} in all` : ""}]`;
}

/** Names as an error message shows them. */
export function listed(names: readonly string[]): string {
  const shown = names.slice(0, 8).map(show).join(", ");
  return names.length > 8 ? `${shown} and ${names.length - 8} more` : shown;
}

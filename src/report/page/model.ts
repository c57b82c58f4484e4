/** One module through its stages, with what follows from its data: users, heirs, what a stage added and took, lines of kernels. */

import type { ModuleData } from "../data.ts";
import type { Place } from "../lineage.ts";
import type { TextData } from "../lines.ts";
import type { FuncData, StageData, ValueData } from "../stages.ts";

/**
 * Beside the stage before, a value is
 * - `same`: as it was
 * - `rewired`: the same operation, on other operands
 * - `new`: not there before
 */
export type Status = "same" | "rewired" | "new";

/** What a stage did. */
export interface Difference {
  readonly added: number;
  readonly rewired: number;
  readonly removed: number;
}

/** Lines of one kernel that have to do with a value. */
export interface Lines {
  readonly text: number;
  readonly lines: readonly number[];
}

const key = ([func, value]: Place) => `${func} ${value}`;

export class Model {
  readonly data: ModuleData;
  /** By stage and place: what a value goes on as in the next stage. */
  readonly #heirs: readonly ReadonlyMap<string, readonly Place[]>[];
  /** By stage and function: values of the stage before that are no more. */
  readonly #removed: readonly (readonly (readonly Place[])[])[];

  constructor(data: ModuleData) {
    this.data = data;
    this.#heirs = data.stages.map((_, stage) => heirsIn(data.stages[stage + 1]));
    this.#removed = data.stages.map((_, stage) => this.#removedBy(stage));
  }

  get stages(): readonly StageData[] {
    return this.data.stages;
  }

  get last(): number {
    return this.stages.length - 1;
  }

  func(stage: number, func: number): FuncData {
    return this.stages[stage]?.funcs[func] as FuncData;
  }

  value(stage: number, [func, value]: Place): ValueData {
    return this.func(stage, func).values[value] as ValueData;
  }

  status(stage: number, place: Place): Status {
    const { from, args } = this.value(stage, place);
    if (stage === 0) return "same";
    if (!from) return "new";
    const before = this.value(stage - 1, from);
    const isSame = args.every((arg, position) => {
      const origin = this.value(stage, [place[0], arg]).from;
      return origin?.[0] === from[0] && origin[1] === before.args[position];
    });
    return isSame ? "same" : "rewired";
  }

  /** Values of the stage before that are no more, shown with the function that has most of what they were with. */
  removed(stage: number, func: number): readonly Place[] {
    return this.#removed[stage]?.[func] ?? [];
  }

  difference(stage: number, func: number): Difference {
    const statuses = this.func(stage, func).values.map((_, value) => this.status(stage, [func, value]));
    const count = (wanted: Status) => statuses.filter((status) => status === wanted).length;
    return { added: count("new"), rewired: count("rewired"), removed: this.removed(stage, func).length };
  }

  totalDifference(stage: number): Difference {
    const all = (this.stages[stage] as StageData).funcs.map((_, func) => this.difference(stage, func));
    const sum = (name: keyof Difference) => all.reduce((total, one) => total + one[name], 0);
    return { added: sum("added"), rewired: sum("rewired"), removed: sum("removed") };
  }

  users(stage: number, [func, value]: Place): number[] {
    return this.func(stage, func).values.flatMap(({ args }, id) => (args.includes(value) ? [id] : []));
  }

  /** What a value was or becomes in another stage; none where it is not there. */
  follow(place: Place, from: number, to: number): Place[] {
    if (to < from) {
      const before = this.value(from, place).from;
      return before ? this.follow(before, from - 1, to) : [];
    }
    if (to === from) return [place];
    return this.heirs(from, place).flatMap((heir) => this.follow(heir, from + 1, to));
  }

  heirs(stage: number, place: Place): readonly Place[] {
    return this.#heirs[stage]?.get(key(place)) ?? [];
  }

  /**
   * Where kernels compute what a value becomes. One without a line of its own (a broadcast, a number that the host fills in) is found
   * where it is first used; then `through` has what stands for it.
   */
  lines(
    stage: number,
    place: Place,
  ): { readonly lines: readonly Lines[]; readonly through: readonly Place[] } {
    const places = this.follow(place, stage, this.last);
    const own = this.#linesAt(places);
    if (own.length > 0) return { lines: own, through: [] };
    const through = places.flatMap((one) => this.#standsIn(one));
    return { lines: this.#linesAt(through), through };
  }

  #linesAt(places: readonly Place[]): Lines[] {
    return this.data.texts.flatMap(({ lines }, text) => {
      const found = lines.filter(({ func, value }) =>
        places.some((place) => place[0] === func && place[1] === value),
      );
      return found.length > 0 ? [{ text, lines: found.map(({ line }) => line) }] : [];
    });
  }

  /** The nearest values with lines that are computed from this one; a slot of the scalar table is read by the kernels of its class. */
  #standsIn(place: Place, depth = 0): Place[] {
    if (this.#hasLine(place)) return [place];
    if (depth > 8) return [];
    const next = [
      ...this.users(this.last, place).map((user): Place => [place[0], user]),
      ...this.readers(this.last, place),
    ];
    const found = next.flatMap((one) => this.#standsIn(one, depth + 1));
    return [...new Map(found.map((one) => [key(one), one])).values()];
  }

  #hasLine([func, value]: Place): boolean {
    return this.data.texts.some(({ lines }) =>
      lines.some((line) => line.func === func && line.value === value),
    );
  }

  /** Inputs of other functions that read what this value is stored as: a scalar slot, a total, what the step body gives. */
  readers(stage: number, [func, value]: Place): Place[] {
    const owner = this.func(stage, func);
    const targets = owner.outputs.filter((output) => output.value === value).map(({ target }) => target);
    return this.#inputs(stage, (name, reader) => targets.includes(name) && isHeard(name, owner, reader));
  }

  /** What fills an input: the values that other functions store under its name. */
  writers(stage: number, place: Place): Place[] {
    const reader = this.func(stage, place[0]);
    const name = targetRead(this.value(stage, place));
    if (name === undefined) return [];
    return (this.stages[stage] as StageData).funcs.flatMap((owner, func) =>
      isHeard(name, owner, reader)
        ? owner.outputs.flatMap(({ target, value }): Place[] => (target === name ? [[func, value]] : []))
        : [],
    );
  }

  #inputs(stage: number, wanted: (target: string, reader: FuncData) => boolean): Place[] {
    return (this.stages[stage] as StageData).funcs.flatMap((reader, func) =>
      reader.values.flatMap((value, id): Place[] => {
        const target = targetRead(value);
        return target !== undefined && wanted(target, reader) ? [[func, id]] : [];
      }),
    );
  }

  text(index: number): TextData {
    return this.data.texts[index] as TextData;
  }

  #removedBy(stage: number): Place[][] {
    const { funcs } = this.stages[stage] as StageData;
    const removed: Place[][] = funcs.map(() => []);
    this.stages[stage - 1]?.funcs.forEach((before, index) => {
      const gone = before.values.flatMap((_, value): Place[] =>
        this.heirs(stage - 1, [index, value]).length === 0 ? [[index, value]] : [],
      );
      const shares = funcs.map(({ values }) => values.filter(({ from }) => from?.[0] === index).length);
      const heir = shares.indexOf(Math.max(...shares));
      removed[heir]?.push(...gone);
    });
    return removed;
  }
}

function heirsIn(next: StageData | undefined): Map<string, Place[]> {
  const heirs = new Map<string, Place[]>();
  next?.funcs.forEach(({ values }, func) => {
    values.forEach(({ from }, value) => {
      if (from) heirs.set(key(from), [...(heirs.get(key(from)) ?? []), [func, value]]);
    });
  });
  return heirs;
}

/** What an input reads, by the name under which it was stored. */
function targetRead({ op, attribute }: ValueData): string | undefined {
  if (op === "scalar" || op === "total") return `${op}.${attribute}`;
  return op === "given" ? `give.${attribute}` : undefined;
}

/** Scalar slots are a class's own; totals go to the step body, too; what the step body gives is for everybody. */
function isHeard(target: string, owner: FuncData, reader: FuncData): boolean {
  if (owner === reader) return false;
  return (
    target.startsWith("give.") ||
    owner.name === reader.name ||
    (target.startsWith("total.") && reader.name === "")
  );
}

/** What an optimizer is: the input of the compiler, written by stepjit's own optimizers and by users alike. */
import type { Extent } from "../ir/extent.ts";
import type { FloatType } from "../ir/type.ts";

/** One number of a hyperparameter; null, which is torch's None, where its definition says `nullable`. */
export type HyperMember = number | null;
/** A hyperparameter is one number, or a fixed few that belong together (betas). */
export type HyperValue =
  | HyperMember
  | readonly [HyperMember, HyperMember]
  | readonly [HyperMember, HyperMember, HyperMember];
/** Hyperparameters by name. */
export type HyperValues = Record<string, HyperValue>;
/** Flags by name. */
export type FlagValues = Record<string, boolean>;

/** The hyperparameters' types, whatever their defaults: `{ default: 0.9 }` is a number, not 0.9. In the maths, null is NaN. */
export type Widened<H extends HyperValues> = { [K in keyof H]: WidenedValue<H[K], number> };

/** Hyperparameters known only by name, as the maths has them. */
export type HyperNumbers = Widened<HyperValues>;

/** The types for users, whatever their defaults: they read and give null as null, where a default has one. */
export type WidenedOrNull<H extends HyperValues> = {
  [K in keyof H]: WidenedValue<H[K], number | (null extends MemberOf<H[K]> ? null : never)>;
};

type MemberOf<T extends HyperValue> = T extends readonly unknown[] ? T[number] : T;

type WidenedValue<T extends HyperValue, Member> = T extends HyperMember
  ? Member
  : T extends readonly [unknown, unknown]
    ? readonly [Member, Member]
    : readonly [Member, Member, Member];

/** A hyperparameter: its default and the values it may take. All numbers are finite. Bounds hold for each member of a pair. */
export interface HyperSpec<T extends HyperValue> {
  /** Its value where no option gives one; a list of two or three numbers makes a pair or a triple. */
  readonly default: T;
  /** Smallest allowed value. */
  readonly min?: number;
  /** Largest allowed value. */
  readonly max?: number;
  /** Values have to be less than this. */
  readonly below?: number;
  /** Each member may be null instead, for which bounds do not hold. `update`, `derive`, `check` and `init` see NaN: `eps !== eps`. */
  readonly nullable?: true;
  /** Values have to be whole numbers. */
  readonly whole?: boolean;
}

/** A state slot of a parameter: where it lives, and when it exists. */
export interface StateSpec<H extends HyperValues = HyperNumbers> {
  /** `element` (the default), `rows`, `cols` or `slab` of the parameter, or `"param"`: one number a parameter, kept on the host. */
  readonly extent?: Extent;
  /** Default: the parameter's, and over elements no other yet. At `"param"`: what the number is rounded to, default f64. */
  readonly dtype?: FloatType;
  /** What a new slot holds: a number (default 0), a function of the group's hyperparameters, or a copy of the parameter. */
  readonly init?: number | "param" | ((hyper: H) => number);
  /** The flag, derived or not, under which the slot exists. Default: always. */
  readonly when?: string;
  /** The flag under which it does not. */
  readonly unless?: string;
}

/** Whether a slot exists under these flags. */
export function exists({ when, unless }: Pick<StateSpec, "when" | "unless">, flags: FlagValues): boolean {
  return (when === undefined || flags[when] === true) && (unless === undefined || flags[unless] !== true);
}

/** The number of steps a parameter has taken, this one included: f64, kept as `step` in the state dict, as torch does. */
export const count = "count" as const;

/** Slots by name, as an optimizer or a transform declares them. */
export type StateSpecs = Readonly<Record<string, StateSpec | typeof count>>;

/** What `update` is given. Everything is traced: in types a number, at run time a value of the step. */
export interface UpdateContext<H extends HyperValues, F extends string, S extends string> {
  /** The parameter's elements. */
  readonly param: number;
  /** The gradient's elements, after the step's gradient transforms. */
  readonly grad: number;
  /** State slots by name: read the old contents, assign the new. A slot that is not assigned keeps its contents. */
  readonly state: Record<S, number>;
  /** Hyperparameters of the parameter's group, scales applied. In types numbers; NaN stands for null. */
  readonly hyper: H;
  /** Plain booleans: flags and derived flags. Branch on them freely. */
  readonly flags: Readonly<Record<F, boolean>>;
  /** Steps of this parameter, this one included: 1, 2, 3 … (torch's `step` after its increment). Needs `step: count` in `state`. */
  readonly step: number;
  /** True in the step for which a state slot of this parameter was created. */
  readonly first: boolean;
  /** Elements of the parameter. */
  readonly numel: number;
  /** The machine epsilon of the parameter's dtype, a plain number: 2^-23 for f32, 2^-52 for f64. */
  readonly epsilon: number;
}

/** What `average` is given: plain numbers, of one element. */
export interface AverageContext<H extends HyperValues, S extends string> {
  /** An element of the parameter. */
  readonly param: number;
  /** State over elements, and numbers of the parameter, by name. */
  readonly state: Readonly<Record<S, number>>;
  /** Hyperparameters of the parameter's group, as numbers. */
  readonly hyper: H;
}

/** What `defineOptimizer` takes: the maths of an optimizer, and what it keeps. */
export interface OptimizerDefinition<
  H extends HyperValues,
  F extends string,
  D extends FlagValues,
  S extends string,
> {
  /** For people, and part of a step's key: letters, digits and ` _.+-`. */
  readonly name: string;
  /** Hyperparameters by name, camelCase; a state dict has them in snake_case. Their values are data: no number ever compiles. */
  readonly hyper: { readonly [K in keyof H]: HyperSpec<H[K]> };
  /** Choices that change the maths, with their defaults; part of the compile key. */
  readonly flags?: Readonly<Record<F, boolean>>;
  /**
   * Flags that follow from hyperparameters: how a zero drops state. Runs on the host. Once true for a group, it stays true, since
   * the state is there: going back to zero is data, and the update has to say what it means (`momentum !== 0 ? … : …`). A number that
   * is in a device's memory is NaN here, for which `momentum !== 0` holds: what might be needed is there.
   */
  readonly derive?: (hyper: Widened<H>, flags: Readonly<Record<F, boolean>>) => D;
  /**
   * A rule over several hyperparameters and flags, checked wherever one of them is set; returns what is wrong. Where it looks at a number
   * in a device's memory, which is NaN here, what it returns is ignored.
   */
  readonly check?: (hyper: Widened<H>, flags: Readonly<Record<F, boolean>>) => string | undefined;
  /** State slots in torch's order and with torch's names; `step: count` where the step count is part of the state. */
  readonly state?: {
    readonly [K in S]: StateSpec<Widened<H>> | typeof count;
  };
  /**
   * Makes matrices of parameters, for updates that name rows and columns: the axes of `shape` that are rows and columns, in this
   * order; all others are stacked. Undefined for shapes that have none: those are vectors, all col. Sets the flag `matrix`.
   */
  readonly matrix?: (
    shape: readonly number[],
    flags: Readonly<Record<F, boolean>>,
  ) => readonly [row: number, col: number] | undefined;
  /** The maths for one parameter; returns its new value. */
  update(context: UpdateContext<Widened<H>, F | (keyof D & string) | "matrix", S>): number;
  /** The averaged weights, element by element, where the optimizer keeps an average: computed on the host with plain numbers. */
  average?(context: AverageContext<Widened<H>, S>): number;
}

/** A definition whose hyperparameters are known only by name: what the compiler handles. */
export type AnyDefinition = OptimizerDefinition<HyperValues, string, FlagValues, string>;

/** What a transform is given: traced, as an update's context is. */
export interface TransformContext<H extends HyperValues, S extends string> {
  readonly hyper: H;
  /** The slots of its `state` and its `buffers`. */
  readonly state: Record<S, number>;
  /** Steps of this parameter, this one included. Needs `step: count` in `state`. */
  readonly step: number;
  /** Whether the parameter has a gradient in this call; where not, `grad` is no number to rely on. */
  readonly present: boolean;
  /** Whether earlier calls left a sum of its gradients. */
  readonly summed: boolean;
}

/** Something step-wide around every parameter's update, in one kernel with it; its numbers live at step level. */
export interface TransformDefinition<
  H extends HyperValues = HyperValues,
  S extends string = string,
  B extends string = string,
> {
  readonly name: string;
  readonly hyper: { readonly [K in keyof H]: HyperSpec<H[K]> };
  /** Slots beside those of the optimizer's definition. `step: count` where the step count has to be kept. */
  readonly state?: { readonly [K in S]: StateSpec<Widened<H>> | typeof count };
  /** Slots over elements that only kernels fill: never initialised, and no part of a state dict. */
  readonly buffers?: readonly B[];
  /** Gives the gradient that the next transform, or the update, sees. */
  update?(context: TransformContext<Widened<H>, S | B> & { readonly grad: number }): number;
  /** Whether there is a step at all, at step level; where not, nothing of it is kept. Sees the gradient that `update` sees. */
  commit?(context: TransformContext<Widened<H>, S | B> & { readonly grad: number }): boolean;
  /** Runs after the update, on the parameter's new value and the gradient as it was given; assigning `grad` writes it. */
  after?(context: TransformContext<Widened<H>, S | B> & { readonly param: number; grad: number }): void;
}

export function defineTransform<H extends HyperValues, S extends string = never, B extends string = never>(
  definition: TransformDefinition<H, S, B>,
): TransformDefinition {
  return definition as unknown as TransformDefinition;
}

/** The members of a hyperparameter by the names tables know them under: `lr`, or `betas.0` and `betas.1`. */
export function memberNames(name: string, value: HyperValue): string[] {
  return typeof value === "object" && value ? value.map((_, index) => `${name}.${index}`) : [name];
}

/** Random optimizers: the maths of an update as data, so that a failure shrinks and prints. */
import fc from "fast-check";
import { defineOptimizer } from "stepjit";
import * as ops from "stepjit/ops";
import { count } from "../../src/trace/definition.ts";

/** One thing an update does: what, and three numbers that choose its operands. */
export type Instruction = readonly [name: string, a: number, b: number, c: number];

/** What there is to choose from while an update runs. Elements are within ±4, levels between 1/4 and 2. */
interface Pools {
  readonly elements: number[];
  readonly levels: number[];
  readonly masks: boolean[];
  readonly state: Record<string, number>;
}

const bounded = (x: number) => ops.clamp(x, -4, 4);
const boundedLevel = (x: number) => ops.clamp(x, 0.25, 2);
const pick = <T>(pool: readonly T[], choice: number) => pool[choice % pool.length] as T;
const constantOf = (choice: number) => [1, 0, 0.5, -1, 2, 0.1][choice % 6] as number;

type Make = (pools: Pools, a: number, b: number, c: number) => void;

/** Of two or three elements and levels an element; well-conditioned, so that a rounding stays about one rounding. */
const ELEMENT: Record<string, (x: number, y: number, l: number, m: number) => number> = {
  average: (x, y) => ops.mul(0.5, ops.add(x, y)),
  difference: (x, y) => ops.sub(x, y),
  minus: (x, y) => ops.add(x, ops.neg(y)),
  plus: (x, y) => ops.sub(x, ops.neg(y)),
  lerp: (x, y, l) => ops.lerp(x, y, ops.mul(0.5, l)),
  product: (x, y) => ops.mul(x, y),
  square: (x) => ops.square(x),
  quotient: (x, y) => ops.div(x, ops.add(1, ops.abs(y))),
  scaled: (x, _, l) => ops.mul(l, x),
  scaledTwice: (x, _, l, m) => ops.mul(l, ops.mul(ops.mul(x, m), 1)),
  divided: (x, _, l) => ops.div(x, l),
  dividedTwice: (x, _, l, m) => ops.div(ops.div(x, l), m),
  root: (x) => ops.sqrt(ops.add(ops.abs(x), 0.25)),
  power: (x) => ops.pow(ops.add(0.5, ops.abs(x)), 0.75),
  falloff: (x) => ops.exp(ops.neg(ops.abs(x))),
  growth: (x) => ops.expm1(ops.min(x, 1)),
  log: (x) => ops.log(ops.add(1.5, ops.abs(x))),
  log1p: (x) => ops.log1p(ops.abs(x)),
  smaller: (x, y) => ops.min(x, y),
  larger: (x, y) => ops.max(x, y),
  untouched: (x) => ops.sub(ops.neg(ops.neg(x)), 0),
};

/** Of levels a level. */
const LEVEL: Record<string, (l: number, m: number, constant: number) => number> = {
  levelProduct: (l, m) => ops.mul(l, m),
  levelQuotient: (l, m) => ops.div(l, m),
  levelRoot: (l) => ops.sqrt(l),
  levelSum: (l, m, constant) => ops.add(ops.add(l, constant), m),
  levelPower: (l, m) => ops.pow(l, m),
  levelFolded: (l, _, constant) => ops.mul(l, ops.add(ops.exp(constant), 0.5)),
};

const LEVELS = ["param", "group", "step"] as const;

/** Of elements a level, through a reduction: ratios of sums of one sign, which rounding hardly moves. */
const REDUCTION: Record<string, (x: number, y: number, to: (typeof LEVELS)[number]) => number> = {
  share: (x, y, to) => {
    const [a, b] = [ops.sum(ops.abs(x), to), ops.sum(ops.square(y), to)];
    return ops.add(0.5, ops.div(a, ops.add(1, ops.add(a, b))));
  },
  peak: (x, _, to) => ops.div(1, ops.add(1, ops.maximum(ops.abs(x), to))),
  mean: (x) => ops.div(1, ops.add(1, ops.mean(ops.abs(x)))),
  norm: (x, _, to) => ops.div(1, ops.add(1, ops.norm(x, to))),
};

const INSTRUCTIONS: Record<string, Make> = {
  ...Object.fromEntries(
    Object.entries(ELEMENT).map(([name, make]): [string, Make] => [
      name,
      ({ elements, levels }, a, b, c) =>
        elements.push(
          bounded(make(pick(elements, a), pick(elements, b), pick(levels, c), pick(levels, a + b))),
        ),
    ]),
  ),
  ...Object.fromEntries(
    Object.entries(LEVEL).map(([name, make]): [string, Make] => [
      name,
      ({ levels }, a, b, c) =>
        levels.push(boundedLevel(make(pick(levels, a), pick(levels, b), constantOf(c)))),
    ]),
  ),
  ...Object.fromEntries(
    Object.entries(REDUCTION).map(([name, make]): [string, Make] => [
      name,
      ({ elements, levels }, a, b, c) =>
        levels.push(boundedLevel(make(pick(elements, a), pick(elements, b), pick(LEVELS, c)))),
    ]),
  ),
  /** Masks compare gradients, which are data: no rounding decides which way they go. */
  compare: ({ elements, masks }, a, b) => {
    const compare = [ops.less, ops.lessEqual, ops.greater, ops.greaterEqual][a % 4] as typeof ops.less;
    masks.push(compare(elements[1] as number, constantOf(b)));
  },
  combine: ({ masks }, a, b, c) =>
    masks.push(
      ops.not(
        c % 2 ? ops.and(pick(masks, a), () => pick(masks, b)) : ops.or(pick(masks, a), () => pick(masks, b)),
      ),
    ),
  choose: ({ elements, masks }, a, b, c) =>
    elements.push(
      ops.select(
        pick(masks, a),
        () => pick(elements, b),
        () => pick(elements, c),
      ),
    ),
  chooseLevel: ({ levels, masks }, a, b, c) =>
    // The first two masks are above elements.
    levels.push(
      ops.select(
        pick(masks.slice(0, 2), a),
        () => pick(levels, b),
        () => pick(levels, c),
      ),
    ),
  write: ({ elements, state }, a, b) => {
    state[`s${a % SLOTS}`] = bounded(pick(elements, b));
  },
  read: ({ elements, state }, a) => elements.push(state[`s${a % SLOTS}`] as number),
  writeNumber: ({ levels, state }, _, b) => {
    state.mu = boundedLevel(pick(levels, b));
  },
  readNumber: ({ levels, state }) => levels.push(state.mu as number),
};

const SLOTS = 2;
const DECLARED = ["s0", "s1"] as const;

/** A definition whose update carries out the instructions, then moves the parameter by what came last. */
export function optimizerOf(instructions: readonly Instruction[]) {
  return defineOptimizer({
    name: "Random",
    hyper: { lr: { default: 0.5 }, betas: { default: [0.75, 0.5] } },
    flags: { flipped: false },
    state: { step: count, s0: {}, s1: { init: 0.5 }, mu: { extent: "param", init: 1 } },
    update({ param, grad, state, hyper, step, first, numel, flags }) {
      const [beta1, beta2] = hyper.betas;
      const pools: Pools = {
        elements: [bounded(param), flags.flipped ? ops.neg(grad) : grad],
        levels: [
          hyper.lr,
          beta1,
          ops.sub(1, ops.pow(beta2, step)),
          ops.add(0.5, ops.div(1, ops.add(1, numel))),
        ],
        masks: [first, ops.greater(step, 1.5), ops.greater(grad, 0.25)],
        state,
      };
      for (const [name, a, b, c] of instructions) (INSTRUCTIONS[name] as Make)(pools, a, b, c);
      for (const slot of DECLARED) state[slot] = ops.lerp(state[slot], grad, beta1);
      state.mu = boundedLevel(ops.mul(state.mu, beta1));
      return ops.lerp(param, pools.elements.at(-1) as number, ops.mul(0.5, pools.levels.at(-1) as number));
    },
  });
}

const names = (table: Record<string, unknown>) => Object.keys(table).filter((name) => !(name in REDUCTION));
const choice = fc.nat({ max: 100 });
const instruction = (from: readonly string[]) => fc.tuple(fc.constantFrom(...from), choice, choice, choice);

/** Element-wise work and levels that are known before a launch. */
export const elementWise: fc.Arbitrary<Instruction[]> = fc.array(instruction(names(INSTRUCTIONS)), {
  maxLength: 12,
});

/** With up to three reductions among it. */
export const anyMaths: fc.Arbitrary<Instruction[]> = fc
  .tuple(
    elementWise,
    fc.array(instruction(Object.keys(REDUCTION)), { maxLength: 3 }),
    elementWise,
    elementWise,
  )
  .map(([start, reductions, middle, end]) => [
    ...start.slice(0, 5),
    ...reductions.slice(0, 1),
    ...middle.slice(0, 5),
    ...reductions.slice(1),
    ...end.slice(0, 5),
  ]);

/** Times of several contenders, taken in turns, so that what disturbs the machine disturbs all alike. */
import { setImmediate } from "node:timers/promises";
import type { Contender } from "./contenders/contender.ts";

export interface Effort {
  /** Milliseconds a contender steps before it is timed, so that V8 has compiled its best code; longer where that makes few steps. */
  readonly warmUp: number;
  /** Milliseconds of timed steps a contender gets, unless that makes fewer turns than `fewestTurns`. */
  readonly timed: number;
  readonly fewestTurns: number;
  /** Milliseconds of steps in a turn. */
  readonly turn: number;
}

export const THOROUGH: Effort = { warmUp: 500, timed: 1000, fewestTurns: 5, turn: 4 };
export const QUICK: Effort = { warmUp: 150, timed: 200, fewestTurns: 3, turn: 4 };

/** Milliseconds a step, over turns; a turn counts as the mean of its steps. */
export interface Timing {
  readonly median: number;
  /** The first and third quartiles. */
  readonly quartiles: readonly [number, number];
  readonly turns: number;
  readonly stepsPerTurn: number;
}

/** A slower step leaves the caches anyway, so it is not taken once untimed to fill them. */
const SLOW_STEP = 40;
/** Steps of a warm-up, unless they take four times as long as it should. */
const WARM_STEPS = 50;

interface Entrant {
  readonly contender: Contender;
  readonly stepsPerTurn: number;
  readonly untimed: number;
  readonly turns: number;
  readonly times: number[];
}

export async function interleaved(contenders: readonly Contender[], effort: Effort): Promise<Timing[]> {
  const entrants: Entrant[] = [];
  for (const contender of contenders) entrants.push(await warmUp(contender, effort));
  const rounds = Math.max(...entrants.map(({ turns }) => turns));
  for (let round = 0; round < rounds; round++) {
    const inOrder = entrants.filter(({ turns }) => takesPart(round, turns, rounds));
    // Every other round goes backwards, so that nobody always follows the same neighbour.
    for (const entrant of round % 2 === 0 ? inOrder : inOrder.reverse()) await takeTurn(entrant);
  }
  return entrants.map(({ times, stepsPerTurn }) => ({ ...summary(times), stepsPerTurn }));
}

/** Spreads the turns of a slow contender evenly over the rounds. */
function takesPart(round: number, turns: number, rounds: number): boolean {
  return Math.floor(((round + 1) * turns) / rounds) > Math.floor((round * turns) / rounds);
}

async function warmUp(contender: Contender, { warmUp, timed, fewestTurns, turn }: Effort): Promise<Entrant> {
  await contender.enter?.();
  const times: number[] = [];
  const start = performance.now();
  for (let spent = 0; spent < warmUp || (times.length < WARM_STEPS && spent < 4 * warmUp); ) {
    times.push(await timeOf(contender, 1));
    await setImmediate(); // workers report over the event loop
    spent = performance.now() - start;
  }
  const [step] = summary(times.slice(-WARM_STEPS)).quartiles;
  const stepsPerTurn = Math.max(1, Math.round(turn / step));
  const turns = Math.max(fewestTurns, Math.round(timed / (step * stepsPerTurn)));
  const untimed = step > SLOW_STEP ? 0 : Math.ceil(stepsPerTurn / 8);
  return { contender, stepsPerTurn, untimed, turns, times: [] };
}

async function takeTurn({ contender, stepsPerTurn, untimed, times }: Entrant): Promise<void> {
  await contender.enter?.();
  await setImmediate();
  globalThis.gc?.(); // nobody pays for another's garbage
  for (let i = 0; i < untimed; i++) contender.step();
  if (contender.finished) await contender.finished();
  times.push(await timeOf(contender, stepsPerTurn));
}

async function timeOf(contender: Contender, steps: number): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < steps; i++) contender.step();
  if (contender.finished) await contender.finished();
  return (performance.now() - start) / steps;
}

export function summary(times: readonly number[]): Omit<Timing, "stepsPerTurn"> {
  const sorted = [...times].sort((a, b) => a - b);
  const quantile = (q: number) => sorted[Math.round(q * (sorted.length - 1))] as number;
  return { median: quantile(0.5), quartiles: [quantile(0.25), quantile(0.75)], turns: times.length };
}

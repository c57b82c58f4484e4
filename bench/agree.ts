/** Before anything is timed: all contenders take the same three steps and must arrive at the same parameters. */
import type { Contender } from "./contenders/contender.ts";
import { entries } from "./contenders/index.ts";
import { ALLOWED, largestDifference } from "./difference.ts";
import { OPTIMIZERS, type OptimizerName, problemOf } from "./problem.ts";
import { answer } from "./process.ts";

export interface Agreement {
  readonly optimizer: OptimizerName;
  readonly name: string;
  readonly threads: number;
  /** The largest difference from stepjit with one thread, relative to max(1, |p|). */
  readonly difference: number;
}

const STEPS = 3;

const agreements: Agreement[] = [];
for (const optimizer of OPTIMIZERS) agreements.push(...(await compare(optimizer, Number(process.argv[2]))));
for (const { optimizer, name, threads, difference } of agreements)
  if (!(difference <= ALLOWED))
    throw new Error(
      `${optimizer}: ${name} (threads: ${threads}) is ${difference} away from stepjit, ${ALLOWED} is allowed`,
    );
answer(agreements);

async function compare(optimizer: OptimizerName, threads: number): Promise<Agreement[]> {
  const problem = problemOf("mlp-small", optimizer);
  let expected: Float32Array[] | undefined;
  const found: Agreement[] = [];
  for (const { name, threads: count, refuses, make } of entries(threads)) {
    if (refuses?.(problem) !== undefined) continue;
    const contender = await make(problem);
    const arrived = await stepped(contender);
    contender.dispose();
    if (!arrived) continue;
    expected ??= arrived;
    found.push({ optimizer, name, threads: count, difference: largestDifference(arrived, expected) });
  }
  return found;
}

async function stepped(contender: Contender): Promise<Float32Array[] | undefined> {
  await contender.enter?.();
  for (let i = 0; i < STEPS; i++) contender.step();
  return contender.parameters?.().map((values) => values.slice());
}

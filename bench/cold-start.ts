/** From a new optimizer to the end of its first step, in a process that has compiled nothing yet. */
import { AdamW, compileStep, tensor } from "stepjit";
import { fillGradient, fillParameters } from "./problem.ts";
import { answer } from "./process.ts";

/** Milliseconds. */
export interface ColdStart {
  /** The optimizer and its groups; the tensors are there already. */
  readonly construct: number;
  /** Tracing, passes, kernels, tables. */
  readonly compile: number;
  readonly firstStep: number;
  readonly total: number;
}

const ELEMENTS = 16;
const count = Number(process.argv[2]);

const filled = (fill: (tensor: number, target: Float32Array) => void) =>
  Object.fromEntries(
    Array.from({ length: count }, (_, i) => {
      const data = new Float32Array(ELEMENTS);
      fill(i, data);
      return [`layer${i}.weight`, tensor(data, [ELEMENTS])];
    }),
  );
const parameters = filled(fillParameters);
const gradients = filled(fillGradient);

const times = [performance.now()];
const optimizer = new AdamW(parameters, { lr: 1e-3 });
times.push(performance.now());
const step = compileStep(optimizer);
times.push(performance.now());
step(gradients);
times.push(performance.now());

const [begun, constructed, compiled, ended] = times as [number, number, number, number];
const result: ColdStart = {
  construct: constructed - begun,
  compile: compiled - constructed,
  firstStep: ended - compiled,
  total: ended - begun,
};
answer(result);

/** What a step costs besides its arithmetic: a thousand small tensors by name, against the same elements in one tensor. */
import { AdamW, compileStep, type Tensor, tensor } from "stepjit";
import type { Contender } from "./contenders/contender.ts";
import { makeHandWritten } from "./contenders/hand-written.ts";
import { interleaved, QUICK, THOROUGH, type Timing } from "./measure.ts";
import { fillGradient, fillParameters, problem } from "./problem.ts";
import { answer } from "./process.ts";

export interface HostCost {
  readonly tensors: number;
  readonly elements: number;
  /** Times by what was stepped. */
  readonly timings: Readonly<Record<Case, Timing>>;
}

export type Case = "record" | "array" | "tensor.grad" | "one tensor" | "hand-written";

const TENSORS = 1000;
const ELEMENTS = 16;

const many = Array.from({ length: TENSORS }, (_, i) => [`layer${i}.weight`, [ELEMENTS]] as const);
const one = [["weight", [TENSORS * ELEMENTS]]] as const;

type Shapes = readonly (readonly [string, readonly number[]])[];
type Give = (step: ReturnType<typeof compileStep>, gradients: Record<string, Tensor>) => () => void;

const byName: Give = (step, gradients) => () => step(gradients);
const inOrder: Give = (step, gradients) => {
  const list = Object.values(gradients);
  return () => step(list);
};
const fromTensors: Give = (step) => () => step();

const cases: Readonly<Record<Case, Contender>> = {
  record: stepper(many, byName),
  array: stepper(many, inOrder),
  "tensor.grad": stepper(many, fromTensors),
  "one tensor": stepper(one, byName),
  "hand-written": makeHandWritten(problem("AdamW", many)),
};
const timings = await interleaved(Object.values(cases), process.argv[2] === "quick" ? QUICK : THOROUGH);
const result: HostCost = {
  tensors: TENSORS,
  elements: ELEMENTS,
  timings: Object.fromEntries(Object.keys(cases).map((name, i) => [name, timings[i]])) as HostCost["timings"],
};
answer(result);

function stepper(shapes: Shapes, give: Give): Contender {
  const parameters: Record<string, Tensor> = {};
  const gradients: Record<string, Tensor> = {};
  shapes.forEach(([name, shape], i) => {
    const [parameter, gradient] = [tensor(shape), tensor(shape)];
    fillParameters(i, parameter.data as Float32Array);
    fillGradient(i, gradient.data as Float32Array);
    parameter.grad = gradient;
    parameters[name] = parameter;
    gradients[name] = gradient;
  });
  const step = compileStep(new AdamW(parameters, { lr: 1e-3 }));
  return { step: give(step, gradients), dispose: () => step.dispose() };
}

/** Bad inputs: each is refused with its code and message, and changes nothing. */
import {
  AdamW,
  type AdamW as AdamWInstance,
  compileStep,
  defineOptimizer,
  type ErrorCode,
  type Scalar,
  SGD,
  type SGD as SGDInstance,
  type StateDict,
  type Step,
  StepjitError,
  scalar,
  type Tensor,
  tensor,
} from "stepjit";
import { describe, expect, test } from "vitest";
import { numbers } from "./models.ts";

const BACKENDS = ["reference", "wasm"] as const;

/** Two optimizers that have taken a step: what a bad input may not disturb. */
interface Scene {
  readonly weight: Tensor;
  readonly bias: Tensor;
  readonly momentum: Tensor;
  readonly lr: Scalar;
  readonly adamw: AdamWInstance;
  readonly sgd: SGDInstance;
  readonly step: Step;
  readonly sgdStep: Step;
  /** AdamW's state after the first step. */
  readonly saved: StateDict;
  /** AdamW's at every good step. */
  readonly gradients: Readonly<Record<string, Float32Array>>;
  /** Lets both take a good step. */
  advance(): void;
}

async function makeScene(backend: (typeof BACKENDS)[number]): Promise<Scene> {
  const weight = tensor(numbers(6), [2, 3]);
  const bias = tensor(numbers(3, 2), [3]);
  const momentum = tensor(numbers(5, 3), [5], "float64");
  const lr = scalar(1e-2);
  const adamw = new AdamW({ "fc.weight": weight, "fc.bias": bias }, { lr });
  const sgd = new SGD([momentum], { lr: 0.1, momentum: 0.9, nesterov: true });
  const step = compileStep(adamw, { backend });
  const sgdStep = compileStep(sgd, { backend, clipNorm: 1 });
  const gradients = {
    "fc.weight": Float32Array.from(numbers(6, 4)),
    "fc.bias": Float32Array.from(numbers(3, 5)),
  };
  const advance = () => {
    step(gradients);
    sgdStep([Float64Array.from(numbers(5, 6))]);
  };
  advance();
  const saved = await adamw.stateDict();
  return { weight, bias, momentum, lr, adamw, sgd, step, sgdStep, saved, gradients, advance };
}

/** All that a step could change. */
async function photograph({ weight, bias, momentum, adamw, sgd, step, sgdStep, lr }: Scene) {
  return structuredClone({
    tensors: [weight, bias, momentum].map(({ data }) => data.slice()),
    dicts: [await adamw.stateDict(), await sgd.stateDict()],
    steps: [step.stats.steps, sgdStep.stats.steps],
    clipNorm: sgdStep.clipNorm,
    lr: lr.value,
  });
}

/** The error as code and message; anything but a StepjitError fails the test. */
function refusal(act: () => unknown): [ErrorCode, string] | undefined {
  try {
    act();
  } catch (error) {
    if (error instanceof StepjitError) return [error.code, error.message];
    throw error;
  }
  return undefined;
}

/** TypeScript refuses most of these; JavaScript users do not have it. */
type Bad = never;

type Row = readonly [
  title: string,
  code: ErrorCode,
  message: string,
  act: (scene: Scene) => unknown,
  repair?: (scene: Scene) => void,
];

const f32 = (length: number) => new Float32Array(length);
const make = (options: object) => () => new AdamW([tensor([2])], options as Bad);
const makeScaled = (scales: unknown) => () =>
  new AdamW({ "fc.weight": tensor([2]), "fc.bias": tensor([2]) }, { scales: scales as Bad });
const NOT_DIFFERENTIABLE =
  "differentiable: true is not possible: a compiled step writes parameters and state in place and records nothing that a " +
  "gradient could be taken through";
const makeSgd = (options: object) => () => new SGD([tensor([2])], options);
const assign =
  (options: object) =>
  ({ adamw }: Scene) =>
    Object.assign(adamw.paramGroups[0] as object, options);
const give =
  (gradients: unknown) =>
  ({ step }: Scene) =>
    step(gradients as Bad);
const bind = (params: unknown) => () => new AdamW(params as Bad);
const compile =
  (options: unknown) =>
  ({ adamw }: Scene) =>
    compileStep(adamw, options as Bad);

const HYPERPARAMETERS: Row[] = [
  [
    "a NaN lr",
    "invalid-hyperparameter",
    "AdamW, param group 0: lr has to be a finite number, at least 0, got NaN",
    make({ lr: Number.NaN }),
  ],
  [
    "a negative lr",
    "invalid-hyperparameter",
    "AdamW, param group 0: lr has to be a finite number, at least 0, got -0.1",
    make({ lr: -0.1 }),
  ],
  [
    "an infinite lr",
    "invalid-hyperparameter",
    "AdamW, param group 0: lr has to be a finite number, at least 0, got Infinity",
    make({ lr: Number.POSITIVE_INFINITY }),
  ],
  [
    "a scalar that is NaN",
    "invalid-hyperparameter",
    "AdamW, param group 0: lr has to be a finite number, at least 0, got NaN",
    make({ lr: scalar(Number.NaN) }),
  ],
  [
    "a scalar of a string",
    "invalid-hyperparameter",
    'scalar() takes a number, got "1e-3"',
    () => scalar("1e-3" as Bad),
  ],
  [
    "a bad lr in a group",
    "invalid-hyperparameter",
    "AdamW, param group 1: lr has to be a finite number, at least 0, got -1",
    () => new AdamW([{ params: [tensor([1])] }, { params: [tensor([1])], lr: -1 }]),
  ],
  [
    "a bad default that the only group overrides",
    "invalid-hyperparameter",
    "AdamW, param group 0: lr has to be a finite number, at least 0, got -1",
    () => new AdamW([{ params: [tensor([1])], lr: 1 }], { lr: -1 }),
  ],
  [
    "an lr that is a string",
    "invalid-hyperparameter",
    'AdamW, param group 0: lr is a number (or scalars, or tensors of one element), got "fast"',
    make({ lr: "fast" }),
  ],
  [
    "an lr that is null",
    "invalid-hyperparameter",
    "AdamW, param group 0: lr is a number (or scalars, or tensors of one element), got null",
    make({ lr: null }),
  ],
  [
    "beta1 = 1",
    "invalid-hyperparameter",
    "AdamW, param group 0: betas has to be a finite number, at least 0 and less than 1, got 1",
    make({ betas: [1, 0.999] }),
  ],
  [
    "beta2 < 0",
    "invalid-hyperparameter",
    "AdamW, param group 0: betas has to be a finite number, at least 0 and less than 1, got -0.1",
    make({ betas: [0.9, -0.1] }),
  ],
  [
    "one beta",
    "invalid-hyperparameter",
    "AdamW, param group 0: betas is 2 numbers, got [0.9]",
    make({ betas: [0.9] }),
  ],
  [
    "betas that are a number",
    "invalid-hyperparameter",
    "AdamW, param group 0: betas is 2 numbers, got 0.9",
    make({ betas: 0.9 }),
  ],
  [
    "betas with a string",
    "invalid-hyperparameter",
    'AdamW, param group 0: betas is 2 numbers (or scalars, or tensors of one element), got [0.9, "x"]',
    make({ betas: [0.9, "x"] }),
  ],
  [
    "a flag that is a number",
    "invalid-hyperparameter",
    "AdamW, param group 0: amsgrad is true or false, got 1",
    make({ amsgrad: 1 }),
  ],
  [
    "an unknown option",
    "invalid-hyperparameter",
    'AdamW, param group 0: no option "weight_decay"; there are lr, betas, eps, weightDecay, amsgrad, maximize',
    make({ weight_decay: 0.1 }),
  ],
  [
    "an option named as a part of every object",
    "invalid-hyperparameter",
    'AdamW, param group 0: no option "__proto__"; there are lr, betas, eps, weightDecay, amsgrad, maximize',
    make(JSON.parse('{ "__proto__": 1 }')),
  ],
  [
    "an unknown option of a group",
    "invalid-hyperparameter",
    'AdamW, param group 0: no option "learningRate"; there are lr, betas, eps, weightDecay, amsgrad, maximize',
    bind([{ params: [tensor([1])], learningRate: 1 }]),
  ],
  [
    "nesterov without momentum",
    "invalid-hyperparameter",
    "SGD, param group 0: nesterov needs a momentum above 0 and no dampening",
    makeSgd({ nesterov: true }),
  ],
  [
    "nesterov with dampening",
    "invalid-hyperparameter",
    "SGD, param group 0: nesterov needs a momentum above 0 and no dampening",
    makeSgd({ nesterov: true, momentum: 0.9, dampening: 0.1 }),
  ],
  [
    "momentum = 0 assigned where nesterov is on",
    "invalid-hyperparameter",
    "SGD, param group 0: nesterov needs a momentum above 0 and no dampening",
    ({ sgd }) => {
      (sgd.paramGroups[0] as { momentum: number }).momentum = 0;
    },
  ],
  [
    "a negative lr assigned",
    "invalid-hyperparameter",
    "AdamW, param group 0: lr has to be a finite number, at least 0, got -1",
    assign({ lr: -1 }),
  ],
  [
    "one beta assigned",
    "invalid-hyperparameter",
    "AdamW, param group 0: betas is 2 numbers, got 0.5",
    assign({ betas: 0.5 }),
  ],
  [
    "a flag assigned a string",
    "invalid-hyperparameter",
    'AdamW, param group 0: amsgrad is true or false, got "yes"',
    assign({ amsgrad: "yes" }),
  ],
  [
    "a good and a bad option set at once",
    "invalid-hyperparameter",
    "AdamW, param group 0: eps has to be a finite number, at least 0, got -1",
    ({ adamw }) => adamw.paramGroups[0]?.assign({ lr: 0.5, eps: -1 }),
  ],
  [
    "a scalar that became NaN between steps",
    "invalid-hyperparameter",
    "AdamW, param group 0: lr has to be a finite number, at least 0, got NaN",
    (scene) => {
      scene.lr.value = Number.NaN;
      scene.step([f32(6), f32(3)]);
    },
    ({ lr }) => {
      lr.value = 1e-2;
    },
  ],
  [
    "scales that are no list",
    "invalid-hyperparameter",
    "AdamW: scales is a list such as [{ match: /bias/, weightDecay: 0 }], got Object",
    makeScaled({ match: /bias/, weightDecay: 0 }),
  ],
  [
    "a scale without match",
    "invalid-hyperparameter",
    "AdamW, scales[1]: match is a name, a RegExp or a function of the name, got undefined",
    makeScaled([{ match: "fc.bias" }, { weightDecay: 0 }]),
  ],
  [
    "a scale that is null",
    "invalid-hyperparameter",
    "AdamW, scales[0]: match is a name, a RegExp or a function of the name, got undefined",
    makeScaled([null]),
  ],
  [
    "a scale that matches a list of names",
    "invalid-hyperparameter",
    'AdamW, scales[0]: match is a name, a RegExp or a function of the name, got ["fc.bias"]',
    makeScaled([{ match: ["fc.bias"], lr: 0 }]),
  ],
  [
    "a scale of an unknown hyperparameter",
    "invalid-hyperparameter",
    'AdamW, scales[0]: "weight_decay" is no hyperparameter of one number; there are lr, eps, weightDecay',
    makeScaled([{ match: /bias/, weight_decay: 0 }]),
  ],
  [
    "a scale of a pair",
    "invalid-hyperparameter",
    'AdamW, scales[0]: "betas" is no hyperparameter of one number; there are lr, eps, weightDecay',
    makeScaled([{ match: /bias/, betas: [1, 0] }]),
  ],
  [
    "a scale of a flag",
    "invalid-hyperparameter",
    'AdamW, scales[0]: "amsgrad" is no hyperparameter of one number; there are lr, eps, weightDecay',
    makeScaled([{ match: /bias/, amsgrad: 1 }]),
  ],
  [
    "a negative factor",
    "invalid-hyperparameter",
    "AdamW, scales[0]: a factor on lr is a finite number, at least 0, got -1",
    makeScaled([{ match: /bias/, weightDecay: 0, lr: -1 }]),
  ],
  [
    "a factor that is NaN",
    "invalid-hyperparameter",
    "AdamW, scales[0]: a factor on lr is a finite number, at least 0, got NaN",
    makeScaled([{ match: /bias/, lr: Number.NaN }]),
  ],
  [
    "a factor that is a scalar",
    "invalid-hyperparameter",
    "AdamW, scales[0]: a factor on lr is a finite number, at least 0, got scalar(2)",
    makeScaled([{ match: /bias/, lr: scalar(2) }]),
  ],
  [
    "scales of a group",
    "invalid-hyperparameter",
    'AdamW, param group 1: no option "scales"; there are lr, betas, eps, weightDecay, amsgrad, maximize',
    ({ adamw }) => adamw.addParamGroup({ params: { more: tensor([2]) }, scales: [] } as Bad),
  ],
  [
    "differentiable",
    "invalid-hyperparameter",
    `AdamW: ${NOT_DIFFERENTIABLE}`,
    make({ differentiable: true }),
  ],
  [
    "a differentiable group",
    "invalid-hyperparameter",
    `AdamW, param group 1: ${NOT_DIFFERENTIABLE}`,
    ({ adamw }) => adamw.addParamGroup({ params: { more: tensor([2]) }, differentiable: true } as Bad),
  ],
  [
    "fused that is a string",
    "invalid-hyperparameter",
    'AdamW: fused is true, false or null, got "yes"',
    make({ fused: "yes" }),
  ],
];

const w = tensor([2, 2]);
const own = f32(4);

const PARAMETERS: Row[] = [
  ["an empty list", "invalid-parameters", "AdamW: the parameter list is empty", bind([])],
  ["an empty record", "invalid-parameters", "AdamW: the parameter list is empty", bind({})],
  [
    "an empty group",
    "invalid-parameters",
    "AdamW, param group 0: the parameter list is empty",
    bind([{ params: [] }]),
  ],
  [
    "no parameters",
    "invalid-parameters",
    "AdamW: parameters are a record, pairs [name, tensor], or a list of tensors, got undefined",
    bind(undefined),
  ],
  [
    "a tensor outside of a list",
    "invalid-parameters",
    "AdamW: parameters are a record, pairs [name, tensor], or a list of tensors, got Tensor",
    bind(w),
  ],
  [
    "a list of numbers as a parameter",
    "invalid-parameters",
    'AdamW: parameter "w" is a tensor, a Float32Array or a Float64Array, got [1, 2]',
    bind({ w: [1, 2] }),
  ],
  [
    "an Int32Array as a parameter",
    "invalid-parameters",
    "AdamW: parameter 0 is a tensor, a Float32Array or a Float64Array, got Int32Array",
    bind([new Int32Array(4)]),
  ],
  [
    "null as a parameter",
    "invalid-parameters",
    "AdamW: parameter 1 is a tensor, a Float32Array or a Float64Array, got null",
    bind([w, null]),
  ],
  [
    "a name that is no string",
    "invalid-parameters",
    "AdamW: a parameter's name is a string, got 7",
    bind([[7, w]]),
  ],
  [
    "a group among tensors",
    "invalid-parameters",
    "AdamW, param group 1: an object with params is expected, got Tensor",
    bind([{ params: [w] }, tensor([1])]),
  ],
  [
    "the same tensor twice",
    "invalid-parameters",
    'AdamW: parameter "1" appears more than once',
    bind([w, w]),
  ],
  [
    "the same tensor under two names",
    "invalid-parameters",
    'AdamW: parameter "tied" appears more than once',
    bind({ embedding: w, tied: w }),
  ],
  [
    "the same name twice",
    "invalid-parameters",
    'AdamW: parameter "w" appears more than once',
    bind([
      ["w", w],
      ["w", tensor([1])],
    ]),
  ],
  [
    "the same Float32Array twice",
    "invalid-parameters",
    'AdamW: parameter "b" appears more than once',
    bind({ a: own, b: own }),
  ],
  [
    "a tensor and its data",
    "invalid-parameters",
    'AdamW: parameter "1" appears more than once',
    () => new AdamW([w, w.data]),
  ],
  [
    "the same tensor in two groups",
    "invalid-parameters",
    'AdamW: parameter "1" appears more than once',
    bind([{ params: [w] }, { params: [w] }]),
  ],
  [
    "a parameter added again",
    "invalid-parameters",
    'AdamW: parameter "again" appears more than once',
    ({ adamw, weight }) => adamw.addParamGroup({ params: { again: weight } }),
  ],
  [
    "a group without a name added to named parameters",
    "invalid-parameters",
    "AdamW: either all parameters have names or none; parameter 0 of group 1 differs",
    ({ adamw }) => adamw.addParamGroup({ params: [tensor([2])] }),
  ],
  [
    "a group with a bad option added",
    "invalid-hyperparameter",
    "AdamW, param group 1: eps has to be a finite number, at least 0, got -1",
    ({ adamw }) => adamw.addParamGroup({ params: { more: tensor([2]) }, eps: -1 }),
  ],
  [
    "named and unnamed parameters in one list",
    "invalid-parameters",
    "AdamW: either all parameters have names or none; parameter 1 of group 0 differs",
    bind([["w", w], tensor([1])]),
  ],
  [
    "named and unnamed groups",
    "invalid-parameters",
    'AdamW: either all parameters have names or none; parameter "b" of group 1 differs',
    bind([{ params: [w] }, { params: { b: tensor([1]) } }]),
  ],
  [
    "scales for parameters without names",
    "invalid-parameters",
    "AdamW: scales go by name, and its parameters have none: give a record, or pairs [name, tensor]",
    () => new AdamW([tensor([2])], { scales: [{ match: /bias/, lr: 0 }] }),
  ],
  [
    "a scale for a RegExp that finds no parameter",
    "invalid-parameters",
    'AdamW, scales[1]: /baes$/i matches no parameter; there are "fc.weight", "fc.bias"',
    makeScaled([
      { match: /bias/, weightDecay: 0 },
      { match: /baes$/i, weightDecay: 0 },
    ]),
  ],
  [
    "a scale for a name that no parameter has",
    "invalid-parameters",
    'AdamW, scales[0]: "bias" matches no parameter; there are "fc.weight", "fc.bias"',
    makeScaled([{ match: "bias", weightDecay: 0 }]),
  ],
  [
    "a scale for a function that is never true",
    "invalid-parameters",
    'AdamW, scales[0]: the function isNorm matches no parameter; there are "fc.weight", "fc.bias"',
    makeScaled([{ match: function isNorm() {}, weightDecay: 0 }]),
  ],
  [
    "a tensor added as a group",
    "invalid-parameters",
    "AdamW, param group 1: an object with params is expected, got Tensor",
    ({ adamw }) => adamw.addParamGroup(tensor([2]) as Bad),
  ],
  [
    "a pair added as a group",
    "invalid-parameters",
    'AdamW, param group 1: an object with params is expected, got ["more", Tensor]',
    ({ adamw }) => adamw.addParamGroup(["more", tensor([2])] as Bad),
  ],
  [
    "an empty group added",
    "invalid-parameters",
    "AdamW, param group 1: the parameter list is empty",
    ({ adamw }) => adamw.addParamGroup({ params: {} }),
  ],
  [
    "a name added again",
    "invalid-parameters",
    'AdamW: parameter "fc.bias" appears more than once',
    ({ adamw }) => adamw.addParamGroup({ params: { "fc.bias": tensor([2]) } }),
  ],
  [
    "an array added twice at once",
    "invalid-parameters",
    'AdamW: parameter "b" appears more than once',
    ({ adamw }) => adamw.addParamGroup({ params: { a: own, b: own } }),
  ],
  ["an empty Map", "invalid-parameters", "AdamW: the parameter list is empty", bind(new Map())],
  [
    "a disposed parameter",
    "disposed",
    'AdamW: parameter "w" was disposed',
    () => {
      const gone = tensor([2]);
      gone.dispose();
      return new AdamW({ w: gone });
    },
  ],
];

const GRADIENTS: Row[] = [
  [
    "a gradient of the wrong length",
    "invalid-gradient",
    'AdamW, gradient of "fc.weight" has 5 elements, the parameter 6 (shape [2,3])',
    give({ "fc.weight": f32(5), "fc.bias": f32(3) }),
  ],
  [
    "a good gradient before a bad one",
    "invalid-gradient",
    'AdamW, gradient of "fc.bias" has 4 elements, the parameter 3 (shape [3])',
    give({ "fc.weight": f32(6), "fc.bias": f32(4) }),
  ],
  [
    "a gradient of the wrong dtype",
    "invalid-gradient",
    'AdamW, gradient of "fc.weight" is float64, the parameter float32',
    give({ "fc.weight": new Float64Array(6) }),
  ],
  [
    "a gradient that is a list",
    "invalid-gradient",
    'AdamW, gradient of "fc.bias" is a tensor, a Float32Array, a Float64Array or null, got [1, 2, 3]',
    give({ "fc.bias": [1, 2, 3] }),
  ],
  [
    "a gradient that is a number",
    "invalid-gradient",
    'AdamW, gradient of "fc.bias" is a tensor, a Float32Array, a Float64Array or null, got 0',
    give([null, 0]),
  ],
  [
    "an unknown name",
    "invalid-gradient",
    'AdamW: there is no parameter "fc.weights"; there are "fc.weight", "fc.bias"',
    give({ "fc.weights": f32(6), "fc.bias": f32(3) }),
  ],
  [
    "an unknown name beside gradients that were seen before",
    "invalid-gradient",
    'AdamW: there is no parameter "typo"; there are "fc.weight", "fc.bias"',
    ({ step, gradients }) => step({ ...gradients, typo: f32(1) }),
  ],
  [
    "a name that every object has",
    "invalid-gradient",
    'AdamW: there is no parameter "__proto__"; there are "fc.weight", "fc.bias"',
    give(JSON.parse('{ "__proto__": [1] }')),
  ],
  [
    "too few gradients",
    "invalid-gradient",
    "AdamW: 1 gradients for 2 parameters (null stands for none)",
    give([f32(6)]),
  ],
  [
    "too many gradients",
    "invalid-gradient",
    "AdamW: 3 gradients for 2 parameters (null stands for none)",
    give([f32(6), f32(3), null]),
  ],
  [
    "one array for all",
    "invalid-gradient",
    "AdamW: gradients are a record by name or an array in order, got Float32Array",
    give(f32(9)),
  ],
  [
    "null for all",
    "invalid-gradient",
    "AdamW: gradients are a record by name or an array in order, got null",
    give(null),
  ],
  [
    "names for an optimizer without names",
    "invalid-gradient",
    "SGD: its parameters have no names: give the gradients as an array, in order",
    ({ sgdStep }) => sgdStep({ "0": new Float64Array(5) }),
  ],
  [
    "a disposed gradient",
    "disposed",
    'AdamW, gradient of "fc.bias" was disposed',
    ({ step }) => {
      const gone = tensor([3]);
      gone.dispose();
      step([null, gone]);
    },
  ],
  [
    "a bad tensor.grad",
    "invalid-gradient",
    'AdamW, gradient of "fc.weight" has 2 elements, the parameter 6 (shape [2,3])',
    ({ weight, step }) => {
      weight.grad = f32(2);
      step();
    },
    ({ weight }) => {
      weight.grad = null;
    },
  ],
];

type Draft = {
  state: Record<string, Record<string, unknown>>;
  param_groups: Record<string, unknown>[];
};

/** Loads AdamW's own state after a change. */
const load =
  (change: (dict: Draft) => unknown) =>
  ({ adamw, saved }: Scene) => {
    const draft = structuredClone(saved) as unknown as Draft;
    adamw.loadStateDict((change(draft) ?? draft) as Bad);
  };
const slotOf = (dict: Draft, id: number, name: string) => dict.state[id]?.[name] as Record<string, unknown>;
const setSlot = (id: number, name: string, value: unknown) =>
  load((dict) => {
    (dict.state[id] as Record<string, unknown>)[name] = value;
  });
const setGroup = (options: Record<string, unknown>) =>
  load((dict) => {
    Object.assign(dict.param_groups[0] as object, options);
  });

const STATE: Row[] = [
  [
    "nothing",
    "invalid-state",
    "AdamW: a state dict has state and param_groups",
    ({ adamw }) => adamw.loadStateDict(undefined as Bad),
  ],
  [
    "a string",
    "invalid-state",
    "AdamW: a state dict has state and param_groups",
    ({ adamw }) => adamw.loadStateDict("state.bin" as Bad),
  ],
  [
    "no groups",
    "invalid-state",
    "AdamW: a state dict has state and param_groups",
    load(({ state }) => ({ state })),
  ],
  [
    "no state",
    "invalid-state",
    "AdamW: a state dict has state and param_groups",
    load(({ param_groups }) => ({ param_groups })),
  ],
  [
    "another number of groups",
    "invalid-state",
    "AdamW: the state dict has 2 param groups, the optimizer 1 (and 1 more)",
    load((dict) => {
      dict.param_groups.push({ ...dict.param_groups[0], params: [2], param_names: ["extra"] });
    }),
  ],
  [
    "a group that is null",
    "invalid-state",
    "AdamW, param group 0: the state dict has no list of parameter ids",
    load((dict) => {
      dict.param_groups[0] = null as Bad;
    }),
  ],
  [
    "another number of parameters",
    "invalid-state",
    'AdamW: the state dict has no parameter "fc.bias" (and 1 more)',
    setGroup({ params: [0], param_names: ["fc.weight"] }),
  ],
  [
    "another number of parameters, without names",
    "invalid-state",
    "AdamW, param group 0: the state dict has 3 parameters, the optimizer 2",
    setGroup({ params: [0, 1, 2], param_names: undefined }),
  ],
  [
    "ids that are no whole numbers",
    "invalid-state",
    "AdamW, param group 0: the state dict has no list of parameter ids",
    setGroup({ params: [0, 1.5] }),
  ],
  [
    "an id past what a number holds",
    "invalid-state",
    "AdamW, param group 0: the state dict has no list of parameter ids",
    setGroup({ params: [0, 2 ** 60] }),
  ],
  [
    "an id listed twice",
    "invalid-state",
    "AdamW, param group 0: the state dict lists parameter id 0 more than once",
    setGroup({ params: [0, 0] }),
  ],
  [
    "huge ids that leave the state to nobody",
    "invalid-state",
    'AdamW: the state dict has state for id "0", which no param group lists (and 1 more)',
    setGroup({ params: [4294967296, 9007199254740991] }),
  ],
  [
    "names that do not fit the ids",
    "invalid-state",
    "AdamW, param group 0: param_names does not fit params",
    setGroup({ param_names: ["fc.weight"] }),
  ],
  [
    "another name",
    "invalid-state",
    'AdamW: the state dict has no parameter "fc.bias" (and 1 more)',
    setGroup({ param_names: ["fc.weight", "__proto__"] }),
  ],
  [
    "a group without lr",
    "invalid-state",
    "AdamW, param group 0: the state dict lacks lr",
    load((dict) => {
      delete dict.param_groups[0]?.lr;
    }),
  ],
  [
    "a group with a bad lr",
    "invalid-state",
    "state dict: AdamW, param group 0: lr has to be a finite number, at least 0, got -1",
    setGroup({ lr: -1 }),
  ],
  [
    "a group with a bad flag",
    "invalid-state",
    "state dict: AdamW, param group 0: amsgrad is true or false, got 0",
    setGroup({ amsgrad: 0 }),
  ],
  [
    "state for an id that no group lists",
    "invalid-state",
    'AdamW: the state dict has state for id "7", which no param group lists',
    load((dict) => {
      dict.state[7] = {};
    }),
  ],
  [
    "state for __proto__",
    "invalid-state",
    'AdamW: the state dict has state for id "__proto__", which no param group lists',
    load((dict) => {
      Object.defineProperty(dict.state, "__proto__", { value: {}, enumerable: true });
    }),
  ],
  [
    "a parameter's state that is a string",
    "invalid-state",
    'AdamW, parameter "fc.bias": its state is an object, got "none"',
    load((dict) => {
      dict.state[1] = "none" as Bad;
    }),
  ],
  [
    "a slot that is not there",
    "invalid-state",
    'AdamW, parameter "fc.weight": the state dict lacks "exp_avg_sq"',
    load((dict) => {
      delete dict.state[0]?.exp_avg_sq;
    }),
  ],
  [
    "a slot that AdamW does not have",
    "invalid-state",
    'AdamW, parameter "fc.weight": there is no state "momentum_buffer"; there are step, exp_avg, exp_avg_sq, max_exp_avg_sq',
    setSlot(0, "momentum_buffer", null),
  ],
  [
    "a slot named __proto__",
    "invalid-state",
    'AdamW, parameter "fc.weight": there is no state "__proto__"; there are step, exp_avg, exp_avg_sq, max_exp_avg_sq',
    load((dict) => {
      Object.defineProperty(dict.state[0], "__proto__", { value: 1, enumerable: true });
    }),
  ],
  [
    "a flag whose slot is missing",
    "invalid-state",
    'AdamW, parameter "fc.weight": the state dict lacks "max_exp_avg_sq" (and 1 more)',
    setGroup({ amsgrad: true }),
  ],
  [
    "another shape",
    "invalid-state",
    'AdamW, parameter "fc.weight": exp_avg has shape [3,2] and 6 elements in the state dict, [2,3] in the optimizer',
    load((dict) => {
      slotOf(dict, 0, "exp_avg").shape = [3, 2];
    }),
  ],
  [
    "data that does not fill its shape",
    "invalid-state",
    'AdamW, parameter "fc.weight": exp_avg has shape [2,3] and 5 elements in the state dict, [2,3] in the optimizer',
    load((dict) => {
      slotOf(dict, 0, "exp_avg").data = f32(5);
    }),
  ],
  [
    "another dtype",
    "invalid-state",
    'AdamW, parameter "fc.weight": exp_avg is float64 in the state dict, float32 in the optimizer',
    load((dict) => {
      Object.assign(slotOf(dict, 0, "exp_avg"), { dtype: "float64", data: new Float64Array(6) });
    }),
  ],
  [
    "a slot that is a number",
    "invalid-state",
    'AdamW, parameter "fc.bias": exp_avg is a tensor { dtype, shape, data }, got 3',
    setSlot(1, "exp_avg", 3),
  ],
  [
    "a slot that came through JSON",
    "invalid-state",
    'AdamW, parameter "fc.weight": exp_avg is a tensor { dtype, shape, data }, got Object; ' +
      "JSON does not keep typed arrays: structuredClone and saveSafetensors do (and 1 more)",
    load((dict) => JSON.parse(JSON.stringify(dict))),
  ],
  [
    "half a step",
    "invalid-state",
    'AdamW, parameter "fc.bias": step is a whole number of steps, got 1.5',
    setSlot(1, "step", 1.5),
  ],
  [
    "a negative step",
    "invalid-state",
    'AdamW, parameter "fc.bias": step is a whole number of steps, got -1',
    setSlot(1, "step", -1),
  ],
  [
    "a name listed twice",
    "invalid-state",
    'AdamW, param group 0: the state dict lists parameter "fc.bias" more than once',
    setGroup({ param_names: ["fc.bias", "fc.bias"] }),
  ],
  [
    "a list of ids that is nothing but holes",
    "invalid-state",
    "AdamW, param group 0: the state dict has no list of parameter ids",
    setGroup({ params: new Array(2 ** 32 - 1) }),
  ],
  [
    "state in a list",
    "invalid-state",
    "AdamW: a state dict has state and param_groups",
    load(({ param_groups }) => ({ param_groups, state: [{}, {}] })),
  ],
  [
    "groups of the prototype",
    "invalid-state",
    "AdamW: a state dict has state and param_groups",
    load((dict) => Object.create(dict)),
  ],
  [
    "lists within lists",
    "invalid-state",
    "state dict: AdamW, param group 0: betas is 2 numbers, got [[[[[…]]]]]",
    setGroup({ betas: JSON.parse("[".repeat(5000) + "]".repeat(5000)) }),
  ],
  [
    "an object whose constructor cannot be shown",
    "invalid-state",
    "state dict: AdamW, param group 0: lr is a number (or scalars, or tensors of one element), got an object",
    setGroup({ lr: JSON.parse('{ "constructor": { "name": { "toString": 1 } } }') }),
  ],
  [
    "strict that is no boolean",
    "invalid-option",
    'AdamW: strict is true or false, got "no"',
    ({ adamw, saved }) => adamw.loadStateDict(saved, { strict: "no" as Bad }),
  ],
  [
    "a step that is a string",
    "invalid-state",
    'AdamW, parameter "fc.bias": step is a whole number of steps, got "1"',
    setSlot(1, "step", "1"),
  ],
];

const COMPILATION: Row[] = [
  [
    "no optimizer",
    "invalid-option",
    "compileStep takes an optimizer such as new AdamW(…), got Object",
    () => compileStep({ step() {} } as Bad),
  ],
  [
    "an optimizer's class",
    "invalid-option",
    "compileStep takes an optimizer such as new AdamW(…), got the function AdamW",
    () => compileStep(AdamW as Bad),
  ],
  [
    "options that are null",
    "invalid-option",
    'compileStep: options are an object such as { backend: "wasm" }, got null',
    compile(null),
  ],
  [
    "options that are a string",
    "invalid-option",
    'compileStep: options are an object such as { backend: "wasm" }, got "wasm"',
    compile("wasm"),
  ],
  [
    "an unknown option",
    "invalid-option",
    'compileStep: no option "device"; there are backend, threads, clipNorm, clipValue, scaler, accumulate, ema, swa, zeroGrad, numerics, onRecompile, log',
    compile({ device: "cuda" }),
  ],
  [
    "an option that every object has",
    "invalid-option",
    'compileStep: no option "constructor"; there are backend, threads, clipNorm, clipValue, scaler, accumulate, ema, swa, zeroGrad, numerics, onRecompile, log',
    compile({ constructor: 1 }),
  ],
  [
    "an unknown backend",
    "invalid-option",
    'compileStep: backend is "wasm", "reference" or a backend, got "tpu"',
    compile({ backend: "tpu" }),
  ],
  [
    "a backend that is none",
    "invalid-option",
    'compileStep: backend is "wasm", "reference" or a backend, got Object',
    compile({ backend: {} }),
  ],
  [
    "no thread",
    "invalid-option",
    "compileStep: threads is a whole number, at least 1, got 0",
    compile({ threads: 0 }),
  ],
  [
    "half a thread",
    "invalid-option",
    "compileStep: threads is a whole number, at least 1, got 1.5",
    compile({ threads: 1.5 }),
  ],
  [
    "clipNorm as a string",
    "invalid-option",
    'compileStep: clipNorm is a number or a scalar, got "1"',
    compile({ clipNorm: "1" }),
  ],
  [
    "clipNorm NaN",
    "invalid-hyperparameter",
    "compileStep: clipNorm has to be a finite number, at least 0, got NaN",
    compile({ clipNorm: Number.NaN }),
  ],
  [
    "unknown numerics",
    "invalid-option",
    'compileStep: numerics is "default" or "fast", got "fastest"',
    compile({ numerics: "fastest" }),
  ],
  [
    "an unknown reaction",
    "invalid-option",
    'compileStep: onRecompile is "warn", "error" or a function, got "ignore"',
    compile({ onRecompile: "ignore" }),
  ],
  [
    "clipNorm set on a step without it",
    "invalid-option",
    "this step was compiled without clipNorm",
    ({ step }) => {
      step.clipNorm = 1;
    },
  ],
  [
    "clipNorm set to a negative number",
    "invalid-hyperparameter",
    "compileStep: clipNorm has to be a finite number, at least 0, got -1",
    ({ sgdStep }) => {
      sgdStep.clipNorm = -1;
    },
  ],
  [
    "an unknown dump stage",
    "invalid-option",
    'dump: no stage "wgsl"; there are module, simplify, cse, dce, hoist, schedule, fuse, batch, fused, kernels, text, plan',
    ({ step }) => step.dump("wgsl" as Bad),
  ],
  [
    "a dump stage that every object has",
    "invalid-option",
    'dump: no stage "constructor"; there are module, simplify, cse, dce, hoist, schedule, fuse, batch, fused, kernels, text, plan',
    ({ step }) => step.dump("constructor" as Bad),
  ],
];

const TENSORS: Row[] = [
  [
    "a shape that is a number",
    "invalid-parameters",
    "tensor: a shape is a list of whole numbers, got 5",
    () => tensor(5 as Bad),
  ],
  [
    "a negative size",
    "invalid-parameters",
    "tensor: a shape is a list of whole numbers, got [2, -1]",
    () => tensor([2, -1]),
  ],
  [
    "half a size",
    "invalid-parameters",
    "tensor: a shape is a list of whole numbers, got [1.5]",
    () => tensor([1.5]),
  ],
  [
    "data without a shape",
    "invalid-parameters",
    "tensor: data needs a shape: tensor(data, shape)",
    () => tensor(f32(3) as Bad),
  ],
  [
    "data that does not fill its shape",
    "invalid-parameters",
    "tensor: 3 numbers do not fill shape [2,2], which takes 4",
    () => tensor([1, 2, 3], [2, 2]),
  ],
  [
    "data that is null",
    "invalid-parameters",
    "tensor: data is a list of numbers, a Float32Array or a Float64Array, got null",
    () => tensor(null as Bad, [2]),
  ],
  [
    "data that is a string",
    "invalid-parameters",
    'tensor: data is a list of numbers, a Float32Array or a Float64Array, got "12"',
    () => tensor("12" as Bad, [2]),
  ],
  [
    "nested lists",
    "invalid-parameters",
    "tensor: data is a list of numbers, a Float32Array or a Float64Array, got [[1, 2], [3, 4]]",
    () =>
      tensor(
        [
          [1, 2],
          [3, 4],
        ] as Bad,
        [2, 2],
      ),
  ],
  [
    "an unknown dtype",
    "invalid-parameters",
    'tensor: dtype is "float32" or "float64", got "int32"',
    () => tensor([2], "int32" as Bad),
  ],
];

/** Where a backend has a part in the checks, both are asked. */
const ROWS = {
  wasm: [...HYPERPARAMETERS, ...PARAMETERS, ...GRADIENTS, ...STATE, ...COMPILATION, ...TENSORS],
  reference: [...GRADIENTS, ...STATE],
};

describe.each(BACKENDS)("on %s", (backend) => {
  for (const [title, code, message, act, repair] of ROWS[backend])
    test(title, async () => {
      const scene = await makeScene(backend);
      const undisturbed = await makeScene(backend);
      const before = await photograph(scene);

      expect(refusal(() => act(scene))).toEqual([code, message]);
      repair?.(scene);
      expect(await photograph(scene)).toEqual(before);

      for (const { advance } of [scene, undisturbed]) advance();
      expect(await photograph(scene)).toEqual(await photograph(undisturbed));
    });

  test("a step that gives nothing but an unknown name, as its first", () => {
    const step = compileStep(new SGD({ w: tensor([2]) }), { backend });
    expect(refusal(() => step({ W: f32(2) }))).toEqual([
      "invalid-gradient",
      'SGD: there is no parameter "W"; there are "w"',
    ]);
    expect(step.stats.steps).toBe(0);
  });
});

describe("after dispose()", () => {
  test("of a parameter, its optimizer refuses and leaves the others alone", async () => {
    const scene = await makeScene("wasm");
    const before = scene.bias.data.slice();
    scene.weight.dispose();
    expect(refusal(scene.advance)).toEqual(["disposed", 'AdamW: parameter "fc.weight" was disposed']);
    expect(refusal(() => scene.weight.data)).toEqual([
      "disposed",
      "a tensor of shape [2,3] was used after dispose()",
    ]);
    expect(scene.bias.data).toEqual(before);
    expect(scene.step.stats.steps).toBe(1);
  });

  test("of a gradient that served in the step before", async () => {
    const scene = await makeScene("wasm");
    const gradient = tensor(numbers(3), [3]);
    scene.step([null, gradient]);
    const before = await photograph(scene);
    gradient.dispose();
    expect(refusal(() => scene.step([null, gradient]))).toEqual([
      "disposed",
      'AdamW, gradient of "fc.bias" was disposed',
    ]);
    expect(await photograph(scene)).toEqual(before);
    scene.advance();
  });

  test("of an optimizer", async () => {
    const { adamw, step, saved, weight } = await makeScene("wasm");
    const before = weight.data.slice();
    adamw.dispose();
    adamw.dispose();
    const message = ["disposed", "AdamW was used after dispose()"];
    expect(refusal(() => step([f32(6), f32(3)]))).toEqual(message);
    expect(refusal(() => adamw.loadStateDict(saved))).toEqual(message);
    expect(refusal(() => adamw.addParamGroup({ params: { x: tensor([1]) } }))).toEqual(message);
    await expect(adamw.stateDict()).rejects.toMatchObject({ code: "disposed" });
    expect(weight.data).toEqual(before);
  });

  test("of a step, another step of the same optimizer goes on", async () => {
    const { adamw, step, weight } = await makeScene("wasm");
    const before = weight.data.slice();
    step.dispose();
    step.dispose();
    const message = ["disposed", "a step of AdamW was used after dispose()"];
    expect(refusal(() => step([f32(6), f32(3)]))).toEqual(message);
    expect(refusal(() => step.explain())).toEqual(message);
    expect(weight.data).toEqual(before);
    const other = compileStep(adamw);
    other([Float32Array.from(numbers(6)), null]);
    expect(weight.data).not.toEqual(before);
    expect((await adamw.stateDict()).state[0]?.step).toBe(2);
  });
});

describe("a definition that was not transformed", () => {
  // Built from text at run time, so that the test's own transform cannot reach it.
  const raw = (directive: string) =>
    new Function(
      `return { name: "Raw", hyper: { lr: { default: 1 } }, update({ param, grad, hyper }) { ${directive} return param - hyper.lr * grad; } }`,
    )();

  test("is refused where it is defined, if it carries the directive", () => {
    expect(refusal(() => defineOptimizer(raw('"use stepjit";')))).toEqual([
      "not-transformed",
      'Raw: update is marked "use stepjit" but was not transformed. Add stepjit/plugin to your bundler ' +
        '(import stepjit from "stepjit/plugin"; plugins: [stepjit.vite()]) or run node --import stepjit/register; ' +
        "or write the maths by name with stepjit/ops and without the directive.",
    ]);
  });

  test("is refused where it is compiled, if it does not: the operators meet traced values", () => {
    const Raw = defineOptimizer(raw(""));
    const weight = tensor([1], [1]);
    const [code, message] = refusal(() => compileStep(new Raw([weight]))) ?? [];
    expect(code).toBe("traced-value");
    expect(message).toMatch(/^a traced value \(f64@group hyper lr\) was used as a plain number/);
    expect([...weight.data]).toEqual([1]);
  });
});

describe("a kernel that fails half-way", () => {
  test("poisons the optimizer for every step of it", async () => {
    const { adamw, step } = await makeScene("wasm");
    const { reference } = await import("stepjit");
    const broken = reference();
    const prepare = broken.prepare.bind(broken);
    broken.prepare = (tables) => {
      const runner = prepare(tables);
      runner.launch = () => {
        throw new Error("device lost");
      };
      return runner;
    };
    const breaking = compileStep(adamw, { backend: broken });
    expect(() => breaking([f32(6), f32(3)])).toThrow("device lost");
    const message = [
      "poisoned",
      "AdamW: an earlier step failed half-way, so parameters and state may be mixed. " +
        "Make a new optimizer and load the last state dict.",
    ];
    expect(refusal(() => breaking([f32(6), f32(3)]))).toEqual(message);
    expect(refusal(() => step([f32(6), f32(3)]))).toEqual(message);
    await expect(adamw.stateDict()).rejects.toMatchObject({ code: "poisoned" });
  });
});

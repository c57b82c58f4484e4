/** What the types allow: checked by `npm run check`, never run. */
import {
  Adam,
  AdamW,
  Adan,
  compileStep,
  count,
  defineOptimizer,
  type HookHandle,
  LARS,
  type LoadReport,
  loadSafetensors,
  type Profile,
  RMSprop,
  Rprop,
  type Scalar,
  ScheduleFreeAdamW,
  SGD,
  type StateDict,
  type Step,
  saveSafetensors,
  scalar,
  type Tensor,
  tensor,
} from "stepjit";

const w = tensor([2, 2]);

// Parameters: a record, pairs, a list, groups.
new AdamW({ w, own: new Float32Array(4) });
new AdamW([["w", w]] as const);
new AdamW([w, new Float64Array(4)]);
new AdamW([{ params: { w }, lr: 1, amsgrad: true }, { params: [["b", w]] }], { betas: [0.9, scalar(0.99)] });
// @ts-expect-error a list of numbers is no tensor
new AdamW({ w: [1, 2, 3] });
// @ts-expect-error an Int32Array holds no floats
new AdamW([new Int32Array(4)]);
// @ts-expect-error a group needs params
new AdamW([{ lr: 1 }]);
// @ts-expect-error SGD has no betas, in a group either
new SGD([{ params: [w], betas: [0.9, 0.99] }]);

// Options: names and types are the definition's.
new Adam([w], { lr: scalar(1), eps: 0, decoupledWeightDecay: true });
new SGD([w], { lr: 1, momentum: 0.9, nesterov: true });
// @ts-expect-error options are camelCase
new AdamW([w], { weight_decay: 0.1 });
// @ts-expect-error SGD has no amsgrad
new SGD([w], { amsgrad: true });
// @ts-expect-error AdamW decays decoupled anyway
new AdamW([w], { decoupledWeightDecay: true });
// @ts-expect-error lr is a number
new AdamW([w], { lr: "1e-3" });
// @ts-expect-error betas are two numbers
new AdamW([w], { betas: [0.9] });
// @ts-expect-error betas are no single number
new AdamW([w], { betas: 0.9 });
// @ts-expect-error a flag is a boolean
new AdamW([w], { amsgrad: 1 });
// @ts-expect-error an option that is given has a value
new AdamW([w], { lr: undefined });
// @ts-expect-error derived flags are not for users
new AdamW([w], { hasFirstMoment: true });
// @ts-expect-error scalar takes a number
scalar("1");

new Rprop([w], { etas: [0.5, scalar(1.5)], stepSizes: [0, 1] });
new RMSprop([w], { momentum: 0.9, centered: true });
// @ts-expect-error Rprop has no weight decay
new Rprop([w], { weightDecay: 0.1 });
// @ts-expect-error whether there is momentum follows from its value
new RMSprop([w], { hasMomentum: true });
// The optimizers beyond torch take theirs.
new Adan([w], { betas: [0.98, 0.92, scalar(0.99)], noProx: true });
new LARS([w], { momentum: 0.9, nesterov: true, adaptive: false, trustCoefficient: 1e-2 });
// @ts-expect-error Adan's betas are three numbers
new Adan([w], { betas: [0.98, 0.92] });
// @ts-expect-error hasMomentum is derived
new LARS([w], { hasMomentum: true });
const averaged: Promise<Record<string, Tensor>> = new ScheduleFreeAdamW(
  { w },
  { warmupSteps: 10 },
).averagedParameters();
// torch's options go through, the one that cannot be does not.
new AdamW([{ params: [w], foreach: true }], { fused: null, capturable: false, differentiable: false });
// @ts-expect-error a step cannot be differentiated through
new AdamW([w], { differentiable: true });
// @ts-expect-error foreach is a boolean
new AdamW([w], { foreach: "auto" });

// Scales: factors on hyperparameters of one number, by name.
new AdamW(
  { w },
  {
    scales: [
      { match: /w/, weightDecay: 0, lr: 0.1 },
      { match: "w", eps: 2 },
    ],
  },
);
new SGD({ w }, { scales: [{ match: (name) => name.startsWith("w"), momentum: 0.5 }] });
// @ts-expect-error a scale says what it matches
new AdamW({ w }, { scales: [{ weightDecay: 0 }] });
// @ts-expect-error SGD has no eps
new SGD({ w }, { scales: [{ match: /w/, eps: 0 }] });
// @ts-expect-error betas are a pair
new AdamW({ w }, { scales: [{ match: /w/, betas: 0 }] });
// @ts-expect-error a flag is no number
new AdamW({ w }, { scales: [{ match: /w/, amsgrad: 0 }] });
// @ts-expect-error a factor is no scalar
new AdamW({ w }, { scales: [{ match: /w/, lr: scalar(1) }] });
// @ts-expect-error scales are the optimizer's
new AdamW([{ params: { w }, scales: [{ match: /w/, lr: 0 }] }]);

// Names from a Map.
new AdamW(new Map([["w", w]]));
new AdamW([{ params: new Map([["w", w]]) }]);
// @ts-expect-error a Map of numbers holds no tensors
new AdamW(new Map([["w", 1]]));

// Groups: hyperparameters and flags are properties.
const optimizer = new AdamW({ w });
const [group] = optimizer.paramGroups;
if (group) {
  const lr: number = group.lr;
  const betas: readonly [number, number] = group.betas;
  const amsgrad: boolean = group.amsgrad;
  void [lr, betas, amsgrad];
  group.lr = 1;
  group.betas = [0.9, 0.99];
  group.amsgrad = true;
  // @ts-expect-error AdamW has no momentum
  group.momentum = 0.9;
  // @ts-expect-error betas are replaced whole
  group.betas[0] = 0.5;
  // @ts-expect-error lr is a number
  group.lr = "1";
  // @ts-expect-error a flag is a boolean
  group.amsgrad = 1;
}
optimizer.addParamGroup({ params: { b: w }, lr: 1 });
// @ts-expect-error AdamW has no momentum
optimizer.addParamGroup({ params: { b: w }, momentum: 1 });

// compileStep and its step.
const step: Step = compileStep(optimizer, {
  backend: "reference",
  clipNorm: scalar(1),
  onRecompile: () => {},
});
compileStep(new SGD([w]));
// @ts-expect-error there is no such option
compileStep(optimizer, { device: "cuda" });
// @ts-expect-error there is no such backend
compileStep(optimizer, { backend: "tpu" });
// @ts-expect-error compileStep takes an optimizer, not its class
compileStep(AdamW);
step();
step({ w: new Float32Array(4) });
step({ w: null });
step([w, undefined]);
// @ts-expect-error a gradient is no list of numbers
step({ w: [1, 2] });
const norm: number | undefined = step.clipNorm;
step.clipNorm = 1;
step.clipNorm = scalar(1) satisfies Scalar;
// @ts-expect-error clipping is not switched off by undefined
step.clipNorm = undefined;
// @ts-expect-error there is no such stage
step.dump("wgsl");
const profile: Profile = await step.profile(async () => step());
// @ts-expect-error launches that were not timed have no time
profile.launches[0]?.milliseconds satisfies number | undefined;
profile.memoryRate satisfies number | null;
// @ts-expect-error it takes what calls the step
step.profile(step.stats);
// @ts-expect-error stats are read only
step.stats.steps = 0;
const saved: Promise<StateDict> = optimizer.stateDict();
// @ts-expect-error a state dict comes as a promise
optimizer.loadStateDict(saved);
const report: LoadReport = optimizer.loadStateDict(await saved, { strict: false });
// @ts-expect-error strict is a boolean
optimizer.loadStateDict(await saved, { strict: "no" });
const left: string | undefined = report.mismatched[0]?.reason;
const file: Uint8Array = await saveSafetensors(optimizer);
loadSafetensors(optimizer, file, { strict: false }) satisfies LoadReport;
// @ts-expect-error bytes, not their buffer
loadSafetensors(optimizer, file.buffer);

// Hooks: what they return is what they replace.
const handle: HookHandle = optimizer.registerStepPreHook((_, gradients) => gradients);
handle.remove();
optimizer.registerStepPreHook((one) => {
  one.paramGroups.at(-1)?.assign({ lr: 1 });
});
optimizer.registerStateDictPostHook((_, dict) => ({ ...dict, param_groups: [] }));
// @ts-expect-error this is no state dict
optimizer.registerStateDictPostHook(() => 1);
// @ts-expect-error this is no gradient
optimizer.registerStepPreHook(() => ({ w: [1, 2] }));

// Tensors.
const t: Tensor = tensor([2]);
t.grad = new Float32Array(2);
t.grad = null;
// @ts-expect-error dtypes are float32 and float64
tensor([2], "int32");
// @ts-expect-error data needs a shape
tensor(new Float32Array(2));
// @ts-expect-error a shape is read only
t.shape[0] = 1;

// Definitions: what an update may read follows from what is declared.
const Lion = defineOptimizer({
  name: "Lion",
  hyper: { lr: { default: 1e-4, min: 0 }, betas: { default: [0.9, 0.99] } },
  flags: { cautious: false },
  derive: ({ lr }) => ({ moves: lr !== 0 }),
  state: { step: count, exp_avg: {} },
  update({ param, grad, state, hyper, flags, step }) {
    // @ts-expect-error there is no eps
    void hyper.eps;
    // @ts-expect-error there is no amsgrad
    void flags.amsgrad;
    // @ts-expect-error there is no exp_avg_sq
    void state.exp_avg_sq;
    state.exp_avg = hyper.betas[0] * grad;
    return flags.moves && flags.cautious ? param : param - hyper.lr * step;
  },
});
const lion = new Lion({ w }, { lr: scalar(1), betas: [0, 0.5], cautious: true });
const beta: number | undefined = lion.paramGroups[0]?.betas[1];
compileStep(lion);
// @ts-expect-error derived flags are not for users
new Lion({ w }, { moves: true });

// Nullable hyperparameters: null outside, a number in the maths.
const Factored = defineOptimizer({
  name: "Factored",
  hyper: { lr: { default: 1 }, eps: { default: [null, 1e-3], nullable: true } },
  update({ param, hyper }) {
    const eps: readonly [number, number] = hyper.eps;
    return param - hyper.lr * eps[0];
  },
});
const [factors] = new Factored([w], { eps: [scalar(1), null] }).paramGroups;
if (factors) {
  const eps: readonly [number | null, number | null] = factors.eps;
  factors.eps = [1, null];
  // @ts-expect-error lr is not nullable
  factors.lr = null;
  // @ts-expect-error what is read may be null
  const first: number = eps[0];
  void first;
}
// @ts-expect-error betas are not nullable
new AdamW([w], { betas: [null, 0.9] });
// @ts-expect-error nullable is true or not there
defineOptimizer({ name: "X", hyper: { lr: { default: 1, nullable: false } }, update: ({ param }) => param });
defineOptimizer({
  name: "Wrong",
  // @ts-expect-error a default is a number or two or three
  hyper: { lr: { default: "1e-3" } },
  update: ({ param }) => param,
});
defineOptimizer({
  name: "Averaging",
  hyper: { lr: { default: 1e-3 } },
  state: { mean: {} },
  update: ({ param }) => param,
  // @ts-expect-error there is no state z
  average: ({ param, state, hyper }) => param + hyper.lr * state.mean + state.z,
});
void [norm, beta, averaged];
void [norm, beta, left];

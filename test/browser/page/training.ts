/** A small training without a model: what the page and the test in Node both run, to compare their bits. */
import { AdamW, compileStep, defineOptimizer, type StateDict, type Tensor, tensor } from "stepjit";
import { lerp } from "stepjit/ops";

/** An optimizer of the page's own. Math.exp is there because kernels have to import it from JavaScript. */
const Damped = defineOptimizer({
  name: "Damped",
  hyper: { lr: { default: 1e-3, min: 0 }, beta: { default: 0.9, min: 0, below: 1 } },
  state: { direction: {} },
  update({ param, grad, state, hyper }) {
    "use stepjit";
    const direction = lerp(state.direction, grad, 1 - hyper.beta);
    state.direction = direction;
    const damping = 1 - Math.exp(-8 * Math.abs(direction));
    return param - hyper.lr * damping * Math.sign(direction);
  },
});

/** AdamW in one launch; the page's own optimizer behind clipping, so that sums over all threads' work count as well. */
const SETUPS = {
  AdamW: { make: (params: Params) => new AdamW(params, { weightDecay: 0.05 }), options: {} },
  Damped: { make: (params: Params) => new Damped(params), options: { clipNorm: 1 } },
} as const;

type Params = Record<string, Tensor>;
export type Setup = keyof typeof SETUPS;

/** About a million elements: odd sizes that fill no vector and no chunk, and small tensors between the large ones. */
export const SHAPES: readonly (readonly number[])[] = [
  [1009, 523],
  [3],
  [333_667],
  [],
  [17, 5],
  [127, 1021],
  [255],
  [16_385],
];

/** One a step. */
const LEARNING_RATES = [1e-3, 5e-4, 2.5e-3, 1e-2, 1e-4];

export interface Outcome {
  /** SHA-256 of all parameters' bytes, and of all state's. */
  readonly parameters: string;
  readonly state: string;
  readonly traces: number;
  readonly kernels: number;
  readonly launches: number;
  /** A step; the median. */
  readonly milliseconds: number;
  /** What a step says to a gradient of the wrong size. */
  readonly refusal: string;
  /** The backend, as `explain()` names it. */
  readonly backend: string;
  /** What memory growth half-way did, if it was asked for. */
  readonly growth: Growth | undefined;
}

export interface Growth {
  /** Bytes of memory before and after. */
  readonly before: number;
  readonly after: number;
  /** Whether a view from before was cut off. */
  readonly detached: boolean;
  /** Whether `tensor.data` still has the bytes it had. */
  readonly intact: boolean;
}

interface TrainOptions {
  /** Default: as many as the machine offers. */
  readonly threads?: number;
  /** Makes the memory grow between two steps. */
  readonly grow?: boolean;
}

/** Trains for five steps, with another learning rate at each. The same bits everywhere, whatever the options. */
export async function train(setup: Setup, { threads, grow = false }: TrainOptions = {}): Promise<Outcome> {
  const params: Params = Object.fromEntries(
    SHAPES.map((shape, index) => [`layer${index}`, tensor(noise(sizeOf(shape), index), shape)]),
  );
  const tensors = Object.values(params);
  const gradients = makeGradients(tensors);
  const { make, options } = SETUPS[setup];
  const optimizer = make(params);
  const step = compileStep(optimizer, { ...options, ...(threads !== undefined && { threads }) });

  const times: number[] = [];
  let growth: Growth | undefined;
  for (const [index, lr] of LEARNING_RATES.entries()) {
    if (grow && index === 2) growth = growMemory(tensors);
    gradients.fill(index);
    for (const group of optimizer.paramGroups) group.lr = lr;
    step();
    times.push(step.stats.milliseconds);
  }

  const { state } = await optimizer.stateDict();
  const slots = Object.values(state).flatMap((ofOne) => Object.values(ofOne).flatMap(numbersOf));
  const { traces, kernels, launches } = step.stats;
  const outcome = {
    parameters: await hash(tensors.map(({ data }) => data)),
    state: await hash(slots),
    traces,
    kernels,
    launches,
    milliseconds: times.sort((a, b) => a - b)[times.length >> 1] as number,
    refusal: messageOf(() => step({ ...gradients.named, layer4: new Float32Array(84) })),
    backend: step.explain().backend,
    growth,
  };
  for (const disposable of [step, optimizer, gradients, ...tensors]) disposable.dispose();
  return outcome;
}

/** Every other gradient is an array of the user's own, which a step has to copy. */
function makeGradients(tensors: readonly Tensor[]) {
  const grads = tensors.map((param, index) => {
    const grad = index % 2 === 0 ? tensor(param.shape) : new Float32Array(param.size);
    param.grad = grad;
    return grad;
  });
  return {
    named: Object.fromEntries(grads.map((grad, index) => [`layer${index}`, grad])),
    fill(step: number): void {
      grads.forEach((grad, index) => {
        const data = grad instanceof Float32Array ? grad : grad.data;
        data.set(noise(data.length, 1000 * (step + 1) + index));
      });
    },
    dispose(): void {
      for (const grad of grads) if (!(grad instanceof Float32Array)) grad.dispose();
    },
  };
}

/** Asks for as much as there is, so that there is not enough. */
function growMemory(tensors: readonly Tensor[]): Growth {
  const views = tensors.map(({ data }) => data);
  const copies = views.map((view) => view.slice());
  const before = (tensors[0] as Tensor).data.buffer.byteLength;
  const ballast = tensor([before / 4]);
  const growth = {
    before,
    after: (tensors[0] as Tensor).data.buffer.byteLength,
    detached: views.every(({ length }) => length === 0),
    intact: tensors.every(({ data }, index) => sameNumbers(data, copies[index] ?? [])),
  };
  ballast.dispose();
  return growth;
}

function sameNumbers(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  return a.length === b.length && Array.prototype.every.call(a, (value, index) => Object.is(value, b[index]));
}

/** Numbers in [-1, 1) from a linear congruential generator: integers until the last division, hence alike everywhere. */
export function noise(length: number, seed: number): Float32Array {
  const numbers = new Float32Array(length);
  let word = Math.imul(seed + 1, 0x9e3779b1);
  for (let i = 0; i < length; i++) {
    word = (Math.imul(word, 1_664_525) + 1_013_904_223) | 0;
    numbers[i] = word / 2 ** 31;
  }
  return numbers;
}

/** The numbers of one state slot; null is one that was never filled. */
function numbersOf(slot: StateDict["state"][number][string] | undefined): (Float32Array | Float64Array)[] {
  if (typeof slot === "number") return [Float64Array.of(slot)];
  return slot ? [slot.data] : [];
}

/** Copied first: a digest of shared memory is refused. */
async function hash(arrays: readonly (Float32Array | Float64Array)[]): Promise<string> {
  const copies = arrays.map((array) => array.slice());
  const bytes = await new Blob(copies as BlobPart[]).arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function messageOf(run: () => void): string {
  try {
    run();
    return "";
  } catch (error) {
    return String(error);
  }
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

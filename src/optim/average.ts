/** The weights to evaluate with, where an average of them is kept: by the optimizer itself, or by a step compiled with ema or swa. */
import type { FloatArray } from "../backends/backend.ts";
import { StepjitError } from "../error.ts";
import { ELEMENT } from "../ir/extent.ts";
import { HostStorage, Tensor } from "../tensor.ts";
import { type AnyDefinition, count, type HyperNumbers } from "../trace/definition.ts";
import type { Optimizer } from "./optimizer.ts";
import type { Parameter, Slot } from "./parameter.ts";

/**
 * New tensors by parameter name: what ema or swa keeps, else the optimizer's own average, as of the call. Throws `unsupported` where
 * there is none.
 */
export async function averagedParameters({
  definition,
  paramGroups,
}: Optimizer): Promise<Record<string, Tensor>> {
  const parameters = paramGroups.flatMap((group) => group.parameters);
  const isKept = parameters.some(({ slots }) => slots.has("average"));
  if (!isKept && !definition.average)
    throw new StepjitError(
      "unsupported",
      `${definition.name} keeps no average of its parameters, and no step of it was compiled with ema or swa`,
    );
  const averages = paramGroups.flatMap((group) =>
    group.parameters.map(async (parameter) => {
      const data = await (isKept
        ? keptAverage(parameter)
        : ownAverage(definition, parameter, group.readHyper(parameter)));
      return [parameter.name, new Tensor(new HostStorage(data), parameter.tensor.shape)] as const;
    }),
  );
  return Object.fromEntries(await Promise.all(averages));
}

/** A copy of the parameter while it was never averaged. */
function keptAverage({ tensor, slots, numbers }: Parameter): Promise<FloatArray> {
  const slot = slots.get("average");
  const isAveraged = slot?.live && (numbers.get("n_averaged") ?? 0) > 0;
  return (isAveraged ? slot : tensor).storage.read();
}

/** Element by element in f64, rounded to the parameter's dtype; a copy while no state is there. */
async function ownAverage(
  definition: AnyDefinition,
  parameter: Parameter,
  read: Promise<HyperNumbers>,
): Promise<FloatArray> {
  const slots = elementState(definition, parameter);
  const state = Object.fromEntries(parameter.numbers);
  const tensors = [parameter.tensor, ...slots.map(([, slot]) => slot)];
  const [hyper, data, ...values] = (await Promise.all([
    read,
    ...tensors.map(({ storage }) => storage.read()),
  ])) as [HyperNumbers, FloatArray, ...FloatArray[]];
  if (slots.length === 0) return data;
  return data.map((param, index) => {
    slots.forEach(([name], slot) => {
      state[name] = values[slot]?.[index] as number;
    });
    return definition.average?.({ param, state, hyper }) as number;
  });
}

/** The slots over all elements that a step or a load has filled. */
function elementState({ state = {} }: AnyDefinition, { slots }: Parameter): [string, Slot][] {
  return [...slots].filter(([name, { live }]) => {
    const spec = state[name];
    const overElements = spec !== undefined && spec !== count && (spec.extent ?? ELEMENT) === ELEMENT;
    return live && overElements;
  });
}

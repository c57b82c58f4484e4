/** State dicts in torch's layout: `state` by packed id, `param_groups` with `params` and `param_names`. */
import type { FloatArray, Storage } from "../backends/backend.ts";
import { ELEMENT } from "../ir/extent.ts";
import { DTYPE_NAMES, type TensorDType } from "../tensor.ts";
import {
  count,
  exists,
  type HyperSpec,
  type HyperValue,
  type StateSpec,
  type StateSpecs,
} from "../trace/definition.ts";
import { withAverage } from "./around/average.ts";
import type { ParamGroup } from "./group.ts";
import { isResident, orNull } from "./hyper.ts";
import { matrixAxes, shapeOver } from "./matrix.ts";
import { snakeCase } from "./names.ts";
import type { Optimizer } from "./optimizer.ts";
import { GRAD_SUM, type Parameter } from "./parameter.ts";

/** A tensor as plain data. */
export interface SavedTensor {
  /** `float32` or `float64`. */
  readonly dtype: TensorDType;
  /** Its sizes; `[]` for one number. */
  readonly shape: readonly number[];
  /** Its elements, row-major: a copy. */
  readonly data: FloatArray;
}

/** One parameter's state: `step` and one-number slots as numbers, the others as tensors. A slot torch has not filled is null. */
export type SavedState = Readonly<Record<string, number | SavedTensor | null>>;

/** One param group: its parameters, and every hyperparameter and flag under torch's name (`weight_decay`). */
export interface SavedGroup {
  /** Ids of its parameters: keys of `state`. */
  readonly params: readonly number[];
  /** Their names, in the same order, where they have any. */
  readonly param_names?: readonly string[];
  readonly [option: string]: unknown;
}

/** An optimizer's state in torch's layout, as plain data. */
export interface StateDict {
  /** By parameter id; parameters that keep nothing yet are not there. */
  readonly state: Readonly<Record<number, SavedState>>;
  /** In order of the groups; ids count through all of them. */
  readonly param_groups: readonly SavedGroup[];
}

/** The state as it is when this is called; all tensors are read at the same time. */
export async function stateDict(optimizer: Optimizer): Promise<StateDict> {
  const reads: Promise<void>[] = [];
  const dict = collect(optimizer, (storage, take) => reads.push(storage.read().then(take)));
  await Promise.all(reads);
  return dict;
}

/** The same without waiting. Throws `device-memory` where the host does not see the state. */
export function visibleStateDict(optimizer: Optimizer): StateDict {
  return collect(optimizer, (storage, take) => take(storage.view().slice()));
}

/** Reads a storage, now or later, and hands over a copy. */
type Reader = (storage: Storage, take: (data: FloatArray) => void) => void;

function collect(optimizer: Optimizer, read: Reader): StateDict {
  const state: Record<number, SavedState> = {};
  for (const parameter of optimizer.parameters) {
    const saved = saveParameter(optimizer, parameter, read);
    if (Object.keys(saved).length > 0) state[parameter.index] = saved;
  }
  return { state, param_groups: savedGroups(optimizer, read) };
}

/** What a parameter that has state lacks (a flag was switched on, and no step has filled the slot) is null, as in torch. */
function saveParameter(
  { definition, paramGroups }: Optimizer,
  parameter: Parameter,
  read: Reader,
): SavedState {
  const saved: Record<string, number | SavedTensor | null> = {};
  if (!hasState(parameter)) return saved;
  const { flags } = paramGroups[parameter.group] as ParamGroup;
  const axes = matrixAxes(definition, parameter, flags);
  const has = { ...flags, matrix: axes !== undefined };
  const own = definition.state ?? {};
  const isAveraged = parameter.numbers.has("n_averaged");
  const specs: StateSpecs = isAveraged ? withAverage(own) : own;
  for (const [name, spec] of Object.entries(specs)) {
    const number = spec === count ? parameter.count : parameter.numbers.get(name);
    const slot = parameter.slots.get(name);
    if (number !== undefined) saved[name] = number;
    else if (slot?.live && spec !== count) {
      const dtype = DTYPE_NAMES[slot.storage.dtype];
      const shape = slotShape(spec, parameter, axes);
      saved[name] = null; // its place among the others
      read(slot.storage, (data) => {
        saved[name] = { dtype, shape, data };
      });
    } else if (spec !== count && exists(spec, has)) saved[name] = null;
  }
  return saved;
}

function hasState({ count: steps, numbers, slots }: Parameter): boolean {
  return steps > 0 || numbers.size > 0 || [...slots].some(([name, { live }]) => live && name !== GRAD_SUM);
}

/** The param groups of a state dict; numbers on a device stay tensors unless they are read. */
export function savedGroups(optimizer: Optimizer, read: Reader = () => {}): SavedGroup[] {
  return optimizer.paramGroups.map((group) => saveGroup(optimizer, group, read));
}

function saveGroup({ definition, named }: Optimizer, group: ParamGroup, read: Reader): SavedGroup {
  const settings: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(group.settings)) {
    const key = snakeCase(name);
    settings[key] = Array.isArray(value) ? [...value] : value;
    [value].flat().forEach((member: unknown, index) => {
      if (!isResident(member)) return;
      read(member.storage, ([number]) => {
        const saved = orNull(definition.hyper[name] as HyperSpec<HyperValue>, number as number);
        if (Array.isArray(value)) (settings[key] as unknown[])[index] = saved;
        else settings[key] = saved;
      });
    });
  }
  return Object.assign(settings, {
    params: group.parameters.map(({ index }) => index),
    ...(named && { param_names: group.parameters.map(({ name }) => name) }),
  });
}

/** A slot over all elements has the parameter's shape; over fewer axes, one with a 1 for each that is gone. */
export function slotShape(
  { extent = ELEMENT }: StateSpec,
  { tensor }: Parameter,
  axes: ReturnType<typeof matrixAxes>,
): readonly number[] {
  return shapeOver(extent, tensor.shape, axes);
}

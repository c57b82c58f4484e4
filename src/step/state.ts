/** The state of a step: slots made before they are needed, filled when a parameter first steps. */
import type { Backend, ClassLayout, Storage } from "../backends/backend.ts";
import type { ParamGroup } from "../optim/group.ts";
import type { Parameter, Slot } from "../optim/parameter.ts";
import { type AnyDefinition, count, type StateSpec } from "../trace/definition.ts";

/**
 * Gives the parameters' slots a place on this backend, moving what lives elsewhere. Slot by slot, so that one slot's contents lie
 * side by side for all parameters: a kernel that goes from one small tensor to the next then reads on where it was, which is what
 * prefetchers follow. Throws `out-of-memory`.
 */
export function placeState(
  parameters: readonly Parameter[],
  layouts: readonly ClassLayout[],
  backend: Backend,
): void {
  const layoutOf = ({ classIndex }: Parameter) => layouts[classIndex] as ClassLayout;
  for (const name of new Set(layouts.flatMap(slotNames)))
    for (const parameter of parameters)
      if (slotNames(layoutOf(parameter)).includes(name))
        placeSlot(parameter, name, layoutOf(parameter), backend);
}

function placeSlot(parameter: Parameter, name: string, { dtype }: ClassLayout, backend: Backend): void {
  const slot = parameter.slots.get(name);
  if (slot && backend.owns(slot.storage)) return;
  const storage = backend.allocate(dtype, parameter.elements);
  if (slot) moveTo(slot, storage);
  else parameter.slots.set(name, { storage, live: false, zeroed: true });
}

function moveTo(slot: Slot, storage: Storage): void {
  if (slot.live) (storage.view() as Float64Array).set(slot.storage.view());
  slot.storage.free();
  Object.assign(slot, { storage, zeroed: !slot.live });
}

/** The slots over elements that a class uses. */
export function slotNames({ roles }: ClassLayout): string[] {
  return roles.filter((role) => role.startsWith("state.")).map((role) => role.slice("state.".length));
}

/** True where a slot of the parameter is still to be filled. */
export function hasNewState(
  definition: AnyDefinition,
  { slots, numbers }: Parameter,
  layout: ClassLayout,
  group: ParamGroup,
): boolean {
  return (
    slotNames(layout).some((name) => !slots.get(name)?.live) ||
    numberSlots(definition, group).some(([name]) => !numbers.has(name))
  );
}

/** Fills what is new, as the definition says, just before the parameter's step. */
export function fillNewState(
  definition: AnyDefinition,
  parameter: Parameter,
  layout: ClassLayout,
  group: ParamGroup,
): void {
  const specs = definition.state ?? {};
  for (const name of slotNames(layout)) {
    const slot = parameter.slots.get(name) as Slot;
    if (slot.live) continue;
    const spec = specs[name] as StateSpec;
    if (spec.init === "param") (slot.storage.view() as Float64Array).set(parameter.tensor.data);
    else if (initialNumber(spec, group) !== 0 || !slot.zeroed)
      slot.storage.view().fill(initialNumber(spec, group));
    Object.assign(slot, { live: true, zeroed: false });
  }
  for (const [name, spec] of numberSlots(definition, group))
    if (!parameter.numbers.has(name)) parameter.numbers.set(name, initialNumber(spec, group));
}

function initialNumber({ init = 0 }: StateSpec, { hyper }: ParamGroup): number {
  return typeof init === "function" ? init(hyper) : Number(init);
}

/** The slots of one number a parameter that exist under the group's flags. */
function numberSlots({ state }: AnyDefinition, { flags }: ParamGroup): [string, StateSpec][] {
  return Object.entries(state ?? {}).filter((entry): entry is [string, StateSpec] => {
    const [, spec] = entry;
    return spec !== count && spec.extent === "param" && (!spec.when || flags[spec.when] === true);
  });
}

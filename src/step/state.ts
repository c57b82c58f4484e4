/** The state of a step: slots made before they are needed, filled when a parameter first steps. */
import type { Backend, ClassLayout, Storage } from "../backends/backend.ts";
import { placesOf } from "../ir/dims.ts";
import { ELEMENT, type Extent } from "../ir/extent.ts";
import { roundTo } from "../ir/type.ts";
import type { ParamGroup } from "../optim/group.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import type { Parameter, Slot } from "../optim/parameter.ts";
import { count, exists, type FlagValues, type StateSpec, type StateSpecs } from "../trace/definition.ts";

/**
 * Gives the parameters' slots a place on this backend, moving what lives elsewhere. Slot by slot, so that one slot's contents lie
 * side by side for all parameters: a kernel that goes from one small tensor to the next then reads on where it was, which is what
 * prefetchers follow. Throws `out-of-memory`.
 */
export function placeState(
  { definition, parameters }: Optimizer,
  layouts: readonly ClassLayout[],
  backend: Backend,
): void {
  const slotsOf = layouts.map(slotNames);
  for (const name of new Set(slotsOf.flat()))
    for (const parameter of parameters)
      if (slotsOf[parameter.classIndex]?.includes(name))
        placeSlot(parameter, name, extentOf(definition.state?.[name]), layouts, backend);
}

/** A slot that the definition does not know is a transform's, and over elements. */
function extentOf(spec: StateSpec | typeof count | undefined): Extent {
  return spec === undefined || spec === count ? ELEMENT : (spec.extent ?? ELEMENT);
}

function placeSlot(
  parameter: Parameter,
  name: string,
  extent: Extent,
  layouts: readonly ClassLayout[],
  backend: Backend,
): void {
  const slot = parameter.slots.get(name);
  const length = placesOf(extent, parameter.dims);
  const fits = slot?.storage.length === length; // rows may be others than before
  if (slot && fits && backend.owns(slot.storage)) return;
  const { dtype } = layouts[parameter.classIndex] as ClassLayout;
  const { view } = layouts[parameter.classIndex] as ClassLayout;
  const { dims, index } = parameter;
  const beside = [...parameter.slots.values()].map((one) => one.storage);
  const [storage] = backend.allocateState([
    { parameter: index, dtype, length, overElements: extent === ELEMENT, view, dims, beside },
  ]) as [Storage];
  if (slot && fits) moveTo(slot, storage);
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

/** The state that one class has in one group out of these slots, and what it starts from. */
export class StateShape {
  readonly #slots: readonly (readonly [string, StateSpec])[];
  readonly #numbers: readonly (readonly [string, StateSpec])[];
  readonly #group: ParamGroup;

  constructor(specs: StateSpecs, layout: ClassLayout, group: ParamGroup, flags: FlagValues) {
    this.#group = group;
    this.#slots = slotNames(layout).flatMap((name) => {
      const spec = specs[name];
      return spec && spec !== count ? [[name, spec] as const] : [];
    });
    this.#numbers = Object.entries(specs).flatMap(([name, spec]) =>
      spec !== count && spec.extent === "param" && exists(spec, flags) ? [[name, spec] as const] : [],
    );
  }

  /** True where something of the parameter's is still to be filled. */
  isNewFor({ slots, numbers }: Parameter): boolean {
    return (
      this.#slots.some(([name]) => !slots.get(name)?.live) ||
      this.#numbers.some(([name]) => !numbers.has(name))
    );
  }

  /** What makes new again all that is new for the parameter now: for a step that may be given up. */
  undoFor({ slots, numbers }: Parameter): () => void {
    const newSlots = this.#slots.map(([name]) => slots.get(name) as Slot).filter(({ live }) => !live);
    const newNumbers = this.#numbers.filter(([name]) => !numbers.has(name));
    return () => {
      for (const slot of newSlots) slot.live = false;
      for (const [name] of newNumbers) numbers.delete(name);
    };
  }

  /** Fills what is new, as the definition says, just before the parameter's step. */
  fill(parameter: Parameter): void {
    const { slots, numbers, tensor } = parameter;
    for (const [name, spec] of this.#slots) {
      const slot = slots.get(name) as Slot;
      if (slot.live) continue;
      if (spec.init === "param") (slot.storage.view() as Float64Array).set(tensor.data);
      else {
        const initial = this.#initial(spec, parameter);
        if (initial !== 0 || !slot.zeroed) slot.storage.view().fill(initial);
      }
      Object.assign(slot, { live: true, zeroed: false });
    }
    for (const [name, spec] of this.#numbers)
      if (!numbers.has(name)) numbers.set(name, roundTo(spec.dtype ?? "f64", this.#initial(spec, parameter)));
  }

  #initial({ init = 0 }: StateSpec, parameter: Parameter): number {
    return typeof init === "function" ? init(this.#group.hyperOf(parameter)) : Number(init);
  }
}

/** The state of a step: slots made before they are needed, filled when a parameter first steps. */
import type { Backend, ClassLayout, SlotRequest, Storage } from "../backends/backend.ts";
import { StepjitError } from "../error.ts";
import { placesOf } from "../ir/dims.ts";
import { ELEMENT, type Extent } from "../ir/extent.ts";
import { roundTo } from "../ir/type.ts";
import type { ParamGroup } from "../optim/group.ts";
import { show } from "../optim/hyper.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import type { Parameter, Slot } from "../optim/parameter.ts";
import { count, exists, type FlagValues, type StateSpec, type StateSpecs } from "../trace/definition.ts";
import type { Classified } from "./classes.ts";

/** A slot that has no memory on the backend. */
export interface MissingSlot {
  readonly parameter: Parameter;
  readonly name: string;
  /** What it holds, elsewhere. */
  readonly kept: Storage | undefined;
  readonly place: Omit<SlotRequest, "parameter" | "beside">;
}

/**
 * What these modules' kernels need and the backend does not have. Slot by slot over all parameters, so that one slot's contents lie
 * side by side: a kernel that goes from one small tensor to the next then reads on where it was, which is what prefetchers follow.
 * Throws `unsupported` for state that can not be moved there.
 */
export function missingSlots(
  { definition, parameters }: Optimizer,
  members: readonly Classified[],
  modules: readonly (readonly ClassLayout[])[],
  backend: Backend,
): MissingSlot[] {
  const layoutsOf = (classIndex: number) => modules.map((layouts) => layouts[classIndex] as ClassLayout);
  const needed = members.map(({ classIndex }) => new Set(layoutsOf(classIndex).flatMap(slotNames)));
  const missing: MissingSlot[] = [];
  for (const name of new Set(modules.flat().flatMap(slotNames)))
    for (const parameter of parameters) {
      if (!needed[parameter.index]?.has(name)) continue;
      const extent = extentOf(definition.state?.[name]);
      const { dims, classIndex } = members[parameter.index] as Classified;
      const { dtype, view } = layoutsOf(classIndex)[0] as ClassLayout;
      const slot = parameter.slots.get(name);
      const length = placesOf(extent, dims);
      const kept = slot?.storage.length === length ? slot : undefined; // rows may be others than before
      if (kept && backend.owns(kept.storage)) continue;
      if (kept?.live && !kept.storage.visible)
        throw new StepjitError(
          "unsupported",
          `${definition.name}: the state of parameter ${show(parameter.name)} is in a device's memory, which ${backend.name} does ` +
            "not reach: take await optimizer.stateDict() and load it into a new optimizer",
        );
      missing.push({
        parameter,
        name,
        kept: kept?.live ? kept.storage : undefined,
        // In slabs of one element, rows and columns are elements, too.
        place: { dtype, length, overElements: extent === ELEMENT || view === "vector", view, dims },
      });
    }
  return missing;
}

/** A slot that the definition does not know is a transform's, and over elements. */
function extentOf(spec: StateSpec | typeof count | undefined): Extent {
  return spec === undefined || spec === count ? ELEMENT : (spec.extent ?? ELEMENT);
}

/** Takes the memory, all at once, and moves there what is elsewhere. Throws `out-of-memory`; then nothing has changed. */
export function placeState(missing: readonly MissingSlot[], backend: Backend): void {
  if (missing.length === 0) return;
  const replaced = new Set(missing.map(({ parameter, name }) => parameter.slots.get(name)?.storage));
  const storages = backend.allocateState(
    missing.map(({ parameter, place }) => ({
      ...place,
      parameter: parameter.index,
      beside: [...parameter.slots.values()].flatMap(({ storage }) =>
        backend.owns(storage) && !replaced.has(storage) ? [storage] : [],
      ),
    })),
  );
  missing.forEach(({ parameter: { slots }, name, kept }, index) => {
    const storage = storages[index] as Storage;
    if (kept) storage.copyFrom(kept);
    slots.get(name)?.storage.free();
    slots.set(name, { storage, live: kept !== undefined, zeroed: !kept });
  });
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
    const newSlots = this.#slots.filter(([name]) => !slots.get(name)?.live);
    const newNumbers = this.#numbers.filter(([name]) => !numbers.has(name));
    return () => {
      for (const [name] of newSlots) Object.assign(slots.get(name) ?? {}, { live: false });
      for (const [name] of newNumbers) numbers.delete(name);
    };
  }

  /** Fills what is new, as the definition says, just before the parameter's step; `param` holds its elements. */
  fill(parameter: Parameter, param: Storage): void {
    const { slots, numbers } = parameter;
    for (const [name, spec] of this.#slots) {
      const slot = slots.get(name) as Slot;
      if (slot.live) continue;
      if (spec.init === "param") slot.storage.copyFrom(param);
      else {
        const initial = this.#initial(spec, parameter);
        if (initial !== 0 || !slot.zeroed) slot.storage.fill(initial);
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

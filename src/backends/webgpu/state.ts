/**
 * Where state lies. A launch reaches one arena of each kind, so all slots of a parameter over elements are put into one (and those
 * over fewer axes into another); of a parameter that is too large for that, each segment's.
 */
import { type Cut, segmentsOf } from "../../plan/segments.ts";
import type { SlotRequest } from "../backend.ts";
import type { Device } from "./device.ts";
import type { Memory, Place } from "./memory.ts";
import { type Segment, WebGpuStorage } from "./storage.ts";

/** Memory of each kind. */
export interface StateMemory {
  readonly state: Memory;
  readonly axes: Memory;
}

/** One storage a request, in order. */
export function placeSlots(
  device: Device,
  memory: StateMemory,
  requests: readonly SlotRequest[],
): WebGpuStorage[] {
  const placed = new Map<SlotRequest, WebGpuStorage>();
  for (const kind of ["state", "axes"] as const) {
    const wanted = requests.filter(({ overElements }) => overElements === (kind === "state"));
    memory[kind].reserve(wanted.reduce((sum, { length }) => sum + 4 * length + 16, 0));
    for (const slots of byParameter(wanted)) {
      const storages = placeTogether(device, memory[kind], kind, slots);
      slots.forEach((slot, index) => {
        placed.set(slot, storages[index] as WebGpuStorage);
      });
    }
  }
  return requests.map((request) => placed.get(request) as WebGpuStorage);
}

function byParameter(requests: readonly SlotRequest[]): SlotRequest[][] {
  const groups = new Map<number, SlotRequest[]>();
  for (const request of requests)
    groups.set(request.parameter, [...(groups.get(request.parameter) ?? []), request]);
  return [...groups.values()];
}

/** New slots of one parameter, beside those that it has; these move where they are in the way. */
function placeTogether(
  device: Device,
  memory: Memory,
  kind: "state" | "axes",
  slots: readonly SlotRequest[],
): WebGpuStorage[] {
  const [{ view, dims, beside }] = slots as [SlotRequest];
  const old = beside.filter(
    (storage): storage is WebGpuStorage =>
      storage instanceof WebGpuStorage && storage.device === device && storage.kind === kind,
  );
  const lengths = [...old, ...slots].map(({ length }) => length);
  const bytes = lengths.reduce((sum, length) => sum + 4 * length, 0);
  const isCut = kind === "state" && bytes > device.bindingBytes;
  const home = old[0]?.segments[0]?.home;
  const near =
    !isCut && old.length > 0
      ? memory.allocateIn(
          home,
          lengths.slice(old.length).map((length) => 4 * length),
        )
      : undefined;
  if (near)
    return near.map((place, i) =>
      storageAt(device, kind, [segment(place, whole(slots[i]?.length as number))], [place]),
    );

  const cuts = isCut
    ? segmentsOf({ view, dims }, Math.floor(device.bindingBytes / 4 / lengths.length))
    : undefined;
  const places = cuts
    ? cuts.map(({ length }) => memory.allocate(lengths.map(() => 4 * length)))
    : [memory.allocate(lengths.map((length) => 4 * length))];
  const segmentsFor = (slot: number) =>
    places.map((ofCut, i) => segment(ofCut[slot] as Place, cuts?.[i] ?? whole(lengths[slot] as number)));
  const placesFor = (slot: number) => places.map((ofCut) => ofCut[slot] as Place);
  old.forEach((storage, slot) => {
    storage.moveTo(segmentsFor(slot), () => release(placesFor(slot)));
  });
  return slots.map((_, i) => storageAt(device, kind, segmentsFor(old.length + i), placesFor(old.length + i)));
}

function whole(length: number): Cut {
  return { start: 0, length };
}

function segment({ home, offset }: Place, { start, length }: Cut): Segment {
  return { home, offset, start, length };
}

function storageAt(
  device: Device,
  kind: "state" | "axes",
  segments: readonly Segment[],
  places: readonly Place[],
): WebGpuStorage {
  return new WebGpuStorage(device, kind, segments, { release: () => release(places) });
}

function release(places: readonly Place[]): void {
  for (const { home, offset, bytes } of places) home.free(offset, bytes);
}

/** Where the tensors of a plan are: what was bound, and what stands in for it. */
import { StepjitError } from "../../error.ts";
import { totalPlaces } from "../../plan/layout.ts";
import type { DeviceReport, Placement, Storage, Tables } from "../backend.ts";
import type { Foreign } from "./blame.ts";
import type { Device } from "./device.ts";
import type { Memory, Place } from "./memory.ts";
import { RULE, STAGED_ROLES, Staging } from "./staging.ts";
import { type Segment, WebGpuStorage } from "./storage.ts";
import { type Bound, classOf } from "./tables.ts";

/** Another place of a tensor, in this role. */
export interface Change {
  readonly before: WebGpuStorage | undefined;
  readonly after: WebGpuStorage | undefined;
}

interface Writable extends Bound {
  storages: (WebGpuStorage | undefined)[];
  totals: Segment[];
}

export class BoundTensors {
  /** By tensor. */
  readonly all: readonly Bound[];
  readonly #bound: readonly Writable[];
  readonly #tables: Tables;
  readonly #device: Device;
  readonly #axes: Memory;
  readonly #staging: Staging;
  readonly #totals: Place[] = [];
  readonly #active: boolean[];

  constructor(tables: Tables, device: Device, axes: Memory) {
    this.#tables = tables;
    this.#device = device;
    this.#axes = axes;
    this.#staging = new Staging(device);
    this.#bound = tables.tensors.map(() => ({ storages: [], totals: [] }));
    this.all = this.#bound;
    this.#active = tables.tensors.map(() => false);
  }

  bind(tensor: number, role: number, storage: Storage): Change {
    if (!(storage instanceof WebGpuStorage) || storage.device !== this.#device)
      throw new StepjitError(
        "invalid-parameters",
        `tensor ${tensor}, role ${role}: not in this device's memory`,
      );
    const { storages } = this.#bound[tensor] as Writable;
    const before = storages[role];
    const after = this.#placeOf(tensor, role, storage);
    storages[role] = after;
    return { before, after };
  }

  /** What kernels are to use for a tensor. */
  #placeOf(tensor: number, role: number, storage: WebGpuStorage): WebGpuStorage | undefined {
    const { roles, written } = classOf(this.#tables, tensor);
    const name = roles[role] as string;
    if (name !== "param" && name !== "grad") return storage;
    // Who has no gradient may be given a state slot to read instead: any place will do.
    const source = name === "grad" && storage.kind === "state" ? undefined : storage;
    const parameter = this.#bound[tensor]?.storages[roles.indexOf("param")];
    const bindable = name === "param" || !this.#isOutOfReach(source, parameter);
    return this.#staging.standInFor(tensor, name, source, { written: written.includes(name), bindable });
  }

  /** A gradient that the parameter's binding, a window of their common buffer, does not reach. */
  #isOutOfReach(gradient: WebGpuStorage | undefined, parameter: WebGpuStorage | undefined): boolean {
    const [buffer, other] = [gradient, parameter].map((one) => one?.segments[0]?.home.buffer);
    return buffer !== undefined && buffer === other && buffer.size > this.#device.bindingBytes;
  }

  isActive(tensor: number): boolean {
    return this.#active[tensor] === true;
  }

  /** Whether a place was let go of: who takes no part is not bound to a gradient of earlier steps, whose owner may destroy it. */
  setActive(tensor: number, active: boolean): boolean {
    this.#active[tensor] = active;
    const { storages } = this.#bound[tensor] as Writable;
    const role = classOf(this.#tables, tensor).roles.indexOf("grad");
    if (active || storages[role]?.kind !== "foreign") return false;
    storages[role] = undefined;
    return true;
  }

  copyIn(encoder: GPUCommandEncoder): void {
    this.#staging.copyIn(encoder, this.#active);
  }

  copyOut(encoder: GPUCommandEncoder): void {
    this.#staging.copyOut(encoder, this.#active);
  }

  /** Totals over axes lie beside the parameter's state over axes, so that one binding reaches both. */
  placeTotals(): void {
    if (this.#totals.length > 0) return;
    this.#tables.tensors.forEach(({ dims, name }, tensor) => {
      const { totals } = classOf(this.#tables, tensor);
      if (totals.length === 0) return;
      const bound = this.#bound[tensor] as Writable;
      const near = bound.storages.find((storage) => storage?.kind === "axes")?.segments[0]?.home;
      const lengths = totals.map((total) => totalPlaces(total, dims));
      const bytes = lengths.map((length) => 4 * length);
      const places = near ? this.#axes.allocateIn(near, bytes) : this.#axes.allocate(bytes);
      if (!places)
        throw new StepjitError(
          "unsupported",
          `webgpu: parameter "${name}": its state over rows and columns and the sums over them do not fit into one binding of ` +
            `${this.#device.bindingBytes} bytes: ask for a device with larger limits`,
        );
      this.#totals.push(...places);
      bound.totals = places.map(({ home, offset }, i) => ({
        home,
        offset,
        start: 0,
        length: lengths[i] as number,
      }));
    });
  }

  /** Throws what is known to be wrong with a tensor's buffer. */
  check(): void {
    for (const { storages } of this.#bound)
      for (const storage of storages)
        for (const { home } of storage?.segments ?? []) this.#device.checkBuffer(home.buffer);
  }

  /** Buffers of somebody else's that a step uses, copied or bound. */
  get foreign(): Foreign[] {
    return this.#tables.tensors.flatMap(({ name }, tensor) => {
      if (!this.#active[tensor]) return [];
      return STAGED_ROLES.flatMap((role) => {
        const bound = this.#bound[tensor]?.storages[classOf(this.#tables, tensor).roles.indexOf(role)];
        const storage = this.#staging.sourceOf(tensor, role) ?? bound;
        return foreignBuffers(`${role === "param" ? "parameter" : "gradient of"} "${name}"`, storage);
      });
    });
  }

  get report(): DeviceReport {
    const placements = this.#bound.map(({ storages }, tensor): Placement => {
      if (this.#staging.holds(tensor)) return "copied";
      return storages.some((storage) => storage?.kind === "foreign") ? "bound" : "arena";
    });
    return { ...this.#staging.traffic, placements, rule: RULE };
  }

  dispose(): void {
    for (const { home, offset, bytes } of this.#totals) home.free(offset, bytes);
    this.#staging.dispose();
  }
}

export function foreignBuffers(name: string, storage: WebGpuStorage | undefined): Foreign[] {
  if (storage?.kind !== "foreign") return [];
  return storage.segments.map(({ home }) => ({ name, buffer: home.buffer }));
}

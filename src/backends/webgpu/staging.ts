/**
 * Small tensors in buffers of their own, as TensorFlow.js has them, are copied into an arena before a step and out of it afterwards, in
 * the step's command buffer: then one dispatch reaches them all. Large ones are bound where they are, each in a dispatch of its own.
 *
 * Copying costs twice the bytes once more (three times where the tensor is written, too), binding a dispatch and a bind group. Both
 * are data, so where the line is drawn never compiles anything.
 */
import type { Device } from "./device.ts";
import { ALIGNMENT, Memory, type Place } from "./memory.ts";
import { type Segment, WebGpuStorage } from "./storage.ts";

/**
 * Tensors in smaller buffers are copied. On a software adapter a dispatch and its bind group cost 29 to 43 us, three copies 20 us and
 * half a microsecond a KiB: they meet at 19 to 48 KiB, a copied gradient alone at 110. GPUs have faster copies and faster dispatches.
 */
export const DIRECT_BYTES = 64 * 1024;

export const RULE =
  `copied below ${DIRECT_BYTES / 1024} KiB, where three copies cost less than a dispatch, ` +
  `and where offset or size is no multiple of ${ALIGNMENT} bytes, which kernels take at once`;

interface Copy {
  /** Undefined where it is not needed now: its place is kept. */
  source: WebGpuStorage | undefined;
  readonly copy: WebGpuStorage;
  /** Whether the step writes it. */
  readonly written: boolean;
}

export const STAGED_ROLES = ["param", "grad"] as const;
type Role = (typeof STAGED_ROLES)[number];

export class Staging {
  readonly #device: Device;
  readonly #memory: Readonly<Record<Role, Memory>>;
  /** By tensor. */
  readonly #copies: Readonly<Record<Role, (Copy | undefined)[]>> = { param: [], grad: [] };

  constructor(device: Device) {
    this.#device = device;
    this.#memory = {
      param: new Memory(device, "copies of parameters"),
      grad: new Memory(device, "copies of gradients"),
    };
  }

  /** What kernels are to use in a tensor's place: a copy, where it is somebody else's and small or not aligned, or where it is not `bindable`. */
  standInFor(
    tensor: number,
    role: Role,
    source: WebGpuStorage | undefined,
    { written, bindable }: { written: boolean; bindable: boolean },
  ): WebGpuStorage | undefined {
    const known = this.#copies[role][tensor];
    const copied = source && !(bindable && isDirect(source)) ? source : undefined;
    if (known) known.source = copied;
    if (!copied) return source;
    if (known) return known.copy;
    const [{ home, offset }] = this.#memory[role].allocate([4 * copied.length]) as [Place];
    const segment = { home, offset, start: 0, length: copied.length };
    const copy = new WebGpuStorage(this.#device, "tensor", [segment]);
    this.#copies[role][tensor] = { source: copied, copy, written };
    return copy;
  }

  /** What kernels use a copy of. */
  sourceOf(tensor: number, role: Role): WebGpuStorage | undefined {
    return this.#copies[role][tensor]?.source;
  }

  /** Whether kernels use a copy of anything of this tensor. */
  holds(tensor: number): boolean {
    return STAGED_ROLES.some((role) => this.#copies[role][tensor]?.source !== undefined);
  }

  /** Copies of a step in which all take part, and their bytes: each is read and written. */
  get traffic(): { readonly copies: number; readonly bytes: number } {
    let [copies, bytes] = [0, 0];
    for (const role of STAGED_ROLES)
      for (const copy of this.#copies[role]) {
        if (!copy?.source) continue;
        const times = copy.written ? 2 : 1;
        copies += times;
        bytes += times * 8 * copy.copy.length;
      }
    return { copies, bytes };
  }

  copyIn(encoder: GPUCommandEncoder, isActive: readonly boolean[]): void {
    for (const role of STAGED_ROLES)
      this.#copies[role].forEach((copy, tensor) => {
        if (copy?.source && isActive[tensor]) encodeCopy(encoder, copy.source, copy.copy);
      });
  }

  copyOut(encoder: GPUCommandEncoder, isActive: readonly boolean[]): void {
    for (const role of STAGED_ROLES)
      this.#copies[role].forEach((copy, tensor) => {
        if (copy?.source && copy.written && isActive[tensor]) encodeCopy(encoder, copy.copy, copy.source);
      });
  }

  dispose(): void {
    for (const role of STAGED_ROLES) {
      this.#memory[role].dispose();
      this.#copies[role].length = 0;
    }
  }
}

/** Somebody else's tensor that ends within 16 bytes would be written beyond its end: into a neighbour, where it is part of a buffer. */
function isDirect({ kind, segments }: WebGpuStorage): boolean {
  if (kind !== "foreign") return true;
  const { home, offset, length } = segments[0] as Segment;
  return home.buffer.size >= DIRECT_BYTES && offset % ALIGNMENT === 0 && (4 * length) % ALIGNMENT === 0;
}

function encodeCopy(encoder: GPUCommandEncoder, from: WebGpuStorage, to: WebGpuStorage): void {
  const [source, target] = [from.segments[0], to.segments[0]];
  if (source && target)
    encoder.copyBufferToBuffer(
      source.home.buffer,
      source.offset,
      target.home.buffer,
      target.offset,
      4 * from.length,
    );
}

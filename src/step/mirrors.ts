/** Copies of the parameters that kernels cannot reach: arrays of the user's own, tensors in another memory. */
import type { Backend, Storage } from "../backends/backend.ts";
import type { Parameter } from "../optim/parameter.ts";

interface Mirror {
  readonly storage: Storage;
  /** Steps that wrote the mirror; those of them whose result is in the parameter. */
  written: number;
  landed: number;
}

/**
 * A mirror that the host sees is copied in before a step and out after it. Any other one is *ahead* of its parameter after a step, and
 * stays so until `land` has read it back: meanwhile steps go on from the mirror and do not look at the parameter.
 */
export class Mirrors {
  readonly #backend: Backend;
  readonly #mirrors = new Map<Parameter, Mirror>();

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  /** The mirror of a parameter, made when it is asked for first. Throws `out-of-memory`. */
  storageOf(parameter: Parameter): Storage {
    const { dtype, length } = parameter.tensor.storage;
    const mirror = this.#mirrors.get(parameter) ?? {
      storage: this.#backend.allocate(dtype, length),
      written: 0,
      landed: 0,
    };
    this.#mirrors.set(parameter, mirror);
    return mirror.storage;
  }

  get parameters(): Parameter[] {
    return [...this.#mirrors.keys()];
  }

  /** True while steps have written what the parameters do not have yet. */
  get areAhead(): boolean {
    for (const mirror of this.#mirrors.values()) if (isAhead(mirror)) return true;
    return false;
  }

  /** Before a step. Gives the bytes that are copied for it, out again included where that is done right after the step. */
  copyIn(): number {
    let bytes = 0;
    for (const [{ tensor }, mirror] of this.#mirrors) {
      if (isAhead(mirror)) continue;
      const { data } = tensor;
      mirror.storage.write(data);
      bytes += data.byteLength * (mirror.storage.visible ? 2 : 1);
    }
    return bytes;
  }

  /** After a step that wrote the mirrors. */
  copyOut(): void {
    for (const [{ tensor }, mirror] of this.#mirrors)
      if (mirror.storage.visible) tensor.storage.copyFrom(mirror.storage);
      else mirror.written++;
  }

  /** Writes the parameters what their mirrors have now. Resolves when that is done; steps may go on in between. */
  async land(): Promise<void> {
    await Promise.all([...this.#mirrors].map(([parameter, mirror]) => landOne(parameter, mirror)));
  }

  dispose(): void {
    for (const { storage } of this.#mirrors.values()) storage.free();
    this.#mirrors.clear();
  }
}

function isAhead({ written, landed }: Mirror): boolean {
  return written > landed;
}

async function landOne({ tensor }: Parameter, mirror: Mirror): Promise<void> {
  if (!isAhead(mirror)) return;
  const { written } = mirror;
  const data = await mirror.storage.read();
  if (written <= mirror.landed) return; // somebody else waited too, and since then the parameter may have been changed
  if (!tensor.disposed) tensor.storage.write(data);
  mirror.landed = written;
}

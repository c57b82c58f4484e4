/** What a person writes in WGSL: all tensors end to end and one dispatch, or a dispatch for each tensor. */
import { fillGradient, fillParameters, type Shapes } from "../../problem.ts";
import { Adam, type Buffers, createBuffer, fillBuffer, ROLES, readBuffer } from "./adam.ts";
import type { GpuContender, GpuEntry } from "./contender.ts";

export const flat: GpuEntry = {
  name: "hand-written, one buffer a role",
  bytesHeld: 16,
  refuses({ parameters }, { limits }) {
    const most = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
    return 4 * parameters > most ? `a buffer of the device has at most ${most} bytes` : undefined;
  },
  make({ tensors }, device) {
    const offsets: number[] = [];
    let bytes = 0;
    for (const { size } of tensors) {
      offsets.push(bytes);
      bytes += Math.ceil(size / 4) * 16;
    }
    const buffers = createBuffers(device, bytes);
    tensors.forEach((_, i) => {
      fillTensor(device, buffers, i, tensors, offsets[i] as number);
    });
    const read = async () => {
      const all = await readBuffer(device, buffers.p);
      return tensors.map(({ size }, i) => {
        const start = (offsets[i] as number) / 4;
        return all.subarray(start, start + size);
      });
    };
    return contender(device, [buffers], read);
  },
};

export const perTensor: GpuEntry = {
  name: "hand-written, a dispatch a tensor",
  bytesHeld: 16,
  make({ tensors }, device) {
    const buffers = tensors.map(({ size }, i) => {
      const made = createBuffers(device, 4 * size);
      fillTensor(device, made, i, tensors, 0);
      return made;
    });
    const read = () =>
      Promise.all(
        tensors.map(async ({ size }, i) =>
          (await readBuffer(device, buffers[i]?.p as GPUBuffer)).subarray(0, size),
        ),
      );
    return contender(device, buffers, read);
  },
};

function contender(
  device: GPUDevice,
  buffers: readonly Buffers[],
  read: () => Promise<Float32Array[]>,
): GpuContender {
  const adam = new Adam(device);
  const bound = buffers.map((each) => ({ group: adam.bind(each), elements: each.p.size / 4 }));
  return {
    step: () => adam.step(bound),
    finished: () => device.queue.onSubmittedWorkDone(),
    read,
    dispose() {
      adam.dispose();
      for (const each of buffers) for (const role of ROLES) each[role].destroy();
    },
  };
}

function createBuffers(device: GPUDevice, bytes: number): Buffers {
  return Object.fromEntries(ROLES.map((role) => [role, createBuffer(device, bytes)])) as unknown as Buffers;
}

function fillTensor(
  device: GPUDevice,
  { p, g }: Buffers,
  index: number,
  tensors: Shapes["tensors"],
  offset: number,
): void {
  const tensor = tensors[index] as Shapes["tensors"][number];
  fillBuffer(device, p, offset, tensor, (target) => fillParameters(index, target));
  fillBuffer(device, g, offset, tensor, (target) => fillGradient(index, target));
}

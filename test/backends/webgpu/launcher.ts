/** Launches kernels on a GPU device, for tests of what they compute: in two dispatches, of fewer workgroups than there are chunks. */
import { tensorRowWords } from "../../../src/backends/gpu/layout.ts";
import { emitKernels } from "../../../src/backends/webgpu/emit.ts";
import {
  GRAD_BESIDE_PARAM,
  KERNEL_BINDINGS,
  type KernelBinding,
  LAUNCH,
} from "../../../src/backends/webgpu/layout.ts";
import { type Contents, chunksByWord, type Launcher, type Scene, tensorRows } from "../gpu/launch.ts";
import { compile, GPUBufferUsage, GPUMapMode } from "./dawn.ts";

/** WGSL's division and sqrt may be off by 2.5 units in the last place. */
export function launcherOn(device: () => GPUDevice): Launcher {
  return {
    emit: emitKernels,
    run: (text, scene) => run(device(), text, scene),
    tolerance: 5e-6,
  };
}

async function run(device: GPUDevice, text: string, scene: Scene): Promise<Contents> {
  const { launch, contents, chunks, stride } = scene;
  const { gradBesideParam = false } = launch;
  const isAsked = text.includes(`override ${GRAD_BESIDE_PARAM}`);
  const pipeline = await compile(
    device,
    text,
    isAsked ? { [GRAD_BESIDE_PARAM]: Number(gradBesideParam) } : {},
  );
  const words = tensorRowWords(launch.layouts) + 1;
  const data: Record<Exclude<KernelBinding, "launch">, Float32Array | Uint32Array> = {
    chunks: chunksByWord(scene, words),
    tensors: Uint32Array.from(tensorRows(scene, words, ({ at }) => at)),
    ...(Object.fromEntries(
      Object.entries(contents).map(([name, numbers]) => [name, Float32Array.from(numbers)]),
    ) as Record<keyof Contents, Float32Array>),
  };
  const names = (Object.keys(data) as (keyof typeof data)[]).filter((name) =>
    text.includes(`@binding(${KERNEL_BINDINGS[name]})`),
  );
  const buffers: GPUBuffer[] = [];
  const make = (size: number, usage: number) => {
    const buffer = device.createBuffer({ size, usage });
    buffers.push(buffer);
    return buffer;
  };
  const upload = (numbers: Float32Array | Uint32Array, usage: number) => {
    const buffer = make(numbers.byteLength + (-numbers.byteLength & 15), usage | GPUBufferUsage.COPY_DST);
    device.queue.writeBuffer(buffer, 0, numbers as Uint32Array<ArrayBuffer>);
    return buffer;
  };
  const bound = names.map((name) => ({
    name,
    buffer: upload(data[name], GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC),
  }));
  const encoder = device.createCommandEncoder();
  const count = chunks.length / 4;
  const half = Math.floor(count / 2);
  for (const [from, to] of [
    [0, half],
    [half, count],
  ] as const) {
    const counts: Record<string, number> = { first: from, count: to - from, stride };
    const uniform = upload(
      Uint32Array.from(LAUNCH, (name) => counts[name] ?? 0),
      GPUBufferUsage.UNIFORM,
    );
    const entries = [{ name: "launch" as const, buffer: uniform }, ...bound].map(({ name, buffer }) => ({
      binding: KERNEL_BINDINGS[name],
      resource: { buffer },
    }));
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
    pass.dispatchWorkgroups(Math.ceil((to - from) / 2));
    pass.end();
  }
  const copies = bound.map(({ name, buffer }) => {
    const copy = make(buffer.size, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
    encoder.copyBufferToBuffer(buffer, 0, copy, 0, buffer.size);
    return { name, copy };
  });
  device.queue.submit([encoder.finish()]);
  const after: Record<keyof Contents, Float64Array> = { ...contents };
  for (const { name, copy } of copies) {
    await copy.mapAsync(GPUMapMode.READ);
    if (name !== "chunks" && name !== "tensors")
      after[name] = Float64Array.from(new Float32Array(copy.getMappedRange())).slice(
        0,
        contents[name].length,
      );
  }
  for (const buffer of buffers) buffer.destroy();
  return after;
}

/** What the contenders written by hand have in common: the kernel, its constants, and buffers. */
import type { Shapes } from "../../problem.ts";
import { constantsOf } from "../constants.ts";

export const ROLES = ["p", "g", "m", "v"] as const;
export type Buffers = Readonly<Record<(typeof ROLES)[number], GPUBuffer>>;

const WORKGROUP = 256;
/** Of workgroups, in a dimension; every device has at least so many. */
const MOST = 65_535;

/** A thread updates four elements; buffers are padded to whole ones. */
const TEXT = `
struct Constants { w1: f32, beta2: f32, w2: f32, size: f32, root: f32, eps: f32 }
@group(0) @binding(0) var<uniform> c: Constants;
@group(0) @binding(1) var<storage, read_write> p: array<vec4f>;
@group(0) @binding(2) var<storage, read> g: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> m: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> v: array<vec4f>;
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * ${WORKGROUP}u;
  if (i >= arrayLength(&p)) { return; }
  let gi = g[i];
  let mi = m[i] + (gi - m[i]) * c.w1;
  let vi = v[i] * c.beta2 + gi * gi * c.w2;
  m[i] = mi;
  v[i] = vi;
  p[i] -= mi * c.size / (sqrt(vi) * c.root + c.eps);
}`;

/** The kernel, and the step it is at. */
export class Adam {
  readonly #device: GPUDevice;
  readonly #pipeline: GPUComputePipeline;
  readonly #constants: GPUBuffer;
  #count = 0;

  constructor(device: GPUDevice) {
    this.#device = device;
    const module = device.createShaderModule({ code: TEXT });
    this.#pipeline = device.createComputePipeline({ layout: "auto", compute: { module } });
    this.#constants = device.createBuffer({
      size: 32,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    });
  }

  bind(buffers: Buffers): GPUBindGroup {
    const bound = [this.#constants, ...ROLES.map((role) => buffers[role])];
    return this.#device.createBindGroup({
      layout: this.#pipeline.getBindGroupLayout(0),
      entries: bound.map((buffer, binding) => ({ binding, resource: { buffer } })),
    });
  }

  /** One submit with a dispatch for each of these. */
  step(bound: readonly { readonly group: GPUBindGroup; readonly elements: number }[]): void {
    const { queue } = this.#device;
    const c = constantsOf("Adam", ++this.#count);
    const values = [c.oneMinusBeta1, c.beta2, c.oneMinusBeta2, c.stepSize, c.rootScale, c.eps];
    queue.writeBuffer(this.#constants, 0, Float32Array.from(values));
    const encoder = this.#device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(this.#pipeline);
    for (const { group, elements } of bound) {
      pass.setBindGroup(0, group);
      const workgroups = Math.ceil(elements / 4 / WORKGROUP);
      pass.dispatchWorkgroups(Math.min(workgroups, MOST), Math.ceil(workgroups / MOST));
    }
    pass.end();
    queue.submit([encoder.finish()]);
  }

  dispose(): void {
    this.#constants.destroy();
  }
}

/** Of zeros. */
export function createBuffer(device: GPUDevice, bytes: number): GPUBuffer {
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  return device.createBuffer({ size: Math.ceil(bytes / 16) * 16, usage });
}

export function fillBuffer(
  device: GPUDevice,
  buffer: GPUBuffer,
  offset: number,
  { size }: Shapes["tensors"][number],
  fill: (target: Float32Array) => void,
): void {
  const data = new Float32Array(size);
  fill(data);
  device.queue.writeBuffer(buffer, offset, data);
}

export async function readBuffer(device: GPUDevice, buffer: GPUBuffer): Promise<Float32Array> {
  const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  const staging = device.createBuffer({ size: buffer.size, usage });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, staging, 0, buffer.size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const data = new Float32Array(staging.getMappedRange().slice(0));
  staging.destroy();
  return data;
}

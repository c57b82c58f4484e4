/** Launches kernels on a CUDA device, for tests of what they compute: on fewer blocks than there are chunks. */
import { emitKernels } from "../../../src/backends/cuda/emit.ts";
import { ADDRESS_NAMES, LAUNCH_BYTES } from "../../../src/backends/cuda/layout.ts";
import type { Address, Device } from "../../../src/backends/cuda/native/device.ts";
import type { TableName } from "../../../src/backends/gpu/language.ts";
import { COUNTS, FLAGS, TENSOR_ROW, tensorRowWords } from "../../../src/backends/gpu/layout.ts";
import type { FloatType } from "../../../src/ir/type.ts";
import {
  type Contents,
  chunksByWord,
  type Laid,
  type Launcher,
  type Scene,
  tensorRows,
} from "../gpu/launch.ts";

/** Arithmetic is IEEE's, and sums are f64. `unaligned`: tensors do not begin at a multiple of 16 bytes. */
export function launcherOn(device: () => Device, { unaligned = false } = {}): Launcher {
  return {
    emit: (work, layouts) => emitKernels(work, layouts, "default"),
    run: (text, scene) => run(device(), text, scene, unaligned),
    tolerance: 2e-6,
  };
}

/** A tensor or total of the scene in device memory. */
interface Held {
  readonly laid: Laid;
  readonly list: Float32ArrayConstructor | Float64ArrayConstructor;
  readonly address: Address;
}

async function run(device: Device, text: string, scene: Scene, unaligned: boolean): Promise<Contents> {
  const { launch, contents, chunks, stride } = scene;
  const allocated: Address[] = [];
  const put = (data: ArrayBufferView, offset = 0): Address => {
    const address = device.allocate(data.byteLength + offset);
    allocated.push(address);
    device.upload(address + BigInt(offset), new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    return address + BigInt(offset);
  };
  const held: Held[] = [];
  const words = tensorRowWords(launch.layouts) + 1;
  const rows = tensorRows(scene, words, (laid, tensor) => {
    const dtype = launch.layouts[launch.tensors[tensor]?.classIndex as number]?.dtype as FloatType;
    const list = laid.total || dtype === "f64" ? Float64Array : Float32Array;
    const offset = unaligned && !laid.total ? list.BYTES_PER_ELEMENT : 0;
    held.push({ laid, list, address: put(list.from(laid.before), offset) });
    return held.length - 1; // an address is more than a number holds
  });
  const tensors = BigUint64Array.from(rows, BigInt);
  for (let row = 0; row < tensors.length; row += words) {
    const layout = launch.layouts[Number(tensors[row + TENSOR_ROW.classIndex])];
    const places = (layout?.roles.length ?? 0) + (layout?.totals.length ?? 0);
    for (let word = row + TENSOR_ROW.bases; word < row + TENSOR_ROW.bases + places; word++)
      tensors[word] = held[Number(tensors[word])]?.address as Address;
    if (unaligned)
      tensors[row + TENSOR_ROW.flags] = (tensors[row + TENSOR_ROW.flags] as bigint) | BigInt(FLAGS.unaligned);
  }
  const tables: Partial<Record<TableName, Address>> = {
    chunks: put(chunksByWord(scene, words)),
    tensors: put(tensors),
    scalars: put(contents.scalars),
    partials: put(contents.partials),
  };
  const parameter = new Uint8Array(LAUNCH_BYTES);
  new BigUint64Array(parameter.buffer, 0, ADDRESS_NAMES.length).set(
    ADDRESS_NAMES.map((name) => tables[name] ?? 0n),
  );
  const counts: Record<string, number> = { count: chunks.length / 4, stride };
  new Uint32Array(parameter.buffer, 8 * ADDRESS_NAMES.length).set(COUNTS.map((name) => counts[name] ?? 0));
  const kernel = device.compile(text);
  device.launch(kernel, Math.ceil(chunks.length / 8), parameter);

  const read = async (address: Address, list: Held["list"], length: number) =>
    Float64Array.from(
      length === 0 ? [] : new list(await device.download(address, list.BYTES_PER_ELEMENT * length)),
    );
  const after: Record<keyof Contents, Float64Array> = {
    ...contents,
    param: contents.param.slice(),
    grad: contents.grad.slice(),
    state: contents.state.slice(),
    axes: contents.axes.slice(),
    partials: await read(tables.partials as Address, Float64Array, contents.partials.length),
  };
  for (const { laid, list, address } of held)
    after[laid.binding].set(await read(address, list, laid.before.length), laid.at);
  await device.finished();
  for (const address of allocated) device.free(address - (unaligned ? address % 256n : 0n));
  return after;
}

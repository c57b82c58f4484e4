/** How much is asked of a device: what a step costs besides its arithmetic. */

const COUNTED = [
  "dispatches",
  "passes",
  "submits",
  "copies",
  "writes", // writeBuffer
  "buffers", // created, as bind groups and pipelines
  "bindGroups",
  "pipelines",
] as const;

export type Counts = Record<(typeof COUNTED)[number], number>;

export interface Counter {
  /** Since `counted` or the last reset. */
  readonly counts: Readonly<Counts>;
  reset(): void;
}

/** Counts from now on, for as long as the device lives. */
export function counted(device: GPUDevice): Counter {
  const counts = {} as Counts;
  const reset = () => {
    for (const name of COUNTED) counts[name] = 0;
  };
  reset();
  const count = (name: keyof Counts) => () => {
    counts[name]++;
  };
  after(device, "createBuffer", count("buffers"));
  after(device, "createBindGroup", count("bindGroups"));
  after(device, "createComputePipeline", count("pipelines"));
  after(device, "createComputePipelineAsync", count("pipelines"));
  after(device.queue, "submit", count("submits"));
  after(device.queue, "writeBuffer", count("writes"));
  after(device, "createCommandEncoder", (encoder) => {
    after(encoder, "copyBufferToBuffer", count("copies"));
    after(encoder, "beginComputePass", (pass) => {
      counts.passes++;
      after(pass, "dispatchWorkgroups", count("dispatches"));
      after(pass, "dispatchWorkgroupsIndirect", count("dispatches"));
    });
  });
  return { counts, reset };
}

type MethodOf<T, K extends keyof T> = T[K] extends (...args: never[]) => infer R ? R : never;

/** Calls `then` with what a method returned, each time. */
function after<T extends object, K extends keyof T>(
  target: T,
  method: K,
  then: (result: MethodOf<T, K>) => void,
): void {
  const original = target[method] as (...args: unknown[]) => MethodOf<T, K>;
  const value = (...args: unknown[]) => {
    const result = original.apply(target, args);
    then(result);
    return result;
  };
  Object.defineProperty(target, method, { value, configurable: true });
}

/** What a backend has to run in each phase of a batched module: kernels, and what goes before them on a device. */
import type {
  ClassLayout,
  DevicePrograms,
  FinishedTotal,
  NumberTable,
  PhaseWork,
} from "../backends/backend.ts";
import { isLevel, type Level } from "../ir/extent.ts";
import { type Func, isInput, type Module, valueAt } from "../ir/module.ts";
import type { Op } from "../ir/ops.ts";
import { totalName } from "../ir/spaces.ts";
import { type Phase, phasesOf } from "../passes/batch.ts";

/** Where the partial results of one class's kernel go. */
export interface Share {
  readonly level: Level;
  readonly name: string;
  readonly op: "reduce.sum" | "reduce.max";
}

/** The totals to a level that a kernel writes, in the order in which it stores them. */
export function sharesOf(kernel: Func): Share[] {
  return kernel.outputs.flatMap(({ target, value }) => {
    const { type, op } = valueAt(kernel, value);
    const name = totalName(target);
    if (name === undefined || !isLevel(type.extent)) return [];
    return [{ level: type.extent, name, op: op as Share["op"] }];
  });
}

export function worksOf(module: Module, layouts: readonly ClassLayout[]): PhaseWork[] {
  const phases = phasesOf(module);
  const numbers = numberTableOf(module);
  const onDevice = module.funcs.some(({ on }) => on === "device");
  const commits = onDevice ? phases.findIndex(({ programs }) => gives(programs.step, "commit")) : -1;
  const works = phases.map(({ kernels, programs }, phase): PhaseWork => {
    const finishes = onDevice ? finishesOf(phases[phase - 1], layouts) : [];
    const needed = finishes.length > 0 || programs.step !== undefined || programs.scalars.length > 0;
    return {
      phase,
      kernels,
      guarded: commits >= 0 && phase >= commits,
      programs: needed ? { finishes, ...programs, advances: false } : undefined,
      numbers,
    };
  });
  if (commits < 0) return works;
  const last = works.findLastIndex(({ programs }) => programs !== undefined);
  return works.map((work, phase) =>
    phase === last ? { ...work, programs: { ...(work.programs as DevicePrograms), advances: true } } : work,
  );
}

function gives(step: Func | undefined, target: string): boolean {
  return step?.outputs.some((output) => output.target === target) ?? false;
}

/** The totals that a phase's kernels leave unfinished, and each class's share of them. */
function finishesOf(before: Phase | undefined, layouts: readonly ClassLayout[]): FinishedTotal[] {
  const totals = new Map<string, Share & { shares: (number | undefined)[] }>();
  for (const kernel of before?.kernels ?? [])
    sharesOf(kernel).forEach((share, position) => {
      // Of a parameter, one class may have a sum by the name of another's maximum.
      const key = `${share.level} ${share.name} ${share.op}`;
      const total = totals.get(key) ?? { ...share, shares: layouts.map(() => undefined) };
      total.shares[layouts.findIndex(({ name }) => name === kernel.name)] = position;
      totals.set(key, total);
    });
  return [...totals.values()];
}

function numberTableOf({ funcs }: Module): NumberTable {
  const device = funcs.filter(({ on }) => on === "device");
  if (device.length === 0) return { gives: [], totals: [], records: [], hypers: [] };
  const read = (op: Op) =>
    device.flatMap(({ values }) =>
      values.filter((value) => isInput(value) && value.op === op).map(({ attribute }) => String(attribute)),
    );
  const targetsOf = (some: readonly Func[]) =>
    some.flatMap(({ outputs }) => outputs.map(({ target }) => target));
  const named = (pattern: RegExp, some: readonly Func[]) =>
    targetsOf(some).flatMap((target) => pattern.exec(target)?.[1] ?? []);
  const commits = targetsOf(device).includes("commit");
  const totals = funcs.filter(({ kind }) => kind === "kernel").flatMap(sharesOf);
  return {
    gives: [...new Set(named(/^give\.(.+)$/, funcs))],
    totals: [...new Map(totals.map(({ name, level }) => [`${level} ${name}`, { name, level }])).values()],
    records: [
      ...(commits ? ["stepcount", "first"] : []),
      ...new Set([...read("state"), ...named(/^state\.(.+)'$/, device)]),
    ],
    hypers: [...new Set(read("hyper"))],
  };
}

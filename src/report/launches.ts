/** The launches of a step in order: what runs, what it waits for, and what the host does before. */

import type { Profile } from "../inspect/profile.ts";
import type { Func, Module } from "../ir/module.ts";
import { totalName } from "../ir/spaces.ts";
import type { PlannedModule } from "../step/planner.ts";
import type { TensorBytes } from "./traffic.ts";

export interface LaunchData {
  readonly phase: number;
  /** `programs`: what a device computes between launches of kernels. */
  readonly kind: "kernels" | "programs";
  /** Functions of the last stage that it runs. */
  readonly funcs: readonly number[];
  /** Its texts, by index. */
  readonly texts: readonly number[];
  /** Functions that the host runs before it. */
  readonly host: readonly number[];
  /** Reductions of earlier launches that it, or the host for it, reads. */
  readonly waits: readonly string[];
  /** Reductions that it leaves for later ones. */
  readonly leaves: readonly string[];
  /** By class: what its kernels move. */
  readonly bytes: readonly { readonly className: string; readonly bytes: number }[];
  /** The median of a profile; null where there is none, or nobody timed it. */
  readonly milliseconds: number | null;
}

/** How long a launch takes, if that is known. */
export type TimeOf = (phase: number, kind: LaunchData["kind"]) => number | null;

/** Medians of a profile's launches, in its steps or its micro-steps. */
export function timesIn(profile: Profile | undefined, of: "step" | "micro-step"): TimeOf {
  return (phase, kind) => {
    const times = (profile?.launches ?? []).flatMap((launch) => {
      const isOne =
        launch.phase === phase && launch.kind === kind && profile?.steps[launch.step]?.kind === of;
      return isOne && launch.milliseconds !== null ? [launch.milliseconds] : [];
    });
    return times.sort((a, b) => a - b)[times.length >> 1] ?? null;
  };
}

export function launchesOf(
  planned: PlannedModule,
  traffic: readonly TensorBytes[],
  timeOf: TimeOf,
): LaunchData[] {
  const { module } = planned.compiled;
  const phases = [...new Set(module.funcs.map(({ phase }) => phase ?? 0))].sort((a, b) => a - b);
  return phases.flatMap((phase) => {
    const pick = (belongs: (func: Func) => boolean) =>
      indicesOf(module, (func) => (func.phase ?? 0) === phase && belongs(func));
    const host = pick(({ kind, on }) => kind !== "kernel" && on === undefined);
    const device = pick(({ on }) => on === "device");
    const kernels = pick(({ kind }) => kind === "kernel");
    const textsOf = (isProgram: boolean) =>
      planned.kernels.flatMap((text, index) =>
        text.phase === phase && (text.classes.length === 0) === isProgram ? [index] : [],
      );
    const programs = textsOf(true);
    const launches: LaunchData[] = [];
    if (programs.length > 0)
      launches.push({
        ...describe(module, [...host, ...device]),
        phase,
        kind: "programs",
        host,
        funcs: device,
        texts: programs,
        bytes: [],
        milliseconds: timeOf(phase, "programs"),
      });
    const before = programs.length > 0 ? [] : host;
    const names = [...new Set(kernels.map((index) => (module.funcs[index] as Func).name))];
    if (kernels.length > 0)
      launches.push({
        ...describe(module, [...before, ...kernels]),
        phase,
        kind: "kernels",
        host: before,
        funcs: kernels,
        texts: textsOf(false),
        bytes: names.map((className) => ({
          className,
          bytes: traffic
            .filter((tensor) => tensor.className === className)
            .flatMap(({ accesses }) => accesses)
            .reduce((sum, access) => (access.phase === phase ? sum + access.bytes : sum), 0),
        })),
        milliseconds: timeOf(phase, "kernels"),
      });
    return launches;
  });
}

function indicesOf({ funcs }: Module, belongs: (func: Func) => boolean): number[] {
  return funcs.flatMap((func, index) => (belongs(func) ? [index] : []));
}

function describe({ funcs }: Module, indices: readonly number[]): Pick<LaunchData, "waits" | "leaves"> {
  const mine = indices.map((index) => funcs[index] as Func);
  const waits = mine.flatMap(({ values }) =>
    values.flatMap(({ op, attribute }) => (op === "total" ? [String(attribute)] : [])),
  );
  const leaves = mine.flatMap(({ outputs }) => outputs.flatMap(({ target }) => totalName(target) ?? []));
  return { waits: [...new Set(waits)], leaves: [...new Set(leaves)] };
}

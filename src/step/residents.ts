/** Hyperparameters that live on a device: kernels read them there, and the host knows NaN. */
import type { Backend } from "../backends/backend.ts";
import { StepjitError } from "../error.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import { count, exists } from "../trace/definition.ts";

/** Throws `unsupported` for one that the backend does not read. */
export function checkResidents({ definition, paramGroups }: Optimizer, backend: Backend): void {
  for (const { index, residents } of paramGroups) {
    if (residents.size === 0) continue;
    for (const [name, storage] of residents)
      if (backend.programs !== "device" || !backend.owns(storage))
        throw new StepjitError(
          "unsupported",
          `${definition.name}, param group ${index}: ${name} is a tensor in a device's memory, which ${backend.name} does not reach`,
        );
  }
}

/** Throws `unsupported` for state that starts from one: it is filled by the host. */
export function checkInitialState({ definition, paramGroups }: Optimizer): void {
  for (const { index, residents, hyper, flags } of paramGroups)
    if (residents.size > 0)
      for (const [slot, spec] of Object.entries(definition.state ?? {}))
        if (spec !== count && exists(spec, flags) && typeof spec.init === "function")
          if (Number.isNaN(spec.init(hyper)))
            throw new StepjitError(
              "unsupported",
              `${definition.name}, param group ${index}: state ${slot} starts from a hyperparameter that is on a device: ` +
                "give that one as a number or a scalar",
            );
}

/** What a step moves, tensor by tensor, over all parameters: the sums behind `stats.bytesMoved` and `stats.bytesIdeal`. */
import { placesOf } from "../ir/dims.ts";
import type { Extent } from "../ir/extent.ts";
import { type Func, tensorTraffic } from "../ir/module.ts";
import { ELEMENT_BYTES } from "../ir/type.ts";
import { totalPlaces } from "../plan/layout.ts";
import type { Engine } from "../step/engine.ts";
import type { PlannedModule } from "../step/planner.ts";

/** One tensor of one class: `param`, `state.exp_avg`, `total.local0`. */
export interface TensorBytes {
  readonly className: string;
  readonly tensor: string;
  /** By launch of kernels that touches it. */
  readonly accesses: readonly Access[];
}

export interface Access {
  readonly phase: number;
  readonly kind: "read" | "write";
  readonly bytes: number;
  /** Whether a step has to move this: once is enough, and totals are the launches' own. */
  readonly isIdeal: boolean;
}

/** Of a step in which every parameter takes part. */
export function tensorBytes(engine: Engine, { compiled }: PlannedModule): TensorBytes[] {
  return compiled.layouts.flatMap((layout, index) => {
    const dims = engine.optimizer.parameters
      .filter(({ classIndex }) => classIndex === index)
      .map(({ dims }) => dims);
    const kernels = compiled.module.funcs.filter(
      ({ kind, name }) => kind === "kernel" && name === layout.name,
    );
    const size = (extent: Extent) =>
      ELEMENT_BYTES[layout.dtype] * dims.reduce((sum, one) => sum + placesOf(extent, one), 0);
    const accesses = [...accessesOf(kernels, size)];
    for (const total of layout.totals) {
      const bytes = 8 * dims.reduce((sum, one) => sum + totalPlaces(total, one), 0);
      accesses.push(...totalAccesses(kernels, total.name, bytes));
    }
    const tensors = [...new Set(accesses.map(({ tensor }) => tensor))];
    return tensors.map((tensor) => ({
      className: layout.name,
      tensor,
      accesses: accesses
        .filter((access) => access.tensor === tensor)
        .map(({ tensor: _, ...access }) => access),
    }));
  });
}

interface Named extends Access {
  readonly tensor: string;
}

function* accessesOf(kernels: readonly Func[], size: (extent: Extent) => number): Generator<Named> {
  const seen = new Set<string>();
  for (const kernel of kernels)
    for (const { tensor, extent } of tensorTraffic(kernel)) {
      const kind = tensor.endsWith("'") ? "write" : "read";
      yield {
        tensor: tensor.replace(/'$/, ""),
        phase: kernel.phase ?? 0,
        kind,
        bytes: size(extent),
        isIdeal: !seen.has(tensor),
      };
      seen.add(tensor);
    }
}

/** Left by one launch, and read by later ones. */
function* totalAccesses(kernels: readonly Func[], name: string, bytes: number): Generator<Named> {
  const tensor = `total.${name}`;
  for (const { values, outputs, phase = 0 } of kernels) {
    const access = { tensor, bytes, isIdeal: false, phase };
    if (outputs.some(({ target }) => target === tensor)) yield { ...access, kind: "write" };
    if (values.some(({ op, attribute }) => op === "total" && attribute === name))
      yield { ...access, kind: "read" };
  }
}

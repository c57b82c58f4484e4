/** What a step moves, tensor by tensor, over all parameters: the sums behind `stats.bytesMoved` and `stats.bytesIdeal`. */
import { type Movement, movementsOf } from "../plan/layout.ts";
import type { Engine } from "../step/engine.ts";
import type { PlannedModule } from "../step/planner.ts";

/** One tensor of one class: `param`, `state.exp_avg`, `total.local0`. */
export interface TensorBytes {
  readonly className: string;
  readonly tensor: string;
  /** By launch of kernels that touches it. */
  readonly accesses: readonly Access[];
}

export interface Access extends Pick<Movement, "phase" | "kind" | "isIdeal"> {
  readonly bytes: number;
}

/** Of a step in which every parameter takes part. */
export function tensorBytes({ optimizer }: Engine, { compiled }: PlannedModule): TensorBytes[] {
  return compiled.layouts.flatMap((layout, index) => {
    const members = optimizer.parameters.filter(({ classIndex }) => classIndex === index);
    const byTensor = new Map<string, Access[]>();
    for (const { tensor, phase, kind, isIdeal, bytes } of movementsOf(compiled.module, layout)) {
      const sum = members.reduce((total, { dims }) => total + bytes(dims), 0);
      byTensor.set(tensor, [...(byTensor.get(tensor) ?? []), { phase, kind, bytes: sum, isIdeal }]);
    }
    return [...byTensor].map(([tensor, accesses]) => ({ className: layout.name, tensor, accesses }));
  });
}

/**
 * Multiply-adds for `fast` numerics: a product that only one addition or subtraction uses becomes part of it.
 *
 *     %3 = mul %0 %1                       (the product is not computed on its own)
 *     %4 = add %3 %2             ->        %0 * %1 + %2, rounded once
 *     %5 = sub %2 %3             ->        %2 - %0 * %1
 *
 * Not for `%3 - %2`: it would cost a negation.
 */
import { countUses, type Func, type Value, type ValueId } from "../../ir/module.ts";

/** What takes the place of an addition or subtraction, and which values go in: `x * y + other`, or `other - x * y`. */
export interface MultiplyAdd {
  readonly negated: boolean;
  readonly product: ValueId;
  readonly operands: readonly [ValueId, ValueId, ValueId];
}

/** By the addition's number. */
export function findMultiplyAdds(kernel: Func): Map<ValueId, MultiplyAdd> {
  const uses = countUses(kernel);
  const isLoneProduct = (id: ValueId) => kernel.values[id]?.op === "mul" && uses[id] === 1;
  const found = new Map<ValueId, MultiplyAdd>();
  kernel.values.forEach((value, id) => {
    const [a, b] = value.args as [ValueId, ValueId];
    if (value.op !== "add" && value.op !== "sub") return;
    const [product, other] = isLoneProduct(b) ? [b, a] : value.op === "add" && isLoneProduct(a) ? [a, b] : [];
    if (product === undefined || other === undefined) return;
    const [x, y] = (kernel.values[product] as Value).args as [ValueId, ValueId];
    found.set(id, { negated: value.op === "sub", product, operands: [x, y, other] });
  });
  return found;
}

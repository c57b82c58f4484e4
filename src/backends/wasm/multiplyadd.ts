/**
 * Multiply-adds for `fast` numerics: a product that only one addition or subtraction uses becomes part of it.
 *
 *     %3 = mul %0 %1                       (the product is not computed on its own)
 *     %4 = add %3 %2             ->        (f32x4.relaxed_madd %0 %1 %2)
 *     %5 = sub %2 %3             ->        (f32x4.relaxed_nmadd %0 %1 %2)
 *
 * Not for `%3 - %2`: it would cost a negation.
 */
import { countUses, type Func, type Value, type ValueId } from "../../ir/module.ts";

/** Which instruction takes the place of an op, and which values go in. */
export interface MultiplyAdd {
  readonly instruction: "relaxed_madd" | "relaxed_nmadd";
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
    const instruction = value.op === "add" ? "relaxed_madd" : "relaxed_nmadd";
    found.set(id, { instruction, product, operands: [x, y, other] });
  });
  return found;
}

/**
 * Common subexpressions: what is computed twice is computed once. The first one's source stays.
 *
 *     %2 = mul %1 %1                     %2 = mul %1 %1
 *     %3 = mul %1 %1          →          %3 = add %2 %2
 *     %4 = add %2 %3
 *
 * Operands of commutative ops are compared in either order. Never does harm here: kernels keep all values in registers.
 */
import type { Func, Module, Value, ValueId } from "../ir/module.ts";
import { opInfo } from "../ir/ops.ts";
import { printOperation } from "../ir/print.ts";
import { printType } from "../ir/type.ts";

export function eliminateCommonSubexpressions(module: Module): Module {
  return { ...module, funcs: module.funcs.map(shareValues) };
}

function shareValues(func: Func): Func {
  const values: Value[] = [];
  const known = new Map<string, ValueId>();
  const replaced: ValueId[] = [];
  for (const old of func.values) {
    const value = { ...old, args: old.args.map((arg) => replaced[arg] as ValueId) };
    const key = keyOf(value);
    const id = known.get(key) ?? values.push(value) - 1;
    known.set(key, id);
    replaced.push(id);
  }
  const outputs = func.outputs.map(({ target, value }) => ({ target, value: replaced[value] as ValueId }));
  return { ...func, values, outputs };
}

function keyOf(value: Value): string {
  const args = opInfo(value.op).commutative ? [...value.args].sort((a, b) => a - b) : value.args;
  return `${printType(value.type)} ${printOperation({ ...value, args })}`;
}

import { type Extent, isLevel, join } from "./extent.ts";
import type { Func, FuncKind, Output, Value, ValueId } from "./module.ts";
import { type Op, opInfo } from "./ops.ts";
import { type FloatType, type Type, type } from "./type.ts";

/**
 * Builds one function, value by value. Operands of different extents are broadcast to the smallest extent that both widen to,
 * which is the only place where a broadcast is implied.
 */
export class Builder {
  readonly kind: FuncKind;
  readonly name: string;
  /** The dtype of the class: what elements are. */
  readonly dtype: FloatType;
  readonly values: Value[] = [];
  readonly outputs: Output[] = [];

  constructor(kind: FuncKind, name: string, dtype: FloatType) {
    this.kind = kind;
    this.name = name;
    this.dtype = dtype;
  }

  typeOf(id: ValueId): Type {
    return (this.values[id] as Value).type;
  }

  /** Appends a value as it is. */
  push(value: Value): ValueId {
    return this.values.push(value) - 1;
  }

  input(op: Op, at: Type, attribute?: string | number, source?: string): ValueId {
    return this.push(make(op, at, [], attribute, source));
  }

  constant(value: number, source?: string): ValueId {
    return this.input("const", type("f64", "step"), value, source);
  }

  /** An element-wise op of the table, its operands broadcast to one extent. */
  map(op: Op, args: readonly ValueId[], source?: string): ValueId {
    const extent = args.map((arg) => this.typeOf(arg).extent).reduce(join);
    const operands = args.map((arg) => this.broadcast(arg, extent, source));
    const { rule } = opInfo(op);
    const dtype =
      rule === "compare" || rule === "logic" ? "bool" : this.typeOf(operands.at(-1) as ValueId).dtype;
    return this.push(make(op, type(dtype, extent), operands, undefined, source));
  }

  /** Widens a value; numbers that reach elements take the class's dtype, rounded once. */
  broadcast(id: ValueId, extent: Extent, source?: string): ValueId {
    const from = this.typeOf(id);
    if (from.extent === extent) return id;
    const dtype = from.dtype === "bool" || isLevel(extent) ? from.dtype : this.dtype;
    return this.push(make("broadcast", type(dtype, extent), [id], undefined, source));
  }

  /** Narrows a value to a level (then f64) or to fewer axes. */
  reduce(op: "reduce.sum" | "reduce.max", id: ValueId, extent: Extent, source?: string): ValueId {
    const dtype = isLevel(extent) ? "f64" : this.typeOf(id).dtype;
    return this.push(make(op, type(dtype, extent), [id], undefined, source));
  }

  output(target: string, value: ValueId): void {
    this.outputs.push({ target, value });
  }

  finish(): Func {
    return { kind: this.kind, name: this.name, values: this.values, outputs: this.outputs };
  }
}

export function make(
  op: Op,
  at: Type,
  args: readonly ValueId[],
  attribute?: string | number,
  source?: string,
): Value {
  return {
    type: at,
    op,
    args,
    ...(attribute !== undefined && { attribute }),
    ...(source !== undefined && { source }),
  };
}

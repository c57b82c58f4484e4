/** The verifier: the rules that every function keeps, after every pass. Throws `ir`, naming function and value. */
import { StepjitError } from "../error.ts";
import { type Axis, axesOf, type Extent, extentOf, isLevel, widensTo } from "./extent.ts";
import type { Func, FuncKind, Module, Value } from "./module.ts";
import { type Op, opInfo, PARAM_MASKS } from "./ops.ts";
import { printOperation } from "./print.ts";
import { printType, sameType, type Type } from "./type.ts";

export function verifyModule(module: Module): void {
  for (const func of module.funcs) verifyFunc(func);
  const seen = new Set<string>();
  for (const { kind, name, phase, on } of module.funcs) {
    const key = [`${kind} "${name}" phase ${phase}`, ...(on ? [`on ${on}`] : [])].join(" ");
    if (seen.has(key)) fail(`module "${module.name}" has ${key} twice`);
    seen.add(key);
  }
}

export function verifyFunc(func: Func): void {
  const where = `${func.kind} "${func.name}"`;
  if (func.on && !DEVICE_READS[func.kind])
    fail(`${where}: only step bodies and scalar programs run on a ${func.on}`);
  if (func.on && func.phase === undefined) fail(`${where}: what runs on a ${func.on} has a phase`);
  func.values.forEach((value, id) => {
    const problem = problemOf(value, id, func);
    if (problem) fail(`${where}: %${id} = ${printOperation(value)}: ${problem}`);
  });
  const targets = new Set<string>();
  for (const { target, value } of func.outputs) {
    const type = func.values[value]?.type ?? fail(`${where}: ${target} = %${value}: no such value`);
    const problem = targets.has(target) ? "written twice" : outputProblem(func.kind, target, type);
    if (problem) fail(`${where}: ${target} = %${value}: ${problem}`);
    targets.add(target);
  }
}

function fail(message: string): never {
  throw new StepjitError("ir", message);
}

type Problem = string | undefined;

function problemOf(value: Value, id: number, func: Func): Problem {
  const info = opInfo(value.op);
  if (value.args.length !== info.arity) return `takes ${info.arity} arguments, has ${value.args.length}`;
  const forward = value.args.find((arg) => !(arg < id));
  if (forward !== undefined) return `%${forward} is not an earlier value`;
  if (!ATTRIBUTES[info.attribute ?? "none"].includes(typeof value.attribute))
    return info.attribute ? `needs a ${info.attribute}` : "takes no attribute";
  if (isLevel(value.type.extent) && value.type.dtype === "f32") return "values above elements are f64";
  const types = value.args.map((arg) => (func.values[arg] as Value).type);
  return info.rule === "input" ? inputProblem(value, func) : RULES[info.rule](value.type, types, value);
}

const ATTRIBUTES = { none: ["undefined"], word: ["string"], number: ["number"] };

/** What each rule of the op table asks of a result and its operands. */
const RULES: Record<
  Exclude<ReturnType<typeof opInfo>["rule"], "input">,
  (result: Type, operands: Type[], value: Value) => Problem
> = {
  map: (result, operands) =>
    result.dtype === "bool"
      ? "gives a number"
      : operands.map((operand) => differs(operand, result)).find(Boolean),
  compare: (result, operands) =>
    isMask(result) ?? compareProblem(operands) ?? sameExtents([result, ...operands]),
  logic: (result, operands) =>
    [result, ...operands].map(isMask).find(Boolean) ?? sameExtents([result, ...operands]),
  select: (result, [mask, ...operands]) =>
    isMask(mask as Type) ??
    sameExtents([result, mask as Type]) ??
    operands.map((operand) => differs(operand, result)).find(Boolean),
  broadcast: (result, [operand]) => broadcastProblem(result, operand as Type),
  reduce: (result, [operand]) => reduceProblem(result, operand as Type),
  contract: (result, operands, { attribute }) => contractProblem(result, operands, attribute as Axis),
};

function differs(a: Type, b: Type): Problem {
  return sameType(a, b) ? undefined : `${printType(a)} is not ${printType(b)}`;
}

function isMask(type: Type): Problem {
  return type.dtype === "bool" ? undefined : `${printType(type)} is no mask`;
}

function sameExtents([first, ...rest]: Type[]): Problem {
  const other = rest.find((type) => type.extent !== first?.extent);
  return other && `${printType(other)} does not live where ${printType(first as Type)} does`;
}

/** Masks are not compared: backends keep a true lane as all ones, which is NaN to a comparison. */
function compareProblem([a, b]: Type[]): Problem {
  return a?.dtype === "bool" ? "compares numbers, not masks" : b && differs(a as Type, b);
}

function broadcastProblem(result: Type, operand: Type): Problem {
  if (operand.extent === result.extent || !widensTo(operand.extent, result.extent))
    return `${printType(operand)} does not widen to ${printType(result)}`;
  const rounds =
    isLevel(operand.extent) && !isLevel(result.extent) && operand.dtype === "f64" && result.dtype !== "bool";
  return rounds || operand.dtype === result.dtype
    ? undefined
    : `${printType(operand)} is not ${printType(result)}`;
}

function reduceProblem(result: Type, operand: Type): Problem {
  if (operand.dtype === "bool") return "reduces numbers, not masks";
  if (isLevel(operand.extent) && operand.extent !== "param") return "reduces elements or parameters";
  if (operand.extent === result.extent || !widensTo(result.extent, operand.extent))
    return `${printType(operand)} does not narrow to ${printType(result)}`;
  const dtype = isLevel(result.extent) ? "f64" : operand.dtype;
  return result.dtype === dtype ? undefined : `gives ${dtype}`;
}

/** `contract col` of [lead,row,col] and [lead,row,col] is [lead,row,row']: the second's free axes become fresh ones. */
function contractProblem(result: Type, [a, b]: Type[], axis: Axis): Problem {
  if (!a || !b || a.dtype !== b.dtype || a.dtype !== result.dtype || a.dtype === "bool")
    return "operands and result differ";
  const free = (type: Type) => axesOf(type.extent).filter((other) => other !== axis);
  if (![a, b].every(({ extent }) => axesOf(extent).includes(axis)))
    return `both operands need the axis ${axis}`;
  const left = free(a);
  const fresh = free(b).map((other) =>
    other !== "lead" && left.includes(other) ? (`${other}'` as Axis) : other,
  );
  const expected = extentOf([...left, ...fresh]) as Extent;
  return result.extent === expected
    ? undefined
    : `gives ${printType({ dtype: result.dtype, extent: expected })}`;
}

/** Which inputs a function of each kind may read, and at which extents. `element` stands for any axes. */
const INPUTS: Partial<
  Record<Op, { kinds: readonly FuncKind[]; extents: readonly (Extent | "axes")[]; mask?: true }>
> = {
  const: { kinds: ["step", "body", "scalars", "kernel"], extents: ["step"] },
  param: { kinds: ["body", "kernel"], extents: ["[lead,row,col]"] },
  grad: { kinds: ["body", "kernel"], extents: ["[lead,row,col]"] },
  state: { kinds: ["body", "scalars", "kernel"], extents: ["param", "axes"] },
  hyper: { kinds: ["step", "body", "scalars"], extents: ["step", "group"] },
  stepcount: { kinds: ["body", "scalars"], extents: ["param"] },
  mask: { kinds: ["body", "scalars"], extents: ["param"], mask: true },
  numel: { kinds: ["body", "scalars"], extents: ["param"] },
  size: { kinds: ["body", "scalars"], extents: ["param"] },
  total: { kinds: ["step", "body", "scalars", "kernel"], extents: ["step", "group", "param", "axes"] },
  given: { kinds: ["body", "scalars"], extents: ["step"] },
  scalar: { kinds: ["body", "kernel"], extents: ["step", "group", "param"] },
};

/**
 * What functions on a device may read, where the table above says nothing of `given` in a step body and of `scalar` in a scalar
 * program: that is how they hear of numbers which only the host knows.
 */
const DEVICE_READS: Partial<Record<FuncKind, readonly Op[]>> = {
  step: ["const", "total", "given"],
  scalars: ["const", "total", "given", "scalar", "hyper", "stepcount", "mask", "state"],
};

function inputProblem({ op, type, attribute }: Value, { kind, on }: Func): Problem {
  const rule = INPUTS[op];
  const readable = on ? DEVICE_READS[kind]?.includes(op) : rule?.kinds.includes(kind);
  if (!rule || !readable) return `a ${kind} function${on ? ` on a ${on}` : ""} does not read ${op}`;
  if (on && op === "hyper" && type.extent === "step") return `${op} at ${printType(type)} is the host's`;
  if (
    !rule.extents.includes(isLevel(type.extent) ? type.extent : "axes") &&
    !rule.extents.includes(type.extent)
  )
    return `${op} does not live at ${printType(type)}`;
  if (op === "total" && (kind === "kernel" ? isLevel(type.extent) : !isLevel(type.extent) && kind !== "body"))
    return `a ${kind} function reads no total at ${printType(type)}`;
  const mayBeMask = rule.mask || op === "given" || op === "scalar";
  if (type.dtype === "bool" ? !mayBeMask : rule.mask) return rule.mask ? "is a mask" : "is a number";
  if (op === "mask" && !(PARAM_MASKS as readonly unknown[]).includes(attribute))
    return `there is no mask ${attribute}: there are ${PARAM_MASKS.join(", ")}`;
  return undefined;
}

/** What each kind of function may write: a target's pattern and where its value has to live. */
const TARGETS: readonly {
  pattern: RegExp;
  kinds: readonly FuncKind[];
  fits: (type: Type) => boolean;
}[] = [
  {
    pattern: /^(param|grad)'$/,
    kinds: ["body", "kernel"],
    fits: ({ extent, dtype }) => dtype !== "bool" && extent === "[lead,row,col]",
  },
  {
    pattern: /^state\.[\w$]+'$/,
    kinds: ["body", "scalars", "kernel"],
    fits: ({ extent, dtype }) => dtype !== "bool" && (!isLevel(extent) || extent === "param"),
  },
  {
    pattern: /^total\.\S+$/,
    kinds: ["body", "kernel"],
    fits: ({ extent, dtype }) =>
      isLevel(extent) ? dtype === "f64" : dtype !== "bool" && extent !== "[lead,row,col]",
  },
  { pattern: /^give\.\S+$/, kinds: ["step"], fits: ({ extent }) => extent === "step" },
  { pattern: /^scalar\.\d+$/, kinds: ["scalars"], fits: ({ extent }) => isLevel(extent) },
  {
    pattern: /^commit$/,
    kinds: ["step"],
    fits: ({ extent, dtype }) => extent === "step" && dtype === "bool",
  },
];

function outputProblem(kind: FuncKind, target: string, type: Type): Problem {
  const rule = TARGETS.find(({ pattern }) => pattern.test(target));
  if (!rule?.kinds.includes(kind)) return `a ${kind} function does not write ${target}`;
  return rule.fits(type) ? undefined : `${printType(type)} does not fit`;
}

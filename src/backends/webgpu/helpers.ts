/** Functions that our texts call, in WGSL. A text gets those that it uses. */
import { calledIn } from "../gpu/text.ts";
import type { ElementType } from "./elements.ts";
import { GRAD_BESIDE_PARAM, THREADS } from "./layout.ts";

/** Those that an op over elements calls: their operands, and what they give. */
const OF_ELEMENTS: Readonly<Record<string, readonly [arity: number, result: "f32" | "bool"]>> = {
  is_nan: [1, "bool"],
  is_finite: [1, "bool"],
  min_of: [2, "f32"],
  max_of: [2, "f32"],
  sign_of: [1, "f32"],
  exp_of: [1, "f32"],
  expm1: [1, "f32"],
  log_of: [1, "f32"],
  log1p: [1, "f32"],
  power: [2, "f32"],
};

/** What they are called of four elements each. */
export const OF_FOUR: Readonly<Record<string, string>> = Object.fromEntries(
  Object.keys(OF_ELEMENTS).map((name) => [name, `${name}_4`]),
);

/** By name; each may call others. `ELEMENT` is what tensors are bound as. */
const HELPERS: Readonly<Record<string, string>> = {
  from_bits: `
fn from_bits(bits: u32) -> f32 {
  return bitcast<f32>(bits);
}`,

  is_nan: `
fn is_nan(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}`,

  is_finite: `
fn is_finite(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}`,

  min_of: `
// NaN where either is NaN.
fn min_of(a: f32, b: f32) -> f32 {
  return select(select(min(a, b), b, is_nan(b)), a, is_nan(a));
}`,

  max_of: `
// NaN where either is NaN.
fn max_of(a: f32, b: f32) -> f32 {
  return select(select(max(a, b), b, is_nan(b)), a, is_nan(a));
}`,

  sign_of: `
fn sign_of(x: f32) -> f32 {
  return select(sign(x), x, is_nan(x));
}`,

  exp_of: `
// exp is only said to be right for numbers with a result.
fn exp_of(x: f32) -> f32 {
  if (is_nan(x)) { return x; }
  if (x > 88.722839) { return from_bits(0x7f800000u); }
  if (x < -103.97) { return 0.0; }
  return exp(x);
}`,

  expm1: `
// Taylor's series where exp(x) - 1 would cancel.
fn expm1(x: f32) -> f32 {
  if (abs(x) > 0.5) { return exp_of(x) - 1.0; }
  return x * (1.0 + x * (1.0 / 2.0 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * (1.0 / 120.0 + x * (1.0 / 720.0
    + x * (1.0 / 5040.0 + x / 40320.0)))))));
}`,

  log_near_one: `
// log(1 + x) for x from -0.5 to 1, by the series of 2 atanh(x / (x + 2)): log itself may be 2^-21 off there, and 1 + x loses x.
fn log_near_one(x: f32) -> f32 {
  let s = x / (x + 2.0);
  let z = s * s;
  return 2.0 * s * (1.0 + z * (1.0 / 3.0 + z * (1.0 / 5.0 + z * (1.0 / 7.0 + z * (1.0 / 9.0 + z * (1.0 / 11.0
    + z * (1.0 / 13.0 + z / 15.0)))))));
}`,

  log_of: `
fn log_of(x: f32) -> f32 {
  if (x >= 0.5 && x <= 2.0) { return log_near_one(x - 1.0); }
  if (x == 0.0) { return from_bits(0xff800000u); }
  if (x < 0.0) { return from_bits(0x7fc00000u); }
  if (!is_finite(x)) { return x; }
  return log(x);
}`,

  log1p: `
fn log1p(x: f32) -> f32 {
  if (x >= -0.5 && x <= 1.0) { return log_near_one(x); }
  return log_of(1.0 + x);
}`,

  power: `
// WGSL's pow knows no negative base.
fn power(base: f32, exponent: f32) -> f32 {
  if (exponent == 0.0) { return 1.0; }
  if (is_nan(base) || is_nan(exponent)) { return from_bits(0x7fc00000u); }
  let magnitude = exp_of(exponent * log_of(abs(base)));
  if ((bitcast<u32>(base) >> 31u) == 0u) { return magnitude; }
  if (floor(exponent) != exponent && is_finite(base) && base != 0.0) { return from_bits(0x7fc00000u); }
  return select(magnitude, -magnitude, exponent - 2.0 * floor(exponent / 2.0) == 1.0);
}`,

  load_grad: `
fn load_grad(at: u32) -> ELEMENT {
  if (${GRAD_BESIDE_PARAM}) { return params[at]; }
  return grads[at];
}`,

  store_grad: `
fn store_grad(at: u32, number: ELEMENT) {
  if (${GRAD_BESIDE_PARAM}) { params[at] = number; } else { grads[at] = number; }
}`,

  lanes_for: `
// How many threads are to work on each of \`places\` reductions over \`count\` numbers: all have work, \`least\` where there are so many.
fn lanes_for(places: u32, count: u32, least: u32) -> u32 {
  let busy = ${THREADS}u >> firstLeadingBit(min(places, ${THREADS}u));
  let most = 1u << firstLeadingBit(min(count, ${THREADS}u));
  return min(most, max(least, busy));
}`,

  ...Object.fromEntries(Object.keys(OF_ELEMENTS).map((name) => [OF_FOUR[name], ofFourHelper(name)])),

  sum_across: acrossHelper("sum", "(numbers.x + numbers.y) + (numbers.z + numbers.w)"),
  max_across: acrossHelper("max", "max_of(max_of(numbers.x, numbers.y), max_of(numbers.z, numbers.w))"),

  sum_lanes: lanesHelper("sum", "threads_share[thread] += other;"),
  max_lanes: lanesHelper("max", "threads_share[thread] = max_of(threads_share[thread], other);"),

  sum_blocks: blocksHelper("sum", "result += axes[at];"),
  max_blocks: blocksHelper("max", "result = max_of(result, axes[at]);"),
};

/** One of them, of four elements each. GPUs compute number by number anyway: it is memory that likes four at once. */
function ofFourHelper(name: string): string {
  const [arity, result] = OF_ELEMENTS[name] as [number, string];
  const operands = ["a", "b"].slice(0, arity);
  const each = ["x", "y", "z", "w"].map(
    (part) => `${name}(${operands.map((operand) => `${operand}.${part}`).join(", ")})`,
  );
  return `
fn ${OF_FOUR[name]}(${operands.map((operand) => `${operand}: vec4f`).join(", ")}) -> vec4<${result}> {
  return vec4(${each.join(", ")});
}`;
}

function acrossHelper(word: string, combined: string): string {
  return `
fn ${word}_across(numbers: vec4f) -> f32 {
  return ${combined};
}`;
}

/**
 * Teams of `lanes` threads, a power of two, each combine their numbers; lane 0 gets the result. A team's threads lie `stride` apart.
 * Always in the same order. All threads of the workgroup have to call it, with the same `lanes` and `stride`.
 */
function lanesHelper(word: string, combine: string): string {
  return `
// Combines the numbers of a team's threads, which lie \`stride\` apart; lane 0 gets the result.
fn ${word}_lanes(number: f32, thread: u32, lane: u32, lanes: u32, stride: u32) -> f32 {
  if (lanes == 1u) { return number; }
  threads_share[thread] = number;
  workgroupBarrier();
  for (var half = lanes / 2u; half > 0u; half /= 2u) {
    if (lane < half) {
      let other = threads_share[thread + half * stride];
      ${combine}
    }
    workgroupBarrier();
  }
  let result = threads_share[thread];
  workgroupBarrier();
  return result;
}`;
}

/** A total over axes of which each block of rows has numbers of its own, `stride` floats apart. */
function blocksHelper(word: string, combine: string): string {
  return `
// Combines what \`blocks\` blocks of rows have each for itself, in order.
fn ${word}_blocks(first: u32, stride: u32, blocks: u32) -> f32 {
  var at = first;
  var result = axes[at];
  for (var block = 1u; block < blocks; block++) {
    at += stride;
    ${combine}
  }
  return result;
}`;
}

/** What a text needs that calls some of them: each one once, and the workgroup's memory. */
export function helpersFor(
  text: string,
  { threads, elements = "f32" }: { threads: number; elements?: ElementType },
): string[] {
  const functions = calledIn(text, HELPERS);
  const asks = (pattern: RegExp) => functions.some((name) => pattern.test(name));
  return [
    ...(asks(/_grad$/) ? ["", `override ${GRAD_BESIDE_PARAM}: bool = false;`] : []),
    ...(asks(/_lanes$/) ? ["", `var<workgroup> threads_share: array<f32, ${threads}>;`] : []),
    ...functions.flatMap((name) => (HELPERS[name] as string).replace("ELEMENT", elements).split("\n")),
  ];
}

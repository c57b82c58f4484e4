/** WGSL, for what is printed once for all GPU languages. Its numbers are f32, above elements, too. */
import type { Value } from "../../ir/module.ts";
import type { AxisTotal } from "../backend.ts";
import { indent } from "../common/text.ts";
import { isShare } from "../gpu/body.ts";
import { COMBINE, type Kind, type Language } from "../gpu/language.ts";
import { inBlocks } from "../gpu/spaces.ts";
import { printLoop } from "../gpu/walk.ts";
import { bindingOf, variableOf } from "./bindings.ts";
import { indexAt, splat, WIDTH } from "./elements.ts";
import { OF_FOUR } from "./helpers.ts";
import { PROGRAM_THREADS, THREADS } from "./layout.ts";
import { literal, spell } from "./spelling.ts";

/** WGSL's keywords and reserved words, what our texts call, and the variables of ours. */
const TAKEN: ReadonlySet<string> = new Set(
  `alias break case const const_assert continue continuing default diagnostic discard else enable false fn for if let loop override
requires return struct switch true var while
NULL Self abstract active alignas alignof as asm asm_fragment async attribute auto await become cast catch class co_await co_return
co_yield coherent column_major common compile compile_fragment concept const_cast consteval constexpr constinit crate debugger
decltype delete demote demote_to_helper do dynamic_cast enum explicit export extends extern external fallthrough filter final finally
friend from fxgroup get goto groupshared highp impl implements import inline instanceof interface layout lowp macro macro_rules match
mediump meta mod module move mut mutable namespace new nil noexcept noinline nointerpolation non_coherent noncoherent noperspective
null nullptr of operator package packoffset partition pass patch pixelfragment precise precision premerge priv protected pub public
readonly ref regardless register reinterpret_cast require resource restrict self set shared sizeof smooth snorm static static_assert
static_cast std subroutine super target template this thread_local throw trait try type typedef typeid typename typeof union unless
unorm unsafe unsized use using varying virtual volatile wgsl where with writeonly yield
f32 u32 bool vec3u vec4u vec4f vec4 array bitcast select abs min max sign sqrt exp log floor ceil firstLeadingBit
from_bits is_nan is_finite min_of max_of sign_of exp_of expm1 log_near_one log_of log1p power load_grad store_grad lanes_for sum_lanes max_lanes
sum_blocks max_blocks sum_across max_across workgroupBarrier storageBarrier
launch chunks tensors scalars partials params grads states axes chunk thread slots commit grad_beside_param i end k first start at
place places count lanes teams lane team to threads_share slab slabs rows block block_rows blocks R B C D i_row i_col i_slab inside param grad ${Object.values(OF_FOUR).join(" ")}`.split(
    /\s+/,
  ),
);

const KINDS: Readonly<Record<Kind, string>> = {
  u32: "u32",
  words: "vec4u",
  bool: "bool",
  f32: "f32",
  f64: "f32",
};

function identityOf({ op }: Value): string {
  return literal(COMBINE[op as AxisTotal["op"]].identity);
}

/** Padding counts for nothing where it is reduced. */
const INSIDE = "let inside = vec4u(end - i) > vec4u(0u, 1u, 2u, 3u);";

export const WGSL: Language = {
  backend: "webgpu",
  dtypes: ["f32"],
  taken: TAKEN,
  threads: THREADS,
  programThreads: PROGRAM_THREADS,

  constant: (_, name, text) => `let ${name} = ${text};`,
  variable: (_, name, text) => `var ${name} = ${text};`,
  loop: (name, from, end, by) =>
    `for (var ${name} = ${from}; ${name} < ${end}; ${by === "1u" ? `${name}++` : `${name} += ${by}`}) {`,
  choose: (condition, yes, no) => `select(${no}, ${yes}, ${condition})`,
  choice: (on, cases) => [
    `switch ${on} {`,
    ...indent([
      ...cases.map(
        ([numbers, statement]) =>
          `case ${numbers.map((number) => `${number}u`).join(", ")}: { ${statement} }`,
      ),
      "default: {}",
    ]),
    "}",
  ],
  func: (name, parameters, lines, result) => {
    const list = parameters.map(([kind, parameter]) => `${parameter}: ${KINDS[kind]}`).join(", ");
    return [`fn ${name}(${list}) ${result ? `-> ${KINDS[result]} ` : ""}{`, ...indent(lines), "}"];
  },
  call: (name, ...operands) => `${name}(${operands.join(", ")})`,
  table: (name) => name,
  hyper: (index) => `hypers[${index}]`,
  barrier: "storageBarrier();",

  spell: (op, operands, _, wide) => spell(op, operands, wide),
  literal,
  splat: ({ wide }, text, dtype) => splat(wide, text, dtype),

  variables: () => [],
  base: ({ base, word }) => `let ${base} = tensors[chunk.x + ${word}u];`,
  load: ({ scope: { layout }, wide }, place, index) => {
    const { base, extent, total, role } = place;
    const at = indexAt(wide, base, index);
    if (role === "grad") return `load_grad(${at})`;
    if (!total?.blocked) return `${variableOf(bindingOf(place))}[${at}]`;
    const { first, apart } = inBlocks(layout.view, extent, index);
    return `${COMBINE[total.op].word}_blocks(${base} + ${first}, ${apart}, blocks)`;
  },
  store: ({ wide }, place, index, number) => {
    const at = indexAt(wide, place.base, index);
    return place.role === "grad"
      ? `store_grad(${at}, ${number});`
      : `${variableOf(bindingOf(place))}[${at}] = ${number};`;
  },

  takeIn: ({ wide }, value, a, b) => {
    const number = wide ? `select(${splat(true, identityOf(value))}, ${b}, inside)` : b;
    return spell(COMBINE[value.op as AxisTotal["op"]].op, [a, number], wide) as string;
  },
  start: ({ wide }, value) => ["f32", splat(wide, identityOf(value))],
  across: ({ wide }, { op }, name) =>
    wide
      ? { number: `${COMBINE[op as AxisTotal["op"]].word}_across(${name})`, result: `${name}.x` }
      : { number: name, result: name },
  map: (walk) => {
    const { scope, outputs, wide } = walk;
    if (!wide) return printLoop(walk);
    return printLoop(walk, WIDTH, outputs.some((output) => isShare(scope, output)) ? [INSIDE] : []);
  },
};

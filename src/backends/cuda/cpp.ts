/** CUDA C++, for what is printed once for all GPU languages. Numbers above elements are f64, and so is what reductions add up. */
import { ELEMENT } from "../../ir/extent.ts";
import { ELEMENT_BYTES } from "../../ir/type.ts";
import type { AxisTotal, Numerics } from "../backend.ts";
import { indent } from "../common/text.ts";
import { COMBINE, type Kind, type Language } from "../gpu/language.ts";
import { FLAGS, TENSOR_ROW } from "../gpu/layout.ts";
import { inBlocks } from "../gpu/spaces.ts";
import { printLoop } from "../gpu/walk.ts";
import { DEVICE } from "./helpers.ts";
import { PROGRAM_THREADS, THREADS, VECTOR_BYTES } from "./layout.ts";
import { printPacks } from "./packs.ts";
import { literal, spell } from "./spelling.ts";

/** C++'s keywords, what our texts call, and the variables of ours. */
const TAKEN: ReadonlySet<string> = new Set(
  `alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t char32_t class co_await co_return co_yield
compl concept const const_cast consteval constexpr constinit continue decltype default delete do double dynamic_cast else enum explicit
export extern false float for friend goto if inline int long mutable namespace new noexcept not not_eq nullptr operator or or_eq private
protected public register reinterpret_cast requires return short signed sizeof static static_assert static_cast struct switch template
this thread_local throw true try typedef typeid typename union unsigned using virtual void volatile wchar_t while xor xor_eq NULL
u32 u64 uint4 threadIdx blockIdx blockDim gridDim warpSize min max fabs fabsf sqrt sqrtf rsqrtf exp expf expm1 expm1f log logf log1p
log1pf pow powf floor floorf ceil ceilf fma fmaf abs
Launch Hyper Run is_negative min_of max_of sign_of power root hyper_of load store place_of power_below lanes_for sum_lanes max_lanes sum_blocks
max_blocks stepjit_step
launch chunk thread slots commit aligned length inside i k end first start at place places count lanes teams lane team to share slab
slabs rows block block_rows blocks R B C D i_row i_col i_slab param grad`.split(/\s+/),
);

const KINDS: Readonly<Record<Kind, string>> = {
  u32: "u32",
  words: "uint4",
  bool: "bool",
  f32: "float",
  f64: "double",
};

const LAUNCH = "const Launch& launch";

export function cpp(numerics: Numerics): Language {
  return {
    backend: "cuda",
    dtypes: ["f32", "f64"],
    taken: TAKEN,
    threads: THREADS,
    programThreads: PROGRAM_THREADS,

    constant: (kind, name, text) => `const ${KINDS[kind]} ${name} = ${text};`,
    variable: (kind, name, text) => `${KINDS[kind]} ${name} = ${text};`,
    loop: (name, from, end, by) =>
      `for (u32 ${name} = ${from}; ${name} < ${end}; ${by === "1u" ? `${name}++` : `${name} += ${by}`}) {`,
    choose: (condition, yes, no) => `${condition} ? ${yes} : ${no}`,
    choice: (on, cases) => [
      `switch (${on}) {`,
      ...indent(
        cases.map(
          ([numbers, statement]) =>
            `${numbers.map((number) => `case ${number}u:`).join(" ")} ${statement}${statement.startsWith("return ") ? "" : " break;"}`,
        ),
      ),
      "}",
    ],
    func: (name, parameters, lines, result) => {
      const list = parameters.map(([kind, parameter]) => `const ${KINDS[kind]} ${parameter}`);
      return [
        `${DEVICE} ${result ? KINDS[result] : "void"} ${name}(${[LAUNCH, ...list].join(", ")}) {`,
        ...indent(lines),
        "}",
      ];
    },
    call: (name, ...operands) => `${name}(${["launch", ...operands].join(", ")})`,
    table: (name) => `launch.${name}`,
    hyper: (index) => `hyper_of(launch, ${index})`,
    barrier: "__syncthreads();",

    spell: (op, operands, dtype) => spell(op, operands, dtype, numerics),
    literal,
    splat: (_, text) => text,
    ...(numerics === "fast" && {
      multiplyAdd: ([x, y, other], negated, dtype) =>
        `${dtype === "f32" ? "fmaf" : "fma"}(${negated ? "-" : ""}${x}, ${y}, ${other})`,
    }),

    variables: ({ layout: { dtype, view } }) => {
      const word = `launch.tensors[chunk.x + ${TENSOR_ROW.flags}u]`;
      const begin = view === "vector" ? "" : ` && first % ${VECTOR_BYTES / ELEMENT_BYTES[dtype]}u == 0u`;
      return [
        ["u32", "length", "end - first"],
        ["bool", "aligned", `(${word} & ${FLAGS.unaligned}u) == 0u${begin}`],
      ];
    },
    base: ({ base, word, total }, { layout }) => {
      const type = total ? "double" : KINDS[layout.dtype];
      return `${type}* const ${base} = (${type}*)launch.tensors[chunk.x + ${word}u];`;
    },
    load: ({ scope: { layout }, wide }, { base, pack, extent, total }, index) => {
      if (wide && extent === ELEMENT) return `${pack}[k]`;
      if (!total?.blocked) return `${base}[${index}]`;
      const { first, apart } = inBlocks(layout.view, extent, index);
      return `${COMBINE[total.op].word}_blocks(${base} + ${first}, ${apart}, blocks)`;
    },
    store: (_, { base }, index, number) => `${base}[${index}] = ${number};`,

    takeIn: ({ wide }, { op }, a, b) => {
      const { word, identity } = COMBINE[op as AxisTotal["op"]];
      const number = wide ? `(inside ? ${b} : ${literal(identity, "f64")})` : b;
      return word === "sum" ? `${a} + ${number}` : `max_of<double>(${a}, ${number})`;
    },
    start: (_, { op }) => ["f64", literal(COMBINE[op as AxisTotal["op"]].identity, "f64")],
    across: (_, __, name) => ({ number: name, result: name }),
    map: (walk) => (walk.wide ? printPacks(walk) : printLoop(walk)),
  };
}

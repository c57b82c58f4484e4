/** Names of values in a kernel: a tensor's is its role, any other value's is v and its number. */
import { type Func, tensorName, type Value, type ValueId } from "../../ir/module.ts";
import { OF_FOUR } from "./helpers.ts";

/** What a state slot may not be called: WGSL's keywords and reserved words, what our texts call, and the variables of ours. */
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

const TENSORS = ["param", "grad", "state", "total"];

export function isTensor({ op }: Value): boolean {
  return TENSORS.includes(op);
}

export interface Names {
  /** Of values, by number. A broadcast of a tensor is called like the tensor. */
  readonly values: readonly string[];
  /** Of the place where a tensor begins, by role. */
  readonly bases: ReadonlyMap<string, string>;
}

export function nameAll(kernel: Func, roles: readonly string[], isAlias: (id: ValueId) => boolean): Names {
  const taken = new Set<string>();
  const take = (wanted: string) => {
    let name = wanted;
    while (taken.has(name)) name += "_";
    taken.add(name);
    return name;
  };
  const bases = new Map(roles.map((role) => [role, take(`${wordOf(role)}_at`)]));
  const values: string[] = [];
  kernel.values.forEach((value, id) => {
    if (isAlias(id)) values.push(values[value.args[0] as ValueId] as string);
    else values.push(take(isTensor(value) ? wordOf(tensorName(value)) : `v${id}`));
  });
  return { values, bases };
}

/** `grad`, `exp_avg` of state.exp_avg; `state_loop` where WGSL has another use for the word. */
function wordOf(role: string): string {
  const word = role.replace(/^(state|total)\./, "").replace(/\W/g, "_");
  const isOurs = word === role || !(TAKEN.has(word) || word.startsWith("_"));
  return isOurs ? word : role.replace(/\W/g, "_");
}

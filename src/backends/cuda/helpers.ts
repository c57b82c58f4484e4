/** Functions that our texts call, in CUDA C++. A text gets those that it uses. */
import { calledIn } from "../gpu/text.ts";
import { THREADS } from "./layout.ts";

/** How every function of a text begins: kernels are one function in the end. */
export const DEVICE = "__device__ __forceinline__";

/** By name; each may call others. `BLOCK` is how many threads a block has. */
const HELPERS: Readonly<Record<string, string>> = {
  is_negative: `
${DEVICE} bool is_negative(float x) { return __float_as_uint(x) >> 31u; }
${DEVICE} bool is_negative(double x) { return __double_as_longlong(x) < 0ll; }`,

  min_of: `
// NaN where either is NaN; -0 is less than 0.
template <typename T>
${DEVICE} T min_of(T a, T b) {
  return (a < b) | (a != a) | ((a == b) & is_negative(a)) ? a : b;
}`,

  max_of: `
// NaN where either is NaN; 0 is more than -0.
template <typename T>
${DEVICE} T max_of(T a, T b) {
  return (a > b) | (a != a) | ((a == b) & !is_negative(a)) ? a : b;
}`,

  sign_of: `
// Zeros and NaN stay what they are.
template <typename T>
${DEVICE} T sign_of(T x) {
  return x > T(0) ? T(1) : x < T(0) ? T(-1) : x;
}`,

  power: `
// Unlike C's pow, NaN for any base where the exponent is NaN, and for 1 and -1 where it is infinite.
${DEVICE} double power(double base, double exponent) {
  const bool is_open = exponent != exponent || (fabs(base) == 1.0 && exponent - exponent != 0.0);
  return is_open ? exponent - exponent : pow(base, exponent);
}`,

  root: `
// A square root by the hardware's reciprocal one: off by some units in the last place.
${DEVICE} float root(float x) {
  return x == 0.0f || x == __uint_as_float(0x7f800000u) ? x : x * rsqrtf(x);
}`,

  hyper_of: `
// A hyperparameter member: where it lives on the device, it is read there.
${DEVICE} double hyper_of(const Launch& launch, u32 at) {
  const Hyper hyper = launch.hypers[at];
  return hyper.resident ? (double)*hyper.resident : hyper.value;
}`,

  load: `
// N elements of a chunk, in runs of 16 bytes: those of neighbouring threads are neighbours. Beyond \`length\` it is the last one again.
template <typename T, u32 N>
${DEVICE} void load(T (&pack)[N], const T* from, u32 at, u32 length, bool aligned) {
  #pragma unroll
  for (u32 k = 0u; k < N; k += Run<T>::size) {
    const u32 place = place_of<T>(at, k);
    if (aligned && place + Run<T>::size <= length) {
      const Run<T> run = *(const Run<T>*)(from + place);
      #pragma unroll
      for (u32 j = 0u; j < Run<T>::size; j++) pack[k + j] = run.at[j];
    } else {
      #pragma unroll
      for (u32 j = 0u; j < Run<T>::size; j++) pack[k + j] = from[min(place + j, length - 1u)];
    }
  }
}`,

  store: `
// The same places, written.
template <typename T, u32 N>
${DEVICE} void store(T* to, const T (&pack)[N], u32 at, u32 length, bool aligned) {
  #pragma unroll
  for (u32 k = 0u; k < N; k += Run<T>::size) {
    const u32 place = place_of<T>(at, k);
    if (aligned && place + Run<T>::size <= length) {
      Run<T> run;
      #pragma unroll
      for (u32 j = 0u; j < Run<T>::size; j++) run.at[j] = pack[k + j];
      *(Run<T>*)(to + place) = run;
    } else {
      #pragma unroll
      for (u32 j = 0u; j < Run<T>::size; j++)
        if (place + j < length) to[place + j] = pack[k + j];
    }
  }
}`,

  lanes_for: `
// The largest power of two that is no larger, of a number up to the threads of a block.
${DEVICE} u32 power_below(u32 number) {
  u32 power = BLOCKu;
  while (power > number) power /= 2u;
  return power;
}

// How many threads are to work on each of \`places\` reductions over \`count\` numbers: all have work, \`least\` where there are so many.
${DEVICE} u32 lanes_for(u32 places, u32 count, u32 least) {
  const u32 busy = BLOCKu / power_below(max(places, 1u));
  const u32 most = power_below(max(count, 1u));
  return min(most, max(least, busy));
}`,

  sum_lanes: lanesHelper("sum", (other) => `number += ${other};`),
  max_lanes: lanesHelper("max", (other) => `number = max_of(number, ${other});`),

  sum_blocks: blocksHelper("sum", (other) => `result += ${other};`),
  max_blocks: blocksHelper("max", (other) => `result = max_of(result, ${other});`),
};

/**
 * Teams of `lanes` threads, a power of two, each combine their numbers; lane 0 gets the result. A team's threads lie `stride` apart.
 * Always in the same order, so that results repeat bit for bit. All threads of the block have to call it, with the same `lanes` and
 * `stride`. Neighbours go through shuffles, and only a number a warp through shared memory.
 */
function lanesHelper(word: string, combine: (other: string) => string): string {
  return `
// Combines the numbers of a team's threads, which lie \`stride\` apart; lane 0 gets the result.
${DEVICE} double ${word}_lanes(double number, u32 thread, u32 lane, u32 lanes, u32 stride) {
  __shared__ double share[BLOCK];
  if (lanes == 1u) return number;
  if (stride == 1u) {
    const u32 width = min(lanes, 32u);
    for (u32 half = width / 2u; half > 0u; half /= 2u) {
      const double other = __shfl_down_sync(0xffffffffu, number, half, width);
      ${combine("other")}
    }
    if (lanes <= 32u) return number;
    if (thread % 32u == 0u) share[thread / 32u] = number;
    __syncthreads();
    if (lane == 0u)
      for (u32 warp = 1u; warp < lanes / 32u; warp++) { ${combine("share[thread / 32u + warp]")} }
    __syncthreads();
    return number;
  }
  share[thread] = number;
  __syncthreads();
  for (u32 half = lanes / 2u; half > 0u; half /= 2u) {
    if (lane < half) {
      ${combine("share[thread + half * stride]")}
      share[thread] = number;
    }
    __syncthreads();
  }
  return number;
}`;
}

/** A total over axes of which each block of rows has numbers of its own, `apart` from those of the next. */
function blocksHelper(word: string, combine: (other: string) => string): string {
  return `
// Combines what \`blocks\` blocks of rows have each for itself, in order.
${DEVICE} double ${word}_blocks(const double* first, u32 apart, u32 blocks) {
  double result = *first;
  for (u32 block = 1u; block < blocks; block++) { ${combine("first[block * apart]")} }
  return result;
}`;
}

/** What packs consist of. */
const RUNS = `
// 16 bytes: what memory likes to be asked for at once.
template <typename T>
struct alignas(16) Run {
  static constexpr u32 size = 16u / sizeof(T);
  T at[size];
};

// Where element \`k\` of a thread's pack lies, the first one being at \`at\`.
template <typename T>
${DEVICE} u32 place_of(u32 at, u32 k) {
  return at + k / Run<T>::size * (Run<T>::size * ${THREADS}u) + k % Run<T>::size;
}`;

/** What a text needs that calls some of them, each one once. `threads`: of a block. */
export function helpersFor(text: string, threads: number): string[] {
  const functions = calledIn(text, HELPERS);
  const runs = /\b(load|store|place_of)\b/.test(text) ? [RUNS] : [];
  return [...runs, ...functions.map((name) => HELPERS[name] as string)].flatMap((helper) =>
    helper.replaceAll("BLOCK", String(threads)).split("\n"),
  );
}

// AdamW f32: phase 0

typedef unsigned int u32;
typedef unsigned long long u64;

struct Hyper {
  double value;
  const float* resident; // where it lives on the device, else null
};

struct Launch {
  const uint4* chunks;
  const u64* tensors;
  const uint4* rows;
  double* partials;
  double* scalars;
  double* totals;
  double* records;
  const Hyper* hypers;
  u32 count;
  u32 stride;
  u32 scalar_rows;
  u32 row_floats;
  u32 groups;
  u32 parameters;
  u32 lanes;
};

// 16 bytes: what memory likes to be asked for at once.
template <typename T>
struct alignas(16) Run {
  static constexpr u32 size = 16u / sizeof(T);
  T at[size];
};

// Where element `k` of a thread's pack lies, the first one being at `at`.
template <typename T>
__device__ __forceinline__ u32 place_of(u32 at, u32 k) {
  return at + k / Run<T>::size * (Run<T>::size * 256u) + k % Run<T>::size;
}

// N elements of a chunk, in runs of 16 bytes: those of neighbouring threads are neighbours. Beyond `length` it is the last one again.
template <typename T, u32 N>
__device__ __forceinline__ void load(T (&pack)[N], const T* from, u32 at, u32 length, bool aligned) {
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
}

// The same places, written.
template <typename T, u32 N>
__device__ __forceinline__ void store(T* to, const T (&pack)[N], u32 at, u32 length, bool aligned) {
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
}

// kernel "AdamW f32"
__device__ __forceinline__ void class_0(const Launch& launch, const uint4 chunk, const u32 thread) {
  float* const param_at = (float*)launch.tensors[chunk.x + 4u];
  float* const grad_at = (float*)launch.tensors[chunk.x + 5u];
  float* const exp_avg_at = (float*)launch.tensors[chunk.x + 6u];
  float* const exp_avg_sq_at = (float*)launch.tensors[chunk.x + 7u];
  const u32 slots = launch.tensors[chunk.x + 2u];
  const u32 first = chunk.y;
  const u32 end = first + chunk.z;
  const u32 length = end - first;
  const bool aligned = (launch.tensors[chunk.x + 1u] & 2u) == 0u;

  // What all elements share.
  const float v5 = launch.scalars[slots + 0u];                           // %5 = broadcast scalar 0
  const float v7 = launch.scalars[slots + 1u];                           // %7 = broadcast scalar 1
  const float v9 = launch.scalars[slots + 2u];                           // %9 = broadcast scalar 2
  const float v11 = launch.scalars[slots + 3u];                          // %11 = broadcast scalar 3
  const float v13 = launch.scalars[slots + 4u];                          // %13 = broadcast scalar 4
  const float v15 = launch.scalars[slots + 5u];                          // %15 = broadcast scalar 5
  const float v17 = launch.scalars[slots + 6u];                          // %17 = broadcast scalar 6

  for (u32 at = 4u * thread; at < length; at += 2048u) {
    float params[8], grads[8], exp_avgs[8], exp_avg_sqs[8];
    load(params, param_at + first, at, length, aligned);
    load(grads, grad_at + first, at, length, aligned);
    load(exp_avgs, exp_avg_at + first, at, length, aligned);
    load(exp_avg_sqs, exp_avg_sq_at + first, at, length, aligned);
    #pragma unroll
    for (u32 k = 0u; k < 8u; k++) {
      const float param = params[k];                                         // %0 = param
      const float grad = grads[k];                                           // %1 = grad
      const float exp_avg = exp_avgs[k];                                     // %2 = state exp_avg
      const float exp_avg_sq = exp_avg_sqs[k];                               // %3 = state exp_avg_sq
      const float v18 = param * v5;                                          // %18 = mul %0 %5
      const float v19 = grad - exp_avg;                                      // %19 = sub %1 %2
      const float v20 = v19 * v7;                                            // %20 = mul %19 %7
      const float v21 = exp_avg + v20;                                       // %21 = add %2 %20
      const float v22 = exp_avg_sq * v9;                                     // %22 = mul %3 %9
      const float v23 = grad * grad;                                         // %23 = mul %1 %1
      const float v24 = v23 * v11;                                           // %24 = mul %23 %11
      const float v25 = v22 + v24;                                           // %25 = add %22 %24
      const float v26 = sqrtf(v25);                                          // %26 = sqrt %25
      const float v27 = v26 * v13;                                           // %27 = mul %26 %13
      const float v28 = v27 + v15;                                           // %28 = add %27 %15
      const float v29 = v21 / v28;                                           // %29 = div %21 %28
      const float v30 = v29 * v17;                                           // %30 = mul %29 %17
      const float v31 = v18 - v30;                                           // %31 = sub %18 %30
      params[k] = v31;                                                       // param' = %31
      exp_avgs[k] = v21;                                                     // state.exp_avg' = %21
      exp_avg_sqs[k] = v25;                                                  // state.exp_avg_sq' = %25
    }
    store(param_at + first, params, at, length, aligned);
    store(exp_avg_at + first, exp_avgs, at, length, aligned);
    store(exp_avg_sq_at + first, exp_avg_sqs, at, length, aligned);
  }
}

extern "C" __global__ void __launch_bounds__(256, 2) stepjit_step(const Launch launch) {
  const u32 thread = threadIdx.x;
  for (u32 at = blockIdx.x; at < launch.count; at += gridDim.x) {
    const uint4 chunk = launch.chunks[at]; // tensor row, start, length, partial slot
    if ((launch.tensors[chunk.x + 1u] & 1u) != 0u) { continue; }
    class_0(launch, chunk, thread);
  }
}

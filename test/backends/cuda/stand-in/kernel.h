/*
 * What a CUDA text finds when it is compiled for the CPU: CUDA's words and functions, as far as our texts use them. Headers are left out,
 * since they would take longer to read than the text. `standin_*` is what the stand-in libcuda needs of a compiled text.
 */
#define __global__
#define __device__ static
#define __forceinline__ inline
#define __launch_bounds__(...)
/* A section of its own, so that it can be poisoned before each block. */
#define __shared__ static __attribute__((section("standin_shared")))

struct uint3 { unsigned x, y, z; };
struct alignas(16) uint4 { unsigned x, y, z, w; };

/* Set by libcuda before a thread goes on. */
extern "C" __attribute__((visibility("default"))) uint3 standin_thread, standin_block, standin_grid, standin_threads;
uint3 standin_thread, standin_block, standin_grid, standin_threads;
#define threadIdx standin_thread
#define blockIdx standin_block
#define gridDim standin_grid
#define blockDim standin_threads

/* Set by libcuda when a text is loaded: what waits for other threads. */
extern "C" __attribute__((visibility("default"))) void (*standin_wait_for_block)();
extern "C" __attribute__((visibility("default"))) double (*standin_shuffle)(double number, unsigned lane);
void (*standin_wait_for_block)();
double (*standin_shuffle)(double number, unsigned lane);

#define __syncthreads() standin_wait_for_block()

/* The number of the lane `delta` further on, or the own one where that is not among the `width` lanes that go together. */
static inline double __shfl_down_sync(unsigned, double number, unsigned delta, unsigned width) {
  const unsigned lane = standin_thread.x % 32u;
  return standin_shuffle(number, lane % width + delta < width ? lane + delta : lane);
}

static inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
static inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }

extern "C" {
float sqrtf(float), expf(float), expm1f(float), logf(float), log1pf(float), powf(float, float), floorf(float), ceilf(float), fabsf(float);
float fmaf(float, float, float);
double sqrt(double), exp(double), expm1(double), log(double), log1p(double), pow(double, double), floor(double), ceil(double), fabs(double);
double fma(double, double, double);
}

static inline unsigned __float_as_uint(float x) { unsigned bits; __builtin_memcpy(&bits, &x, 4); return bits; }
static inline float __uint_as_float(unsigned bits) { float x; __builtin_memcpy(&x, &bits, 4); return x; }
static inline long long __double_as_longlong(double x) { long long bits; __builtin_memcpy(&bits, &x, 8); return bits; }
static inline double __longlong_as_double(long long bits) { double x; __builtin_memcpy(&x, &bits, 8); return x; }

/* Approximations on a GPU: any that is close will do. */
static inline float __fdividef(float a, float b) { return a / b; }
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }

#line 1 "text.cu"

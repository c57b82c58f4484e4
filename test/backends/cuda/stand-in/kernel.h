/*
 * What a CUDA text finds when it is compiled for the CPU, after text.h: CUDA's words and functions, as far as our texts use them. Headers
 * are left out: they would take longer to read than the text, and NVRTC has none either.
 */
#define __global__
#define __device__ static
#define __host__
#define __constant__ static
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __restrict__ __restrict
#define __align__(bytes) alignas(bytes)
#define __launch_bounds__(...)
/* A section of its own, so that it can be poisoned before each block. */
#define __shared__ static __attribute__((section("standin_shared")))

using uint3 = StandinDim;
using dim3 = StandinDim;
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) double2 { double x, y; };

StandinDim standin_thread, standin_block, standin_grid, standin_threads;
StandinWaits standin_waiting;
#define threadIdx standin_thread
#define blockIdx standin_block
#define gridDim standin_grid
#define blockDim standin_threads
#define warpSize 32

static inline void __syncthreads(unsigned line = __builtin_LINE()) { standin_waiting.block(line); }
static inline void __syncwarp(unsigned mask = ~0u, unsigned line = __builtin_LINE()) { standin_waiting.warp(mask, line); }

/* Lanes read those of their own `width` neighbours, else their own. */
static inline unsigned standin_down(unsigned lane, unsigned delta, unsigned width) { return lane % width + delta < width ? lane + delta : lane; }
static inline unsigned standin_up(unsigned lane, unsigned delta, unsigned width) { return lane % width >= delta ? lane - delta : lane; }
static inline unsigned standin_xor(unsigned lane, unsigned mask, unsigned width) { return (lane ^ mask) / width <= lane / width ? lane ^ mask : lane; }
static inline unsigned standin_at(unsigned lane, unsigned from, unsigned width) { return lane / width * width + from % width; }

#define STANDIN_SHUFFLE(shuffle, of, type)                                                                                                  \
  static inline type shuffle(unsigned mask, type number, unsigned by, int width = 32, unsigned line = __builtin_LINE()) {                   \
    unsigned long long bits = 0;                                                                                                            \
    __builtin_memcpy(&bits, &number, sizeof number);                                                                                        \
    __builtin_memcpy(&number, standin_waiting.exchange(bits, mask, line) + of(standin_thread.x % 32u, by, width), sizeof number);           \
    return number;                                                                                                                          \
  }
#define STANDIN_SHUFFLES(type)                         \
  STANDIN_SHUFFLE(__shfl_down_sync, standin_down, type) \
  STANDIN_SHUFFLE(__shfl_up_sync, standin_up, type)     \
  STANDIN_SHUFFLE(__shfl_xor_sync, standin_xor, type)   \
  STANDIN_SHUFFLE(__shfl_sync, standin_at, type)
STANDIN_SHUFFLES(int)
STANDIN_SHUFFLES(unsigned)
STANDIN_SHUFFLES(long long)
STANDIN_SHUFFLES(unsigned long long)
STANDIN_SHUFFLES(float)
STANDIN_SHUFFLES(double)

extern "C" {
float sqrtf(float), expf(float), exp2f(float), expm1f(float), logf(float), log2f(float), log1pf(float), powf(float, float), tanhf(float);
float floorf(float), ceilf(float), truncf(float), rintf(float), fabsf(float), fminf(float, float), fmaxf(float, float);
float copysignf(float, float), fmaf(float, float, float);
double sqrt(double), exp(double), exp2(double), expm1(double), log(double), log2(double), log1p(double), pow(double, double), tanh(double);
double floor(double), ceil(double), trunc(double), rint(double), fabs(double), fmin(double, double), fmax(double, double);
double copysign(double, double), fma(double, double, double);
}

#define STANDIN_MIN_MAX(type, other)                                      \
  static inline type min(type a, other b) { return a < (type)b ? a : b; } \
  static inline type max(type a, other b) { return a > (type)b ? a : b; }
STANDIN_MIN_MAX(int, int)
STANDIN_MIN_MAX(unsigned, unsigned)
STANDIN_MIN_MAX(unsigned, int)
static inline unsigned min(int a, unsigned b) { return min((unsigned)a, b); }
static inline unsigned max(int a, unsigned b) { return max((unsigned)a, b); }
STANDIN_MIN_MAX(long long, long long)
STANDIN_MIN_MAX(unsigned long long, unsigned long long)
static inline float min(float a, float b) { return fminf(a, b); }
static inline float max(float a, float b) { return fmaxf(a, b); }
static inline double min(double a, double b) { return fmin(a, b); }
static inline double max(double a, double b) { return fmax(a, b); }

static inline unsigned __float_as_uint(float x) { unsigned bits; __builtin_memcpy(&bits, &x, 4); return bits; }
static inline int __float_as_int(float x) { return (int)__float_as_uint(x); }
static inline float __uint_as_float(unsigned bits) { float x; __builtin_memcpy(&x, &bits, 4); return x; }
static inline float __int_as_float(int bits) { return __uint_as_float((unsigned)bits); }
static inline long long __double_as_longlong(double x) { long long bits; __builtin_memcpy(&bits, &x, 8); return bits; }
static inline double __longlong_as_double(long long bits) { double x; __builtin_memcpy(&x, &bits, 8); return x; }

/* Rounded once, whatever the options are. */
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __fsqrt_rn(float x) { return sqrtf(x); }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline float __frcp_rn(float x) { return 1.0f / x; }

/* Approximations on a GPU: any that is close will do. But a quotient by more than 2^126 is 0, as CUDA documents. */
static inline float __fdividef(float a, float b) { return fabsf(b) > 0x1p126f && fabsf(b) <= 0x1.fffffep127f ? a * 0.0f : a / b; }
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
static inline double rsqrt(double x) { return 1.0 / sqrt(x); }

// What a decoder needs around attention: embedding, normalization, the choice of a token. The hidden
// state is f32; what a projection (linear.cu) multiplies is split into two f16 planes (common.cuh).
#include "common.cuh"

struct EmbedParams {
  u64 table;  // f16[vocabulary][columns]
  u64 tokens; // u32[rows], below the vocabulary
  u64 out;    // f32[rows][columns]
  u32 rows;
  u32 columns; // a multiple of 8
};
ASSERT_LAYOUT(EmbedParams, 32);

struct SplitParams {
  u64 x;       // f32[*][columns]
  u64 indices; // u32[rows]: which rows of x, 0 for all in order
  u64 hi;      // f16[rows][columns]
  u64 lo;
  u32 columns;   // a multiple of 4
  u32 normalize; // scale each row to a root mean square of 1
};
ASSERT_LAYOUT(SplitParams, 40);

struct ArgmaxParams {
  u64 logits; // f32[rows][columns]
  u64 tokens; // u32[rows]
  u32 columns;
  u32 unused;
};
ASSERT_LAYOUT(ArgmaxParams, 24);

namespace {

constexpr u32 THREADS = 256;
// A step's last kernel has few rows, but each is a whole vocabulary.
constexpr u32 ARGMAX_THREADS = 1024;
constexpr u32 ARGMAX_UNROLL = 8;

// Adds up (or otherwise folds) one value of every thread; every thread gets the result.
template <u32 COUNT, typename V, typename F> __device__ __forceinline__ V fold_block(V v, F fold) {
  __shared__ V part[COUNT / WARP];
#pragma unroll
  for (u32 step = WARP / 2; step > 0; step /= 2) v = fold(v, v.shuffled(step));
  if (threadIdx.x % WARP == 0) part[threadIdx.x / WARP] = v;
  __syncthreads();
  v = part[0];
  for (u32 i = 1; i < COUNT / WARP; ++i) v = fold(v, part[i]);
  return v;
}

struct Sum {
  float value;
  __device__ Sum shuffled(u32 step) const { return {__shfl_xor_sync(FULL_MASK, value, step)}; }
};

struct Best {
  float score;
  u32 token;
  __device__ Best shuffled(u32 step) const {
    return {__shfl_xor_sync(FULL_MASK, score, step), __shfl_xor_sync(FULL_MASK, token, step)};
  }
};

// The higher score, the lower token of equals.
__device__ __forceinline__ Best better(Best a, Best b) {
  return b.score > a.score || (b.score == a.score && b.token < a.token) ? b : a;
}

} // namespace

extern "C" __global__ void __launch_bounds__(THREADS) embed(const __grid_constant__ EmbedParams p) {
  u32 chunks = p.columns / 8, at = blockIdx.x * THREADS + threadIdx.x;
  u32 row = at / chunks, chunk = at % chunks;
  if (row >= p.rows) return;
  u64 token = __ldg(reinterpret_cast<const u32 *>(p.tokens) + row);
  uint4 v = __ldg(reinterpret_cast<const uint4 *>(p.table) + token * chunks + chunk);
  float2 a = unpack2<half>(v.x), b = unpack2<half>(v.y), c = unpack2<half>(v.z), d = unpack2<half>(v.w);
  float4 *out = reinterpret_cast<float4 *>(p.out) + static_cast<u64>(at) * 2;
  out[0] = {a.x, a.y, b.x, b.y};
  out[1] = {c.x, c.y, d.x, d.y};
}

// One CTA a row.
extern "C" __global__ void __launch_bounds__(THREADS) split_rows(const __grid_constant__ SplitParams p) {
  u32 row = blockIdx.x, vectors = p.columns / 4;
  u64 from = p.indices ? __ldg(reinterpret_cast<const u32 *>(p.indices) + row) : row;
  const float4 *x = reinterpret_cast<const float4 *>(p.x) + from * vectors;
  float scale = 1.f;
  if (p.normalize) {
    Sum squares = {0.f};
    for (u32 i = threadIdx.x; i < vectors; i += THREADS) {
      float4 v = x[i];
      squares.value += v.x * v.x + v.y * v.y + (v.z * v.z + v.w * v.w);
    }
    squares = fold_block<THREADS>(squares, [](Sum a, Sum b) { return Sum{a.value + b.value}; });
    scale = 1.f / sqrtf(squares.value / p.columns + 1e-6f);
  }
  for (u32 i = threadIdx.x; i < vectors; i += THREADS) {
    float4 v = x[i];
    Split a = split2<half>(v.x * scale, v.y * scale), b = split2<half>(v.z * scale, v.w * scale);
    u64 at = static_cast<u64>(row) * vectors + i;
    reinterpret_cast<uint2 *>(p.hi)[at] = {a.hi, b.hi};
    reinterpret_cast<uint2 *>(p.lo)[at] = {a.lo, b.lo};
  }
}

// One CTA a row.
extern "C" __global__ void __launch_bounds__(ARGMAX_THREADS) argmax(const __grid_constant__ ArgmaxParams p) {
  const float *row = reinterpret_cast<const float *>(p.logits) + static_cast<u64>(blockIdx.x) * p.columns;
  Best best = {NEG_INF, 0};
  for (u32 base = threadIdx.x; base < p.columns; base += ARGMAX_THREADS * ARGMAX_UNROLL) {
    float score[ARGMAX_UNROLL];
#pragma unroll
    for (u32 i = 0; i < ARGMAX_UNROLL; ++i) {
      u32 at = base + i * ARGMAX_THREADS;
      score[i] = at < p.columns ? row[at] : NEG_INF;
    }
#pragma unroll
    for (u32 i = 0; i < ARGMAX_UNROLL; ++i) best = better(best, {score[i], base + i * ARGMAX_THREADS});
  }
  best = fold_block<ARGMAX_THREADS>(best, [](Best a, Best b) { return better(a, b); });
  if (threadIdx.x == 0) reinterpret_cast<u32 *>(p.tokens)[blockIdx.x] = best.token;
}

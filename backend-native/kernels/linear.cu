// Projections: y[row][output] = sum over inputs of weights[output][input] * x[row][input], with x as two f16
// planes, so that the products carry 22 bits of x. Outputs fill the rows of the tensor-core tile, rows of x its
// columns.
//
// Three shapes. `few` is for decode steps, which the weights' bytes decide: all rows in one tile (16 of them in
// `small`, 64 in `medium`), so that weights are read once, and few outputs a CTA, so that all multiprocessors
// read; its four warps share the inputs out between them. `large` is for prefill: a tile of 128 outputs and 64
// rows.
#include "common.cuh"

struct LinearParams {
  u64 weights; // f16[outputs][inputs]
  u64 x_hi;    // f16[rows][inputs]
  u64 x_lo;
  u64 y;    // f32[rows][outputs], or the high f16 plane
  u64 y_lo; // the low plane
  u32 rows;
  u32 inputs; // a multiple of 64
  u32 outputs;
  u32 unused;
};
ASSERT_LAYOUT(LinearParams, 56);

namespace {

enum class Then { Store, Add, ReluSplit };

constexpr u32 DEPTH = 64; // inputs of a stage
constexpr u32 CHUNKS = DEPTH / 8;

template <Then THEN> __device__ __forceinline__ void emit(const LinearParams &p, u32 row, u32 output, float v) {
  if (row >= p.rows || output >= p.outputs) return;
  u64 at = static_cast<u64>(row) * p.outputs + output;
  if constexpr (THEN == Then::ReluSplit) {
    v = fmaxf(v, 0.f);
    half hi = __float2half_rn(v);
    reinterpret_cast<half *>(p.y)[at] = hi;
    reinterpret_cast<half *>(p.y_lo)[at] = __float2half_rn(v - __half2float(hi));
  } else if constexpr (THEN == Then::Add) {
    reinterpret_cast<float *>(p.y)[at] += v;
  } else {
    reinterpret_cast<float *>(p.y)[at] = v;
  }
}

// Fetches ROWS rows of one stage; rows past the end are zeros.
template <u32 ROWS, u32 THREADS>
__device__ __forceinline__ void fetch(u32 dst, u64 matrix, u32 first, u32 limit, u32 inputs, u32 depth) {
#pragma unroll
  for (u32 i = 0; i < ROWS * CHUNKS / THREADS; ++i) {
    u32 at = i * THREADS + threadIdx.x, row = at / CHUNKS, chunk = at % CHUNKS;
    bool valid = first + row < limit;
    const half *src = reinterpret_cast<const half *>(matrix) +
                      static_cast<u64>(valid ? first + row : 0) * inputs + depth * DEPTH + chunk * 8;
    cp_async16(dst + swizzled<CHUNKS>(row, chunk), src, valid);
  }
}

// A tile of OUTPUTS by ROWS with STAGES stages of inputs on their way.
template <u32 OUTPUTS, u32 ROWS, u32 STAGES, u32 THREADS> struct Tile {
  static constexpr u32 PLANE_BYTES = ROWS * DEPTH * 2;
  static constexpr u32 WEIGHT_BYTES = OUTPUTS * DEPTH * 2;
  static constexpr u32 STAGE_BYTES = WEIGHT_BYTES + 2 * PLANE_BYTES;

  const LinearParams &p;
  u32 smem, first_output, first_row, depths;

  __device__ Tile(const LinearParams &params, const unsigned char *memory) : p(params) {
    smem = smem_addr(memory);
    first_output = blockIdx.x * OUTPUTS;
    first_row = blockIdx.y * ROWS;
    depths = p.inputs / DEPTH;
  }

  __device__ u32 stage(u32 depth) const { return smem + depth % STAGES * STAGE_BYTES; }

  __device__ void load(u32 depth) {
    if (depth < depths) {
      u32 at = stage(depth);
      fetch<OUTPUTS, THREADS>(at, p.weights, first_output, p.outputs, p.inputs, depth);
      fetch<ROWS, THREADS>(at + WEIGHT_BYTES, p.x_hi, first_row, p.rows, p.inputs, depth);
      fetch<ROWS, THREADS>(at + WEIGHT_BYTES + PLANE_BYTES, p.x_lo, first_row, p.rows, p.inputs, depth);
    }
    cp_async_commit();
  }

  // Calls each(stage address) for every stage in order, with the loads running ahead.
  template <typename F> __device__ void run(F each) {
#pragma unroll
    for (u32 i = 0; i < STAGES - 1; ++i) load(i);
    for (u32 depth = 0; depth < depths; ++depth) {
      cp_async_wait<STAGES - 2>();
      __syncthreads();
      load(depth + STAGES - 1);
      each(stage(depth));
    }
  }
};

// acc[m][n] += weights (16 m-tiles from `output` on) * x (8-row n-tiles from `row` on), over 16 inputs.
template <u32 OUTPUTS, u32 ROWS, int M, int N>
__device__ __forceinline__ void multiply(float (&acc)[M][N][4], u32 stage, u32 output, u32 row, u32 chunk) {
  u32 lane = threadIdx.x % WARP;
  u32 a[M][4];
#pragma unroll
  for (int m = 0; m < M; ++m)
    ldmatrix_x4(a[m], stage + swizzled<CHUNKS>(output + m * 16 + lane % 16, chunk + lane / 16));
  u32 planes = stage + OUTPUTS * DEPTH * 2;
#pragma unroll
  for (int n = 0; n < N; n += 2) {
    u32 at = planes + swizzled<CHUNKS>(row + n * 8 + lane / 16 * 8 + lane % 8, chunk + (lane / 8 & 1));
    u32 hi[4], lo[4];
    ldmatrix_x4(hi, at);
    ldmatrix_x4(lo, at + ROWS * DEPTH * 2);
#pragma unroll
    for (int m = 0; m < M; ++m) {
      mma<half>(acc[m][n], a[m], hi[0], hi[1]);
      mma<half>(acc[m][n + 1], a[m], hi[2], hi[3]);
      mma<half>(acc[m][n], a[m], lo[0], lo[1]);
      mma<half>(acc[m][n + 1], a[m], lo[2], lo[3]);
    }
  }
}

template <Then THEN, u32 ROWS, u32 STAGES> __device__ __forceinline__ void few(const LinearParams &p) {
  constexpr u32 OUTPUTS = 32, WARPS = 4;
  extern __shared__ __align__(1024) unsigned char smem[];
  u32 warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
  Tile<OUTPUTS, ROWS, STAGES, WARPS * WARP> tile(p, smem);
  float acc[2][ROWS / 8][4] = {};
  tile.run([&](u32 stage) { multiply<OUTPUTS, ROWS>(acc, stage, 0, 0, warp * 2); });

  // The warps' sums meet in shared memory, in a fixed order.
  cp_async_wait<0>();
  __syncthreads();
  auto &sums = *reinterpret_cast<float(*)[WARPS][ROWS][OUTPUTS + 1]>(smem);
#pragma unroll
  for (int m = 0; m < 2; ++m)
#pragma unroll
    for (int n = 0; n < ROWS / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        sums[warp][n * 8 + lane % 4 * 2 + i % 2][m * 16 + lane / 4 + i / 2 * 8] = acc[m][n][i];
  __syncthreads();
#pragma unroll
  for (u32 i = 0; i < OUTPUTS * ROWS / (WARPS * WARP); ++i) {
    u32 at = i * WARPS * WARP + threadIdx.x, row = at / OUTPUTS, output = at % OUTPUTS;
    float v = (sums[0][row][output] + sums[1][row][output]) + (sums[2][row][output] + sums[3][row][output]);
    emit<THEN>(p, tile.first_row + row, tile.first_output + output, v);
  }
}

template <Then THEN> __device__ __forceinline__ void large(const LinearParams &p) {
  constexpr u32 OUTPUTS = 128, ROWS = 64, WARPS = 8;
  extern __shared__ __align__(1024) unsigned char smem[];
  u32 warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
  u32 output = warp % 4 * 32, row = warp / 4 * 32;
  Tile<OUTPUTS, ROWS, 3, WARPS * WARP> tile(p, smem);
  float acc[2][4][4] = {};
  tile.run([&](u32 stage) {
#pragma unroll
    for (u32 k = 0; k < DEPTH / 16; ++k) multiply<OUTPUTS, ROWS>(acc, stage, output, row, k * 2);
  });
#pragma unroll
  for (int m = 0; m < 2; ++m)
#pragma unroll
    for (int n = 0; n < 4; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        emit<THEN>(p, tile.first_row + row + n * 8 + lane % 4 * 2 + i % 2,
                   tile.first_output + output + m * 16 + lane / 4 + i / 2 * 8, acc[m][n][i]);
}

template <Then THEN> __device__ __forceinline__ void small(const LinearParams &p) { few<THEN, 16, 12>(p); }
template <Then THEN> __device__ __forceinline__ void medium(const LinearParams &p) { few<THEN, 64, 4>(p); }

} // namespace

#define LINEAR(SHAPE, THREADS)                                                                               \
  LINEAR_THEN(SHAPE, THREADS, linear_##SHAPE##_store, Then::Store)                                           \
  LINEAR_THEN(SHAPE, THREADS, linear_##SHAPE##_add, Then::Add)                                               \
  LINEAR_THEN(SHAPE, THREADS, linear_##SHAPE##_relu, Then::ReluSplit)
#define LINEAR_THEN(SHAPE, THREADS, NAME, THEN)                                                              \
  extern "C" __global__ void __launch_bounds__(THREADS) NAME(const __grid_constant__ LinearParams p) {       \
    SHAPE<THEN>(p);                                                                                          \
  }

LINEAR(small, 128)
LINEAR(medium, 128)
LINEAR(large, 256)

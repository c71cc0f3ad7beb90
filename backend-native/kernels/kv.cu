// Moves of KV data: appending new tokens to the pool, and copying whole blocks (fork, copy-on-write, and the
// gather and scatter of a swap). Both storage types are two bytes wide, so one kernel serves both.
#include "common.cuh"

struct AppendParams {
  u64 k;     // b16[token][kv_heads][dim], rows k_stride apart
  u64 v;     // b16[token][kv_heads][dim], rows v_stride apart
  u64 kv;    // b16, pool of one layer, see kv_offset
  u64 slots; // i32[token]: block * tokens of a block + place in it; negative: skip
  u32 tokens;
  u32 kv_heads;
  u32 dim;
  u32 block_shift;
  u32 k_stride;
  u32 v_stride;
};
ASSERT_LAYOUT(AppendParams, 56);

struct CopyParams {
  u64 src;
  u64 dst;
  u64 src_ids; // i32[count], 0: block i is at place i
  u64 dst_ids; // likewise
  u64 src_block_stride; // strides in 16-byte vectors
  u64 src_layer_stride;
  u64 dst_block_stride;
  u64 dst_layer_stride;
  u32 vectors; // of one block in one layer
  u32 pieces;  // CTAs that share one block of one layer
};
ASSERT_LAYOUT(CopyParams, 72);

namespace {
constexpr u32 COPY_THREADS = 256;
constexpr u32 COPY_UNROLL = 4;
} // namespace

// One 16-byte vector of K and one of V a thread: both loads are in flight before either store.
extern "C" __global__ void __launch_bounds__(256) append_b16(const __grid_constant__ AppendParams p) {
  u32 chunks = p.dim / 8, per_token = p.kv_heads * chunks;
  u32 at = blockIdx.x * blockDim.x + threadIdx.x;
  u32 token = at / per_token;
  if (token >= p.tokens) return;
  i32 slot = __ldg(reinterpret_cast<const i32 *>(p.slots) + token);
  u32 in_row = at - token * per_token, head = in_row / chunks, chunk = in_row - head * chunks;
  uint4 k = __ldcs(reinterpret_cast<const uint4 *>(p.k) + static_cast<u64>(token) * (p.k_stride / 8) + in_row);
  uint4 v = __ldcs(reinterpret_cast<const uint4 *>(p.v) + static_cast<u64>(token) * (p.v_stride / 8) + in_row);
  if (slot < 0) return;
  u32 place = slot & ((1u << p.block_shift) - 1);
  i32 block = slot >> p.block_shift;
  uint4 *pool = reinterpret_cast<uint4 *>(p.kv) + place * chunks + chunk;
  pool[kv_offset(block, 0, head, p.kv_heads, p.block_shift, chunks)] = k;
  pool[kv_offset(block, 1, head, p.kv_heads, p.block_shift, chunks)] = v;
}

// grid: (pieces, blocks, layers).
extern "C" __global__ void __launch_bounds__(COPY_THREADS) copy_blocks(const __grid_constant__ CopyParams p) {
  u32 i = blockIdx.y;
  i64 from = p.src_ids ? __ldg(reinterpret_cast<const i32 *>(p.src_ids) + i) : i;
  i64 to = p.dst_ids ? __ldg(reinterpret_cast<const i32 *>(p.dst_ids) + i) : i;
  const uint4 *src = reinterpret_cast<const uint4 *>(p.src) + from * p.src_block_stride + blockIdx.z * p.src_layer_stride;
  uint4 *dst = reinterpret_cast<uint4 *>(p.dst) + to * p.dst_block_stride + blockIdx.z * p.dst_layer_stride;
  constexpr u32 SPAN = COPY_THREADS * COPY_UNROLL;
  for (u32 base = blockIdx.x * SPAN; base < p.vectors; base += p.pieces * SPAN) {
    uint4 v[COPY_UNROLL];
#pragma unroll
    for (u32 j = 0; j < COPY_UNROLL; ++j) {
      u32 at = base + j * COPY_THREADS + threadIdx.x;
      if (at < p.vectors) v[j] = __ldcs(src + at);
    }
#pragma unroll
    for (u32 j = 0; j < COPY_UNROLL; ++j) {
      u32 at = base + j * COPY_THREADS + threadIdx.x;
      if (at < p.vectors) __stcs(dst + at, v[j]);
    }
  }
}

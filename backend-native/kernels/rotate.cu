// Rotary positions and the append, in one pass over the Q, K and V that a projection left side by side:
// queries are rotated where they are, in f32; keys, rotated, and values go to the pool in its type.
//
// builds: f16 bf16
#include "common.cuh"

struct RotateParams {
  u64 qkv;         // f32[token][q_heads + 2 kv_heads][dim]
  u64 positions;   // u32[token]
  u64 frequencies; // f32[dim / 2]
  u64 kv;          // T, pool of one layer, see kv_offset
  u64 slots;       // i32[token]: block * tokens of a block + place in it; negative: skip
  u32 q_heads;
  u32 kv_heads;
  u32 dim;
  u32 block_shift;
};
ASSERT_LAYOUT(RotateParams, 56);

// One CTA a token; a thread keeps one pair of a head's elements, and with it the angle.
extern "C" __global__ void __launch_bounds__(1024) ENTRY(rotate, append)(const __grid_constant__ RotateParams p) {
  u32 token = blockIdx.x, pairs = p.dim / 2;
  u32 pair = threadIdx.x % pairs, lanes = blockDim.x / pairs;
  u32 heads = p.q_heads + 2 * p.kv_heads;
  float *row = reinterpret_cast<float *>(p.qkv) + static_cast<u64>(token) * heads * p.dim;
  i32 slot = __ldg(reinterpret_cast<const i32 *>(p.slots) + token);
  float position = static_cast<float>(__ldg(reinterpret_cast<const u32 *>(p.positions) + token));
  float sine, cosine;
  sincosf(position * __ldg(reinterpret_cast<const float *>(p.frequencies) + pair), &sine, &cosine);
  DTYPE *pool = reinterpret_cast<DTYPE *>(p.kv) + (slot & ((1u << p.block_shift) - 1)) * p.dim + pair;
  for (u32 head = threadIdx.x / pairs; head < heads; head += lanes) {
    float *at = row + head * p.dim + pair;
    float a = at[0], b = at[pairs];
    bool is_v = head >= p.q_heads + p.kv_heads;
    if (!is_v) {
      float rotated = a * cosine - b * sine;
      b = a * sine + b * cosine;
      a = rotated;
    }
    if (head < p.q_heads) {
      at[0] = a;
      at[pairs] = b;
    } else if (slot >= 0) {
      u32 kv_head = head - p.q_heads - (is_v ? p.kv_heads : 0);
      DTYPE *dst = pool + kv_offset(slot >> p.block_shift, is_v, kv_head, p.kv_heads, p.block_shift, p.dim);
      dst[0] = from_float<DTYPE>(a);
      dst[pairs] = from_float<DTYPE>(b);
    }
  }
}

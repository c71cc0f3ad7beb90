// Paged prefill attention: a chunk of new tokens per sequence attends, causally, to the cached prefix and to
// itself. The chunk's own K and V are already in the pool (kv.cu appends them first).
//
// A CTA takes one tile of query rows of one KV head. Rows are (token, query head of the group) packed
// together, so that a short chunk still fills the tensor-core tile and K and V are read once for the group.
// The loop is FlashAttention-2's (Dao 2023): K and V tiles double-buffered by cp.async, online softmax in
// registers, P handed from the first product to the second without leaving them. As in decode.cu, the `wide`
// kernels take f32 queries and compute as exactly as f32 would; here that costs a second product each.
//
// builds: f16 bf16 f16_wide bf16_wide
#include "common.cuh"

struct PrefillParams {
  u64 q;           // T or f32 [token][q_heads][dim], rows q_stride apart
  u64 kv;          // T, pool of one layer, see kv_offset
  u64 out;         // T[token][q_heads][dim], dense; f16 if wide
  u64 out_lo;      // wide only: what rounding the output to f16 lost
  u64 block_table; // i32[], the sequences' blocks one after the other
  u64 work;        // PrefillWork[]
  u32 q_stride;
  u32 q_heads;
  u32 kv_heads;
  u32 block_shift;
  float scale_log2; // softmax scale times log2(e)
  u32 unused;
};
ASSERT_LAYOUT(PrefillParams, 72);

struct PrefillWork {
  u32 blocks;      // where the sequence's blocks begin in the table
  u32 kv_head;
  u32 first_token; // of the chunk, in q and out
  u32 tokens;      // of the chunk
  u32 context;     // tokens of the sequence before the chunk
  u32 first_row;   // of this tile: token * group + head
  u32 unused[2];
};
ASSERT_LAYOUT(PrefillWork, 32);

namespace {

constexpr u32 WARPS = 4;
constexpr u32 THREADS = WARPS * WARP;

template <typename T, int D, int BN, int MT> struct Prefill {
  static constexpr u32 CHUNKS = D / 8;
  static constexpr u32 ROWS = WARPS * MT * 16;
  static constexpr u32 TILE_BYTES = BN * D * sizeof(T);
  static constexpr u32 Q_BYTES = ROWS * D * sizeof(T);
  static constexpr u32 Q_PLANES = WIDE ? 2 : 1;

  const PrefillParams &p;
  PrefillWork w;
  u32 group, rows, warp, lane;
  u32 q_addr, kv_addr;
  const i32 *table;

  float o[MT][D / 8][4];
  float m[MT][2], l[MT][2];
  u32 last[MT][2]; // the last key each row may see

  __device__ Prefill(const PrefillParams &params, unsigned char *smem) : p(params) {
    const uint4 *at = reinterpret_cast<const uint4 *>(p.work) + blockIdx.x * 2;
    uint4 a = __ldg(at), b = __ldg(at + 1);
    w = {a.x, a.y, a.z, a.w, b.x, b.y, {}};
    group = p.q_heads / p.kv_heads;
    rows = w.tokens * group;
    warp = threadIdx.x / WARP;
    lane = threadIdx.x % WARP;
    q_addr = smem_addr(smem);
    kv_addr = q_addr + Q_PLANES * Q_BYTES;
    table = reinterpret_cast<const i32 *>(p.block_table) + w.blocks;
  }

  __device__ void load_q() {
    for (u32 i = threadIdx.x; i < ROWS * CHUNKS; i += THREADS) {
      u32 r = i / CHUNKS, chunk = i % CHUNKS, row = w.first_row + r;
      bool valid = row < rows;
      u32 token = valid ? row / group : 0, head = valid ? row % group : 0;
      u64 at = static_cast<u64>(w.first_token + token) * p.q_stride + (w.kv_head * group + head) * D + chunk * 8;
      u32 dst = swizzled<CHUNKS>(r, chunk);
      if constexpr (WIDE)
        split_chunk(dst, reinterpret_cast<const float4 *>(p.q) + at / 4, valid);
      else
        cp_async16(q_addr + dst, reinterpret_cast<const T *>(p.q) + at, valid);
    }
  }

  __device__ void split_chunk(u32 dst, const float4 *src, bool valid) {
    float4 a = valid ? __ldg(src) : float4{}, b = valid ? __ldg(src + 1) : float4{};
    Split s0 = split2<T>(a.x, a.y), s1 = split2<T>(a.z, a.w), s2 = split2<T>(b.x, b.y), s3 = split2<T>(b.z, b.w);
    store_shared16(q_addr + dst, {s0.hi, s1.hi, s2.hi, s3.hi});
    store_shared16(q_addr + Q_BYTES + dst, {s0.lo, s1.lo, s2.lo, s3.lo});
  }

  __device__ void load_kv(u32 tile, u32 keys) {
    constexpr u32 STEP = THREADS / CHUNKS, PASSES = BN / STEP;
    u32 addr = kv_addr + (tile & 1) * 2 * TILE_BYTES;
    u32 chunk = threadIdx.x % CHUNKS, first = threadIdx.x / CHUNKS;
    i32 block[PASSES];
#pragma unroll
    for (u32 i = 0; i < PASSES; ++i) {
      u32 key = tile * BN + i * STEP + first;
      block[i] = key < keys ? __ldg(table + (key >> p.block_shift)) : 0;
    }
    i64 to_v = kv_offset(0, 1, 0, p.kv_heads, p.block_shift, D);
#pragma unroll
    for (u32 i = 0; i < PASSES; ++i) {
      u32 row = i * STEP + first, key = tile * BN + row;
      bool valid = key < keys;
      const T *k = reinterpret_cast<const T *>(p.kv) +
                   kv_offset(block[i], 0, w.kv_head, p.kv_heads, p.block_shift, D) +
                   (key & ((1u << p.block_shift) - 1)) * D + chunk * 8;
      cp_async16(addr + swizzled<CHUNKS>(row, chunk), k, valid);
      cp_async16(addr + TILE_BYTES + swizzled<CHUNKS>(row, chunk), k + to_v, valid);
    }
  }

  __device__ void start_rows() {
#pragma unroll
    for (int t = 0; t < MT; ++t) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        u32 row = w.first_row + (warp * MT + t) * 16 + lane / 4 + j * 8;
        last[t][j] = w.context + min(row, rows - 1) / group;
        m[t][j] = NEG_INF;
        l[t][j] = 0.f;
      }
#pragma unroll
      for (int i = 0; i < D / 8; ++i) o[t][i][0] = o[t][i][1] = o[t][i][2] = o[t][i][3] = 0.f;
    }
  }

  __device__ void scores(float (&s)[MT][BN / 8][4], u32 k_addr) {
#pragma unroll
    for (int t = 0; t < MT; ++t)
#pragma unroll
      for (int n = 0; n < BN / 8; ++n) s[t][n][0] = s[t][n][1] = s[t][n][2] = s[t][n][3] = 0.f;
#pragma unroll
    for (int k = 0; k < D / 16; ++k) {
      u32 a[MT][4], lo[MT][4];
#pragma unroll
      for (int t = 0; t < MT; ++t) {
        u32 at = q_addr + swizzled<CHUNKS>((warp * MT + t) * 16 + lane % 16, k * 2 + lane / 16);
        ldmatrix_x4(a[t], at);
        if constexpr (WIDE) ldmatrix_x4(lo[t], at + Q_BYTES);
      }
#pragma unroll
      for (int n = 0; n < BN / 16; ++n) {
        u32 b[4];
        ldmatrix_x4(b, k_addr + swizzled<CHUNKS>(n * 16 + lane / 16 * 8 + lane % 8, k * 2 + (lane / 8 & 1)));
#pragma unroll
        for (int t = 0; t < MT; ++t) {
          mma<T>(s[t][2 * n], a[t], b[0], b[1]);
          mma<T>(s[t][2 * n + 1], a[t], b[2], b[3]);
          if constexpr (WIDE) {
            mma<T>(s[t][2 * n], lo[t], b[0], b[1]);
            mma<T>(s[t][2 * n + 1], lo[t], b[2], b[3]);
          }
        }
      }
    }
  }

  // Scales, masks what lies in the future of a row, and turns scores into weights.
  __device__ void softmax(float (&s)[MT][BN / 8][4], u32 first_key, bool masked) {
#pragma unroll
    for (int t = 0; t < MT; ++t) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        float top = NEG_INF;
#pragma unroll
        for (int n = 0; n < BN / 8; ++n) {
#pragma unroll
          for (int c = 0; c < 2; ++c) {
            float &x = s[t][n][j * 2 + c];
            u32 key = first_key + n * 8 + lane % 4 * 2 + c;
            if (masked && key > last[t][j]) x = NEG_INF;
            top = fmaxf(top, x);
          }
        }
        top = fmaxf(top, __shfl_xor_sync(FULL_MASK, top, 1));
        top = fmaxf(top, __shfl_xor_sync(FULL_MASK, top, 2));
        float now = fmaxf(m[t][j], top * p.scale_log2);
        float keep = exp2_fast(m[t][j] - now), sum = 0.f;
        m[t][j] = now;
#pragma unroll
        for (int n = 0; n < BN / 8; ++n) {
#pragma unroll
          for (int c = 0; c < 2; ++c) {
            float &x = s[t][n][j * 2 + c];
            x = exp2_fast(fmaf(x, p.scale_log2, -now));
            sum += x;
          }
        }
        l[t][j] = l[t][j] * keep + sum;
#pragma unroll
        for (int i = 0; i < D / 8; ++i) {
          o[t][i][j * 2] *= keep;
          o[t][i][j * 2 + 1] *= keep;
        }
      }
    }
  }

  __device__ void add_values(const float (&s)[MT][BN / 8][4], u32 v_addr) {
#pragma unroll
    for (int k = 0; k < BN / 16; ++k) {
      u32 a[MT][4], lo[MT][4];
#pragma unroll
      for (int t = 0; t < MT; ++t) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float *pair = &s[t][2 * k + i / 2][i % 2 * 2];
          Split p = split2<T>(pair[0], pair[1]);
          a[t][i] = p.hi;
          if constexpr (WIDE) lo[t][i] = p.lo;
        }
      }
#pragma unroll
      for (int n = 0; n < D / 16; ++n) {
        u32 b[4];
        ldmatrix_x4_trans(b, v_addr + swizzled<CHUNKS>(k * 16 + lane % 16, n * 2 + lane / 16));
#pragma unroll
        for (int t = 0; t < MT; ++t) {
          mma<T>(o[t][2 * n], a[t], b[0], b[1]);
          mma<T>(o[t][2 * n + 1], a[t], b[2], b[3]);
          if constexpr (WIDE) {
            mma<T>(o[t][2 * n], lo[t], b[0], b[1]);
            mma<T>(o[t][2 * n + 1], lo[t], b[2], b[3]);
          }
        }
      }
    }
  }

  __device__ void store() {
#pragma unroll
    for (int t = 0; t < MT; ++t) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        float sum = l[t][j];
        sum += __shfl_xor_sync(FULL_MASK, sum, 1);
        sum += __shfl_xor_sync(FULL_MASK, sum, 2);
        u32 row = w.first_row + (warp * MT + t) * 16 + lane / 4 + j * 8;
        if (row >= rows) continue;
        float inv = 1.f / sum;
        u64 at = (static_cast<u64>(w.first_token + row / group) * p.q_heads + w.kv_head * group + row % group) * D;
        u64 word = at / 2 + lane % 4;
#pragma unroll
        for (int i = 0; i < D / 8; ++i) {
          float x = o[t][i][j * 2] * inv, y = o[t][i][j * 2 + 1] * inv;
          if constexpr (WIDE) {
            Split s = split2<half>(x, y);
            reinterpret_cast<u32 *>(p.out)[word + i * 4] = s.hi;
            reinterpret_cast<u32 *>(p.out_lo)[word + i * 4] = s.lo;
          } else {
            reinterpret_cast<u32 *>(p.out)[word + i * 4] = pack2<T>(x, y);
          }
        }
      }
    }
  }

  __device__ void run() {
    // Keys that some row of the tile sees, and those that every row sees.
    u32 keys = w.context + min(w.first_row + ROWS - 1, rows - 1) / group + 1;
    u32 seen_by_all = w.context + w.first_row / group + 1;
    u32 tiles = (keys + BN - 1) / BN;
    load_q();
    load_kv(0, keys);
    cp_async_commit();
    start_rows();
    for (u32 tile = 0; tile < tiles; ++tile) {
      if (tile + 1 < tiles) load_kv(tile + 1, keys);
      cp_async_commit();
      cp_async_wait<1>();
      __syncthreads();
      u32 k_addr = kv_addr + (tile & 1) * 2 * TILE_BYTES;
      float s[MT][BN / 8][4];
      scores(s, k_addr);
      softmax(s, tile * BN, (tile + 1) * BN > seen_by_all);
      add_values(s, k_addr + TILE_BYTES);
      __syncthreads();
    }
    store();
  }
};

} // namespace

#define PREFILL(DIM, BN, MT)                                                                                 \
  extern "C" __global__ void __launch_bounds__(THREADS)                                                      \
      ENTRY(prefill, d##DIM)(const __grid_constant__ PrefillParams p) {                                      \
    extern __shared__ __align__(1024) unsigned char smem[];                                                  \
    Prefill<DTYPE, DIM, BN, MT>(p, smem).run();                                                              \
  }

// Two 16-row tiles a warp halve the reads of K and V from shared memory, where the registers allow.
PREFILL(64, WIDE ? 32 : 64, WIDE ? 1 : 2)
PREFILL(128, WIDE ? 32 : 64, WIDE ? 1 : 2)
PREFILL(256, 32, 1)

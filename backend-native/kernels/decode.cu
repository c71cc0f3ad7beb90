// Paged decode attention: one query token per sequence, grouped query heads, split over the KV length.
//
// Work. The host cuts the batch into pieces (sequence, KV head, token range) and deals them so that every
// CTA gets the same number of KV tokens however ragged the batch is (src/cuda/plan.rs). A CTA walks its
// pieces through a linked list; its four warps take 16-token tiles of a piece in turn, each with a cp.async
// pipeline of its own that runs on across pieces, so that the memory system never drains at a boundary.
//
// Arithmetic. K and V are read once for all query heads of a group. The products are turned around so that
// tokens (then head dimensions) fill the 16 rows of the tensor-core tile and the query heads its 8 columns:
//   S^T[token][head] = K * Q^T          (K by ldmatrix, Q in registers)
//   O^T[dim][head]  += V^T * P^T        (V by ldmatrix.trans, P by movmatrix)
//
// Merging. A piece that isn't its whole sequence writes an unnormalised partial; whichever CTA finishes the
// last piece of a sequence and head merges them, so that there is no second launch. The counter returns to
// zero, which lets a CUDA graph replay the kernel.
//
// Precision. The plain kernels take 16-bit queries and round the weights of the softmax to 16 bits, as all fast
// kernels do. The `wide` ones take f32 queries, split queries and weights in two (common.cuh), and leave the
// output as two f16 planes for the projection that follows: f32 arithmetic in effect, at no cost in time, since
// the tensor cores idle while K and V stream in.
//
// builds: f16 bf16 f16_wide bf16_wide
#include "common.cuh"

struct DecodeParams {
  u64 q;           // T or f32 [seq][q_heads][dim], rows q_stride apart
  u64 kv;          // T, pool of one layer, see kv_offset
  u64 out;         // T[seq][q_heads][dim], dense; f16 if wide
  u64 out_lo;      // wide only: what rounding the output to f16 lost
  u64 block_table; // i32[], the sequences' blocks one after the other
  u64 work;        // DecodeWork[]
  u64 partial_o;   // f32[slot][8][dim]
  u64 partial_ml;  // f32x2[slot][8]: maximum (log2 domain), sum
  u64 counters;    // u32[slot], zero between launches
  u32 q_stride;
  u32 q_heads;
  u32 kv_heads;
  u32 group;        // query heads of one piece, at most 8
  u32 subgroups;    // pieces that share one KV head: ceil(q_heads / kv_heads / 8)
  u32 block_shift;  // log2 of the tokens of a block
  float scale_log2; // softmax scale times log2(e)
  u32 unused;
};
ASSERT_LAYOUT(DecodeParams, 104);

struct DecodeWork {
  u32 seq;
  u32 blocks;     // where the sequence's blocks begin in the table
  u32 begin, end; // tokens; begin is a multiple of 16
  u32 next;       // index of the CTA's next piece, 0 for none
  u32 slot;       // where this piece's partial goes, if parts > 1
  u32 first_slot; // slot of the first piece of this sequence and head, and its counter
  u16 head;       // kv_head * subgroups + subgroup
  u16 parts;      // pieces of this sequence and head; 0: nothing to do
};
ASSERT_LAYOUT(DecodeWork, 32);

namespace {

constexpr u32 TILE = 16;
constexpr u32 WARPS = 4;
constexpr u32 HEADS = 8;
// One tile on its way while the last is used. A third stage measured no faster on an H100, and would keep
// head size 256 off GPUs with less shared memory.
constexpr u32 STAGES = 2;

__device__ __forceinline__ DecodeWork load_work(const DecodeParams &p, u32 index) {
  const uint4 *at = reinterpret_cast<const uint4 *>(p.work) + index * 2;
  uint4 a = __ldg(at), b = __ldg(at + 1);
  return {a.x, a.y, a.z, a.w, b.x, b.y, b.z, static_cast<u16>(b.w), static_cast<u16>(b.w >> 16)};
}

// Runs ahead of the arithmetic and fills the stages of one warp.
template <typename T, int D> struct Loader {
  static constexpr u32 CHUNKS = D / 8;
  static constexpr u32 TILE_BYTES = TILE * D * sizeof(T);

  const DecodeParams &p;
  DecodeWork w;
  u32 tile, tile_end; // next tile to fetch, in tiles of the sequence
  u32 ids_left;       // block ids still unread in `ids`
  i32 ids;            // block of this warp's (lane)th coming tile
  bool more;

  __device__ Loader(const DecodeParams &params, const DecodeWork &first, u32 warp) : p(params) { start(first, warp); }

  __device__ void start(const DecodeWork &work, u32 warp) {
    w = work;
    tile = w.begin / TILE + warp;
    tile_end = (w.end + TILE - 1) / TILE;
    ids_left = 0;
    more = true;
  }

  __device__ i32 next_block(u32 lane) {
    if (ids_left == 0) {
      u32 mine = min(tile + lane * WARPS, tile_end - 1);
      const i32 *row = reinterpret_cast<const i32 *>(p.block_table) + w.blocks;
      ids = __ldg(row + ((mine * TILE) >> p.block_shift));
      ids_left = WARP;
    }
    i32 block = __shfl_sync(FULL_MASK, ids, WARP - ids_left);
    --ids_left;
    return block;
  }

  // Fetches the next tile, if any is left, and always closes a cp.async group, so that groups and tiles
  // count alike.
  __device__ void fetch(u32 stage_addr, u32 warp, u32 lane) {
    while (more && tile >= tile_end) {
      if (w.next == 0)
        more = false;
      else
        start(load_work(p, w.next), warp);
    }
    if (more) {
      i32 block = next_block(lane);
      u32 token = tile * TILE;
      u32 in_block = token & ((1u << p.block_shift) - 1);
      u32 head = w.head / p.subgroups;
      const T *k = reinterpret_cast<const T *>(p.kv) + kv_offset(block, 0, head, p.kv_heads, p.block_shift, D) +
                   in_block * D;
      const T *v = k + kv_offset(0, 1, 0, p.kv_heads, p.block_shift, D);
      copy_tile(stage_addr, k, w.end - token, lane);
      copy_tile(stage_addr + TILE_BYTES, v, w.end - token, lane);
      tile += WARPS;
    }
    cp_async_commit();
  }

  // Tokens past the end become zeros: what the pool holds there may be NaN, and 0 * NaN is NaN.
  __device__ void copy_tile(u32 dst, const T *src, u32 valid_tokens, u32 lane) {
#pragma unroll
    for (u32 i = 0; i < TILE * CHUNKS / WARP; ++i) {
      u32 at = i * WARP + lane, row = at / CHUNKS, chunk = at % CHUNKS;
      cp_async16(dst + swizzled<CHUNKS>(row, chunk), src + at * 8, row < valid_tokens);
    }
  }
};

// Running softmax of one warp: lane (g, t) holds heads 2t and 2t+1; O^T rows g and g+8 of each 16-dim tile.
template <typename T, int D> struct Softmax {
  float o[D / 16][4];
  float m[2], l[2];

  __device__ void reset() {
#pragma unroll
    for (int i = 0; i < D / 16; ++i) o[i][0] = o[i][1] = o[i][2] = o[i][3] = 0.f;
    m[0] = m[1] = NEG_INF;
    l[0] = l[1] = 0.f;
  }

  // Folds the scores of one tile in and leaves P^T as the B operand.
  __device__ void fold(float (&s)[4], u32 (&b)[WIDE ? 4 : 2]) {
    float old[2] = {m[0], m[1]};
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      float top = fmaxf(s[j], s[j + 2]);
      top = fmaxf(top, __shfl_xor_sync(FULL_MASK, top, 4));
      top = fmaxf(top, __shfl_xor_sync(FULL_MASK, top, 8));
      top = fmaxf(top, __shfl_xor_sync(FULL_MASK, top, 16));
      m[j] = fmaxf(m[j], top);
      s[j] = exp2_fast(s[j] - m[j]);
      s[j + 2] = exp2_fast(s[j + 2] - m[j]);
    }
    Split p0 = split2<T>(s[0], s[1]), p1 = split2<T>(s[2], s[3]);
    b[0] = movmatrix_trans(p0.hi);
    b[1] = movmatrix_trans(p1.hi);
    if constexpr (WIDE) {
      b[2] = movmatrix_trans(p0.lo);
      b[3] = movmatrix_trans(p1.lo);
    }
    float c0 = exp2_fast(old[0] - m[0]), c1 = exp2_fast(old[1] - m[1]);
    l[0] = l[0] * c0 + s[0] + s[2];
    l[1] = l[1] * c1 + s[1] + s[3];
    // The maximum settles after a few tiles; then the rescaling is skipped.
    if (__any_sync(FULL_MASK, c0 != 1.f || c1 != 1.f)) {
#pragma unroll
      for (int i = 0; i < D / 16; ++i) {
        o[i][0] *= c0;
        o[i][1] *= c1;
        o[i][2] *= c0;
        o[i][3] *= c1;
      }
    }
  }

  __device__ void add_values(u32 v_addr, const u32 (&b)[WIDE ? 4 : 2], u32 lane) {
    u32 row = (lane / 16) * 8 + lane % 8, half_chunk = (lane / 8) & 1;
#pragma unroll
    for (int i = 0; i < D / 16; ++i) {
      u32 a[4];
      ldmatrix_x4_trans(a, v_addr + swizzled<D / 8>(row, i * 2 + half_chunk));
      mma<T>(o[i], a, b[0], b[1]);
      if constexpr (WIDE) mma<T>(o[i], a, b[2], b[3]);
    }
  }
};

// Q^T as the B operand, straight from global memory; heads past the group are zero.
template <typename T, int D> struct Query {
  u32 hi[D / 16][2];
  u32 lo[WIDE ? D / 16 : 1][2];

  __device__ void load(const DecodeParams &p, const DecodeWork &w, u32 lane) {
    u32 per_kv = p.q_heads / p.kv_heads, kv_head = w.head / p.subgroups;
    u32 in_group = w.head % p.subgroups * HEADS + lane / 4;
    bool valid = lane / 4 < p.group && in_group < per_kv;
    u64 row = static_cast<u64>(w.seq) * p.q_stride + (kv_head * per_kv + in_group) * D;
#pragma unroll
    for (int i = 0; i < D / 16; ++i) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        u64 at = (row + i * 16 + j * 8 + lane % 4 * 2) / 2;
        if constexpr (WIDE) {
          float2 x = valid ? __ldg(reinterpret_cast<const float2 *>(p.q) + at) : float2{};
          Split s = split2<T>(x.x, x.y);
          hi[i][j] = s.hi;
          lo[i][j] = s.lo;
        } else {
          hi[i][j] = valid ? __ldg(reinterpret_cast<const u32 *>(p.q) + at) : 0;
        }
      }
    }
  }

  __device__ void scores(float (&s)[4], u32 k_addr, u32 lane) const {
    float c[2][4] = {};
#pragma unroll
    for (int i = 0; i < D / 16; ++i) {
      u32 a[4];
      ldmatrix_x4(a, k_addr + swizzled<D / 8>(lane % 16, i * 2 + lane / 16));
      mma<T>(c[i & 1], a, hi[i][0], hi[i][1]);
      if constexpr (WIDE) mma<T>(c[i & 1], a, lo[i][0], lo[i][1]);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) s[i] = c[0][i] + c[1][i];
  }
};

// Where the warps of a CTA put their results for the merge. The padding keeps the scattered stores of
// Softmax off each other's banks.
template <int D> struct Exchange {
  float o[WARPS][HEADS][D + 4];
  float m[WARPS][HEADS];
  float l[WARPS][HEADS];
  u32 last;
};

template <typename T, int D>
__device__ __forceinline__ void publish(Exchange<D> &x, Softmax<T, D> &acc, u32 group, u32 warp, u32 lane) {
  u32 g = lane / 4, t = lane % 4;
#pragma unroll
  for (int j = 0; j < 2; ++j) {
    float sum = acc.l[j];
    sum += __shfl_xor_sync(FULL_MASK, sum, 4);
    sum += __shfl_xor_sync(FULL_MASK, sum, 8);
    sum += __shfl_xor_sync(FULL_MASK, sum, 16);
    u32 head = 2 * t + j;
    if (head >= group) continue;
    if (g == 0) {
      x.m[warp][head] = acc.m[j];
      x.l[warp][head] = sum;
    }
#pragma unroll
    for (int i = 0; i < D / 16; ++i) {
      x.o[warp][head][i * 16 + g] = acc.o[i][j];
      x.o[warp][head][i * 16 + g + 8] = acc.o[i][j + 2];
    }
  }
}

__device__ __forceinline__ void axpy(float4 &acc, float w, const float4 &x) {
  acc.x += w * x.x;
  acc.y += w * x.y;
  acc.z += w * x.z;
  acc.w += w * x.w;
}

template <typename T, int D>
__device__ __forceinline__ void store_out(const DecodeParams &p, const DecodeWork &w, u32 head, u32 dim, float4 o,
                                          float l) {
  u32 per_kv = p.q_heads / p.kv_heads;
  u32 in_group = (w.head % p.subgroups) * HEADS + head;
  if (in_group >= per_kv) return;
  float inv = l > 0.f ? 1.f / l : 0.f;
  u64 row = static_cast<u64>(w.seq) * p.q_heads + (w.head / p.subgroups) * per_kv + in_group;
  u64 at = (row * D + dim) / 4;
  if constexpr (WIDE) {
    Split a = split2<half>(o.x * inv, o.y * inv), b = split2<half>(o.z * inv, o.w * inv);
    reinterpret_cast<uint2 *>(p.out)[at] = {a.hi, b.hi};
    reinterpret_cast<uint2 *>(p.out_lo)[at] = {a.lo, b.lo};
  } else {
    reinterpret_cast<uint2 *>(p.out)[at] = {pack2<T>(o.x * inv, o.y * inv), pack2<T>(o.z * inv, o.w * inv)};
  }
}

// Merges the warps of the CTA and writes the output, or the partial of a split sequence.
template <typename T, int D>
__device__ __forceinline__ void merge_warps(const DecodeParams &p, const DecodeWork &w, const Exchange<D> &x) {
  for (u32 item = threadIdx.x; item < p.group * (D / 4); item += WARPS * WARP) {
    u32 head = item / (D / 4), dim = item % (D / 4) * 4;
    float m = fmaxf(fmaxf(x.m[0][head], x.m[1][head]), fmaxf(x.m[2][head], x.m[3][head]));
    float l = 0.f;
    float4 o = {};
#pragma unroll
    for (u32 i = 0; i < WARPS; ++i) {
      float f = x.m[i][head] == NEG_INF ? 0.f : exp2_fast(x.m[i][head] - m);
      l += f * x.l[i][head];
      axpy(o, f, *reinterpret_cast<const float4 *>(&x.o[i][head][dim]));
    }
    if (w.parts == 1) {
      store_out<T, D>(p, w, head, dim, o, l);
      continue;
    }
    u32 row = w.slot * HEADS + head;
    __stcg(reinterpret_cast<float4 *>(p.partial_o) + (row * D + dim) / 4, o);
    if (dim == 0) __stcg(reinterpret_cast<float2 *>(p.partial_ml) + row, make_float2(m, l));
  }
}

// Merges the partials of one sequence and head. BATCH loads are in flight at a time: the merge is all
// latency.
template <typename T, int D>
__device__ __forceinline__ void merge_parts(const DecodeParams &p, const DecodeWork &w) {
  constexpr u32 BATCH = 8;
  for (u32 item = threadIdx.x; item < p.group * (D / 4); item += WARPS * WARP) {
    u32 head = item / (D / 4), dim = item % (D / 4) * 4;
    float m = NEG_INF, l = 0.f;
    float4 o = {};
    for (u32 base = 0; base < w.parts; base += BATCH) {
      float2 ml[BATCH];
      float4 part[BATCH];
      float top = m;
#pragma unroll
      for (u32 i = 0; i < BATCH; ++i) {
        u32 row = (w.first_slot + min(base + i, w.parts - 1)) * HEADS + head;
        ml[i] = __ldcg(reinterpret_cast<const float2 *>(p.partial_ml) + row);
        part[i] = __ldcg(reinterpret_cast<const float4 *>(p.partial_o) + (row * D + dim) / 4);
        if (base + i >= w.parts) ml[i].x = NEG_INF;
      }
#pragma unroll
      for (u32 i = 0; i < BATCH; ++i) top = fmaxf(top, ml[i].x);
      float keep = exp2_fast(m - top);
      m = top;
      l *= keep;
      o = {o.x * keep, o.y * keep, o.z * keep, o.w * keep};
#pragma unroll
      for (u32 i = 0; i < BATCH; ++i) {
        float f = exp2_fast(ml[i].x - m);
        l += f * ml[i].y;
        axpy(o, f, part[i]);
      }
    }
    store_out<T, D>(p, w, head, dim, o, l);
  }
}

template <typename T, int D>
__device__ __forceinline__ void finish_piece(const DecodeParams &p, const DecodeWork &w, Softmax<T, D> &acc,
                                             Exchange<D> &x, u32 warp, u32 lane) {
  publish(x, acc, p.group, warp, lane);
  __syncthreads();
  merge_warps<T, D>(p, w, x);
  if (w.parts > 1) {
    u32 *counter = reinterpret_cast<u32 *>(p.counters) + w.first_slot;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) x.last = atomicAdd(counter, 1) == w.parts - 1;
    __syncthreads();
    if (x.last) {
      __threadfence();
      merge_parts<T, D>(p, w);
      if (threadIdx.x == 0) *counter = 0;
    }
  }
  __syncthreads();
}

template <typename T, int D> __device__ __forceinline__ void decode(const DecodeParams &p) {
  constexpr u32 STAGE_BYTES = 2 * TILE * D * sizeof(T);
  extern __shared__ __align__(1024) unsigned char smem[];
  auto &exchange = *reinterpret_cast<Exchange<D> *>(smem + WARPS * STAGES * STAGE_BYTES);
  u32 warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
  u32 stages = smem_addr(smem) + warp * STAGES * STAGE_BYTES;

  DecodeWork w = load_work(p, blockIdx.x);
  if (w.parts == 0) return;
  Loader<T, D> loader(p, w, warp);
#pragma unroll
  for (u32 i = 0; i < STAGES - 1; ++i) loader.fetch(stages + i * STAGE_BYTES, warp, lane);

  u32 stage = 0;
  for (;;) {
    Query<T, D> query;
    query.load(p, w, lane);
    Softmax<T, D> acc;
    acc.reset();
    u32 tile_end = (w.end + TILE - 1) / TILE;
    for (u32 tile = w.begin / TILE + warp; tile < tile_end; tile += WARPS) {
      cp_async_wait<STAGES - 2>();
      __syncwarp();
      loader.fetch(stages + (stage == 0 ? STAGES - 1 : stage - 1) * STAGE_BYTES, warp, lane);
      u32 k_addr = stages + stage * STAGE_BYTES;
      float s[4];
      query.scores(s, k_addr, lane);
      u32 token = tile * TILE + lane / 4;
#pragma unroll
      for (int i = 0; i < 4; ++i) s[i] = token + (i / 2) * 8 < w.end ? s[i] * p.scale_log2 : NEG_INF;
      u32 b[WIDE ? 4 : 2];
      acc.fold(s, b);
      acc.add_values(k_addr + TILE * D * sizeof(T), b, lane);
      stage = stage == STAGES - 1 ? 0 : stage + 1;
    }
    finish_piece(p, w, acc, exchange, warp, lane);
    if (w.next == 0) break;
    w = load_work(p, w.next);
  }
}

} // namespace

#define DECODE(DIM)                                                                                          \
  extern "C" __global__ void __launch_bounds__(WARPS *WARP)                                                  \
      ENTRY(decode, d##DIM)(const __grid_constant__ DecodeParams p) {                                        \
    decode<DTYPE, DIM>(p);                                                                                   \
  }

DECODE(64)
DECODE(128)
DECODE(256)

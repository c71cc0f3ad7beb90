// What every kernel family shares: integer types, the two storage types, and the PTX instructions that
// CUDA C++ has no intrinsic for.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;
using i32 = int;
using i64 = long long;
using bf16 = __nv_bfloat16;

constexpr u32 WARP = 32;
constexpr u32 FULL_MASK = 0xffffffffu;

#define NEG_INF (-__int_as_float(0x7f800000))

// The layout of every params struct is asserted here and, with the same numbers, in src/cuda/params.rs.
#define ASSERT_LAYOUT(type, size) static_assert(sizeof(type) == (size), #type ": Rust and CUDA disagree")

// Entry points are named <family>_<build>_<variant>; build.py names the build, such as f16 or bf16_wide.
#define PASTE_(family, build, variant) family##_##build##_##variant
#define PASTE(family, build, variant) PASTE_(family, build, variant)
#define ENTRY(family, variant) PASTE(family, BUILD, variant)

// --- storage types -----------------------------------------------------------------------------------

__device__ __forceinline__ float to_float(half x) { return __half2float(x); }
__device__ __forceinline__ float to_float(bf16 x) { return __bfloat162float(x); }

template <typename T> __device__ __forceinline__ T from_float(float x);
template <> __device__ __forceinline__ half from_float<half>(float x) { return __float2half_rn(x); }
template <> __device__ __forceinline__ bf16 from_float<bf16>(float x) { return __float2bfloat16_rn(x); }

template <typename T> __device__ __forceinline__ u32 pack2(float lo, float hi);
template <> __device__ __forceinline__ u32 pack2<half>(float lo, float hi) {
  half2 v = __floats2half2_rn(lo, hi);
  return *reinterpret_cast<u32 *>(&v);
}
template <> __device__ __forceinline__ u32 pack2<bf16>(float lo, float hi) {
  __nv_bfloat162 v = __floats2bfloat162_rn(lo, hi);
  return *reinterpret_cast<u32 *>(&v);
}

template <typename T> __device__ __forceinline__ float2 unpack2(u32 v);
template <> __device__ __forceinline__ float2 unpack2<half>(u32 v) {
  return __half22float2(*reinterpret_cast<half2 *>(&v));
}
template <> __device__ __forceinline__ float2 unpack2<bf16>(u32 v) {
  return __bfloat1622float2(*reinterpret_cast<__nv_bfloat162 *>(&v));
}

// A number as the sum of two 16-bit ones: 22 bits of an f32 survive for f16, 16 for bf16. Two products on the
// tensor cores then give nearly what f32 arithmetic would.
struct Split {
  u32 hi, lo;
};
template <typename T> __device__ __forceinline__ Split split2(float a, float b) {
  u32 hi = pack2<T>(a, b);
  float2 rounded = unpack2<T>(hi);
  return {hi, pack2<T>(a - rounded.x, b - rounded.y)};
}

// --- shared memory and asynchronous copies -----------------------------------------------------------

__device__ __forceinline__ u32 smem_addr(const void *p) { return static_cast<u32>(__cvta_generic_to_shared(p)); }

// Copies 16 bytes past L1; with `valid` false it writes zeros and reads nothing.
__device__ __forceinline__ void cp_async16(u32 dst, const void *src, bool valid) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;\n" ::"r"(dst), "l"(src),
               "r"(valid ? 16 : 0));
}
__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;\n" ::); }
template <int N> __device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(N) : "memory");
}

__device__ __forceinline__ void store_shared16(u32 dst, uint4 v) {
  asm volatile("st.shared.v4.b32 [%0], {%1,%2,%3,%4};\n" ::"r"(dst), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w)
               : "memory");
}

// Byte offset of a 16-byte chunk in a tile of rows of CHUNKS chunks. The XOR spreads the eight rows that
// one ldmatrix phase reads over all 32 banks.
template <int CHUNKS> __device__ __forceinline__ u32 swizzled(u32 row, u32 chunk) {
  return (row * CHUNKS + (chunk ^ (row & 7))) * 16;
}

// --- tensor cores ------------------------------------------------------------------------------------

__device__ __forceinline__ void ldmatrix_x4(u32 (&r)[4], u32 addr) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(addr)
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x4_trans(u32 (&r)[4], u32 addr) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(addr)
               : "memory");
}
__device__ __forceinline__ u32 movmatrix_trans(u32 v) {
  u32 r;
  asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;\n" : "=r"(r) : "r"(v));
  return r;
}

// c (16x8, f32) += a (16x16) * b (16x8).
template <typename T> __device__ __forceinline__ void mma(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1);
template <> __device__ __forceinline__ void mma<half>(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
               "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
template <> __device__ __forceinline__ void mma<bf16>(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
               "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// --- small arithmetic --------------------------------------------------------------------------------

__device__ __forceinline__ float exp2_fast(float x) {
  float r;
  asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(r) : "f"(x));
  return r;
}

// The KV pool of one layer is [block][K or V][kv head][token of the block][head dim]: a head's share of a
// block is contiguous, so decode reads whole DRAM bursts. This is the element offset of one such share.
__device__ __forceinline__ i64 kv_offset(i32 block, u32 is_v, u32 head, u32 kv_heads, u32 block_shift, u32 dim) {
  return (((static_cast<i64>(block) * 2 + is_v) * kv_heads + head) << block_shift) * dim;
}

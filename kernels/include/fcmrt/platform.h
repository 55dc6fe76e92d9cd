// What the shared core needs of a compiler: function qualifiers and fixed-width integers.
//
// The headers in this folder compile as C++20 on the host, with nvcc and with NVRTC. Under NVRTC
// there are no standard headers, so the types are spelled out here.
#pragma once

#if defined(__CUDACC_RTC__)
namespace fcmrt {
using i32 = int;
using i64 = long long;
using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;
}  // namespace fcmrt
#else
#include <cstdint>
namespace fcmrt {
using i32 = std::int32_t;
using i64 = std::int64_t;
using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
}  // namespace fcmrt
#endif

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define FCMRT_HD __host__ __device__ __forceinline__
#define FCMRT_MEMBER __host__ __device__ __forceinline__
#define FCMRT_CONSTANT __constant__ constexpr  // of namespaces; quick where a warp reads one place
#else
#define FCMRT_HD static inline
#define FCMRT_MEMBER inline
#define FCMRT_CONSTANT constexpr
#endif

namespace fcmrt {

// All ones if `condition`, else 0. Compilers cannot see that it is one of the two, so they do not turn
// a choice by it into a jump, which processors could not predict here.
FCMRT_HD u32 mask_if(bool condition) {
  u32 mask = 0 - u32(condition);
#if defined(__GNUC__) && !defined(__CUDA_ARCH__)
  asm("" : "+r"(mask));
#endif
  return mask;
}

FCMRT_HD u32 choose(u32 mask, u32 ones, u32 zeros) { return zeros ^ ((ones ^ zeros) & mask); }

// Integers of the format are little-endian, at any address. Compilers usually merge single bytes into
// one access, but not always in the coder's loops.
FCMRT_HD u32 load_u16(const u8* p) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && !defined(__CUDA_ARCH__)
  u16 word;
  __builtin_memcpy(&word, p, sizeof word);
  return word;
#else
  return u32(p[0]) | u32(p[1]) << 8;
#endif
}

FCMRT_HD u32 load_u32(const u8* p) { return load_u16(p) | load_u16(p + 2) << 16; }

FCMRT_HD void store_u16(u8* p, u32 v) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && !defined(__CUDA_ARCH__)
  const u16 word = u16(v);
  __builtin_memcpy(p, &word, sizeof word);
#else
  p[0] = u8(v);
  p[1] = u8(v >> 8);
#endif
}

FCMRT_HD void store_u32(u8* p, u32 v) {
  store_u16(p, v);
  store_u16(p + 2, v >> 16);
}

}  // namespace fcmrt

// CUDA as kernels/cuda/device.cuh asks for it, for a host compiler.
//
// Included before the kernels. Everything here leads to functions of the emulator that are compiled
// apart, so that the hooks which see the kernels' memory accesses (memory.h) see no others.
#pragma once

#include <cstdint>

#include "block.h"

#define FCMRT_SIMT
#define FCMRT_METHOD inline
#define FCMRT_KERNEL extern "C" void
#define FCMRT_SHARED(type, name, count) \
  type* const name = static_cast<type*>( \
      fcmrt::simt::shared_array(__COUNTER__, #name, sizeof(type), alignof(type), count))
#define FCMRT_SHARED_AT_LAUNCH(name) fcmrt::u8* const name = fcmrt::simt::shared_at_launch()
#define FCMRT_UNROLL

#define threadIdx (fcmrt::simt::thread_index())
#define blockIdx (fcmrt::simt::block_index())
#define blockDim (fcmrt::simt::block_size())
#define gridDim (fcmrt::simt::grid_size())

struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

inline void __syncthreads() { fcmrt::simt::sync_block(); }
inline void __syncwarp(unsigned mask = ~0u) { fcmrt::simt::sync_warp(mask); }

inline unsigned __ballot_sync(unsigned mask, int yes) { return fcmrt::simt::vote(mask, yes != 0); }

template <class T>
T __shfl_sync(unsigned mask, T value, int from) {
  return T(fcmrt::simt::shuffle(mask, std::uint64_t(value), unsigned(from) % 32));
}

template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance) {
  const unsigned lane = threadIdx.x % 32;
  const unsigned from = lane < distance ? lane : lane - distance;
  return T(fcmrt::simt::shuffle(mask, std::uint64_t(value), from));
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits) {
  const unsigned lane = threadIdx.x % 32;
  return T(fcmrt::simt::shuffle(mask, std::uint64_t(value), (lane ^ unsigned(bits)) % 32));
}

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline unsigned __byte_perm(unsigned low, unsigned high, unsigned selector) {
  const std::uint64_t bytes = std::uint64_t(high) << 32 | low;
  unsigned out = 0;
  for (int i = 0; i < 4; ++i) {
    out |= unsigned(bytes >> 8 * (selector >> 4 * i & 7) & 0xFF) << 8 * i;
  }
  return out;
}
inline int __clz(unsigned x) { return x ? __builtin_clz(x) : 32; }
inline int __ffs(unsigned x) { return __builtin_ffs(int(x)); }

// Atomics order nothing, here as on a GPU; they only do not race with one another.
template <class T, class V>
T atomicAdd(T* at, V value) {
  fcmrt::simt::note_atomic(at, sizeof(T));
  return fcmrt::simt::add_at(at, T(value));
}

inline int atomicOr(int* at, int bits) {
  fcmrt::simt::note_atomic(at, sizeof *at);
  return fcmrt::simt::or_at(at, bits);
}

inline int atomicCAS(int* at, int expected, int value) {
  fcmrt::simt::note_atomic(at, sizeof *at);
  return fcmrt::simt::swap_at(at, expected, value);
}

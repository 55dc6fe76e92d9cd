// What the kernels need of CUDA: a handful of warp operations, and sums over warps and blocks.
//
// The same sources run on the CPU, through the emulator in tests/simt. It defines FCMRT_SIMT and all
// that is CUDA's own, so these kernels may use nothing but what it knows: threadIdx, blockIdx,
// blockDim, gridDim, __syncthreads, __syncwarp, __ballot_sync, __shfl_sync, __shfl_up_sync,
// __shfl_xor_sync, __popc, __clz, __ffs, __byte_perm, atomicAdd, atomicOr, atomicCAS, and shared memory
// and unrolled loops by the macros below. Votes and shuffles take all lanes of a warp, always.
#pragma once

#include "../include/fcmrt/platform.h"

#if !defined(FCMRT_SIMT)
#define FCMRT_METHOD __device__ __forceinline__
#define FCMRT_KERNEL extern "C" __global__ void __launch_bounds__(1024, 1)  // 64 registers at most
#define FCMRT_SHARED(type, name, count) __shared__ type name[count]
#define FCMRT_SHARED_AT_LAUNCH(name) extern __shared__ __align__(16) fcmrt::u8 name[]
#define FCMRT_UNROLL _Pragma("unroll")
#endif
#define FCMRT_DEVICE static FCMRT_METHOD

namespace fcmrt::cuda {

constexpr u32 kWarp = 32;
constexpr u32 kWholeWarp = 0xFFFFFFFFu;
constexpr u32 kMaxWarps = 32;  // of a block

FCMRT_DEVICE u32 lane_of_thread() { return threadIdx.x % kWarp; }
FCMRT_DEVICE u32 warp_of_thread() { return threadIdx.x / kWarp; }

// Bits of the lanes before this one.
FCMRT_DEVICE u32 lanes_before(u32 lane) { return (1u << lane) - 1; }

// Sum over the lanes up to this one, itself included.
template <class T>
FCMRT_DEVICE T warp_prefix(T value) {
  const u32 lane = lane_of_thread();
  for (u32 distance = 1; distance < kWarp; distance *= 2) {
    const T other = __shfl_up_sync(kWholeWarp, value, distance);
    if (lane >= distance) value += other;
  }
  return value;
}

FCMRT_DEVICE u32 warp_xor(u32 value) {
  for (u32 distance = kWarp / 2; distance > 0; distance /= 2) {
    value ^= __shfl_xor_sync(kWholeWarp, value, distance);
  }
  return value;
}

FCMRT_DEVICE u32 warp_max(u32 value) {
  for (u32 distance = kWarp / 2; distance > 0; distance /= 2) {
    const u32 other = __shfl_xor_sync(kWholeWarp, value, distance);
    if (other > value) value = other;
  }
  return __shfl_sync(kWholeWarp, value, 0);  // so that compilers know that all lanes agree
}

// Sum over the threads before this one; `total` becomes that over the whole block.
//
// Every thread of the block must come here, and the block must be of whole warps. `sums` is shared
// memory for kMaxWarps values, free again when this returns.
template <class T>
FCMRT_DEVICE T block_prefix(T value, T* sums, T& total) {
  const u32 lane = lane_of_thread(), warp = warp_of_thread(), warps = blockDim.x / kWarp;
  const T inclusive = warp_prefix(value);
  if (lane == kWarp - 1) sums[warp] = inclusive;
  __syncthreads();
  if (warp == 0) sums[lane] = warp_prefix(lane < warps ? sums[lane] : T(0));
  __syncthreads();
  total = sums[warps - 1];
  const T before = warp > 0 ? sums[warp - 1] : T(0);
  __syncthreads();
  return before + inclusive - value;
}

// Largest value of the block; threads and shared memory as for block_prefix.
FCMRT_DEVICE u32 block_max(u32 value, u32* maxima) {
  value = warp_max(value);
  if (lane_of_thread() == 0) maxima[warp_of_thread()] = value;
  __syncthreads();
  for (u32 warp = 0; warp < blockDim.x / kWarp; ++warp) {
    if (maxima[warp] > value) value = maxima[warp];
  }
  __syncthreads();
  return value;
}

template <class T>
FCMRT_DEVICE T block_sum(T value, T* sums) {
  T total;
  block_prefix(value, sums, total);
  return total;
}

}  // namespace fcmrt::cuda

// Kernels with one mistake each, beside the same without it: what the emulator must say of them.
// Every one is launched with one block of 64 threads, or two where it says so, and 64 integers.
#include "cuda.h"
//
#include "../../kernels/cuda/device.cuh"
#include "launch.h"

using namespace fcmrt;
using namespace fcmrt::cuda;

constexpr u32 kThreads = 64;

// ---- memory and barriers

FCMRT_KERNEL good_barrier(u32* out) {
  FCMRT_SHARED(u32, values, kThreads);
  values[threadIdx.x] = threadIdx.x;
  __syncthreads();
  out[threadIdx.x] = values[kThreads - 1 - threadIdx.x];
}

FCMRT_KERNEL missing_barrier(u32* out) {
  FCMRT_SHARED(u32, values, kThreads);
  values[threadIdx.x] = threadIdx.x;
  out[threadIdx.x] = values[kThreads - 1 - threadIdx.x];
}

// The values are read, and then written anew without waiting for the readers.
FCMRT_KERNEL missing_second_barrier(u32* out) {
  FCMRT_SHARED(u32, values, kThreads);
  for (u32 round = 0; round < 2; ++round) {
    values[threadIdx.x] = threadIdx.x + round;
    __syncthreads();
    out[threadIdx.x] = values[kThreads - 1 - threadIdx.x];
  }
}

FCMRT_KERNEL good_warp_barrier(u32* out) {
  FCMRT_SHARED(u32, values, kThreads);
  values[threadIdx.x] = threadIdx.x;
  __syncwarp();
  out[threadIdx.x] = values[threadIdx.x ^ 1];
}

// A vote makes lanes meet, but orders no memory.
FCMRT_KERNEL missing_warp_barrier(u32* out) {
  FCMRT_SHARED(u32, values, kThreads);
  values[threadIdx.x] = threadIdx.x;
  __ballot_sync(kWholeWarp, 1);
  out[threadIdx.x] = values[threadIdx.x ^ 1];
}

// A barrier of the warp does not reach the other warp.
FCMRT_KERNEL warp_barrier_for_block(u32* out) {
  FCMRT_SHARED(u32, values, kThreads);
  values[threadIdx.x] = threadIdx.x;
  __syncwarp();
  out[threadIdx.x] = values[threadIdx.x ^ kWarp];
}

// Two halves of a warp, each with its own barrier, read from each other.
FCMRT_KERNEL half_warp_barrier(u32* out) {
  FCMRT_SHARED(u32, values, kThreads);
  values[threadIdx.x] = threadIdx.x;
  __syncwarp(threadIdx.x % kWarp < 16 ? 0xFFFFu : 0xFFFF0000u);
  out[threadIdx.x] = values[threadIdx.x ^ 16];
}

// Two blocks write the same.
FCMRT_KERNEL blocks_collide(u32* out) { out[threadIdx.x] = blockIdx.x; }

// Two blocks add to the same.
FCMRT_KERNEL blocks_add(u32* out) { atomicAdd(out + threadIdx.x, 1u); }

FCMRT_KERNEL add_and_read(u32* out) {
  atomicAdd(out, 1u);
  if (threadIdx.x == 5) out[1] = out[0];
}

// ---- bounds

FCMRT_KERNEL past_global(u32* out) { out[threadIdx.x + 1] = 0; }
FCMRT_KERNEL before_global(u32* out) {
  if (threadIdx.x == 0) out[0] = out[i32(threadIdx.x) - 1];
}

FCMRT_KERNEL past_shared(u32* out) {
  FCMRT_SHARED(u32, values, kThreads);
  FCMRT_SHARED(u32, others, kThreads);
  values[threadIdx.x] = others[threadIdx.x] = 0;
  __syncthreads();
  out[threadIdx.x] = values[threadIdx.x + 1];
}

FCMRT_KERNEL past_shared_at_launch(u32* out) {
  FCMRT_SHARED_AT_LAUNCH(bytes);
  u32* const values = reinterpret_cast<u32*>(bytes);
  values[threadIdx.x] = 0;
  out[threadIdx.x] = values[threadIdx.x];
}

FCMRT_KERNEL unwritten_shared(u32* out) {
  FCMRT_SHARED(u32, values, kThreads);
  if (threadIdx.x != 7) values[threadIdx.x] = 0;
  __syncthreads();
  out[threadIdx.x] = values[threadIdx.x];
}

FCMRT_KERNEL unwritten_global(u32* out) { out[threadIdx.x] += 1; }

FCMRT_KERNEL misaligned(u32* out) {
  if (threadIdx.x == 0) *reinterpret_cast<u32*>(reinterpret_cast<u8*>(out) + 2) = 0;
}

// ---- arithmetic

// Above 0 for every thread but the first, unless the processor takes what is subnormal for 0.
FCMRT_KERNEL good_subnormals(u32* out) {
  out[threadIdx.x] = float(threadIdx.x) * 1.4e-40f > 0.0f;
}

// ---- divergence

FCMRT_KERNEL good_half_votes(u32* out) {
  const bool low = threadIdx.x % kWarp < 16;
  out[threadIdx.x] = __ballot_sync(low ? 0xFFFFu : 0xFFFF0000u, threadIdx.x & 1);
}

FCMRT_KERNEL divergent_vote(u32* out) {
  if (threadIdx.x % kWarp < 16) out[threadIdx.x] = __ballot_sync(kWholeWarp, 1);
}

FCMRT_KERNEL vote_and_shuffle(u32* out) {
  if (threadIdx.x & 1) {
    out[threadIdx.x] = __ballot_sync(kWholeWarp, 1);
  } else {
    out[threadIdx.x] = __shfl_sync(kWholeWarp, threadIdx.x, 0);
  }
}

FCMRT_KERNEL two_masks(u32* out) {
  out[threadIdx.x] = __ballot_sync(threadIdx.x & 1 ? kWholeWarp : 0x7FFFFFFFu, 1);
}

FCMRT_KERNEL left_out_of_mask(u32* out) { out[threadIdx.x] = __ballot_sync(0xFFFFu, 1); }

FCMRT_KERNEL shuffle_from_beside(u32* out) {
  const u32 own = threadIdx.x % kWarp < 16 ? 0xFFFFu : 0xFFFF0000u;
  out[threadIdx.x] = __shfl_sync(own, threadIdx.x, 31);
}

FCMRT_KERNEL divergent_barrier(u32* out) {
  if (threadIdx.x < 40) __syncthreads();
  out[threadIdx.x] = 1;
}

SIMT_KERNEL(good_barrier);
SIMT_KERNEL(missing_barrier);
SIMT_KERNEL(missing_second_barrier);
SIMT_KERNEL(good_warp_barrier);
SIMT_KERNEL(missing_warp_barrier);
SIMT_KERNEL(warp_barrier_for_block);
SIMT_KERNEL(half_warp_barrier);
SIMT_KERNEL(blocks_collide);
SIMT_KERNEL(blocks_add);
SIMT_KERNEL(add_and_read);
SIMT_KERNEL(past_global);
SIMT_KERNEL(before_global);
SIMT_KERNEL(past_shared);
SIMT_KERNEL(past_shared_at_launch);
SIMT_KERNEL(unwritten_shared);
SIMT_KERNEL(unwritten_global);
SIMT_KERNEL(misaligned);
SIMT_KERNEL(good_subnormals);
SIMT_KERNEL(good_half_votes);
SIMT_KERNEL(divergent_vote);
SIMT_KERNEL(vote_and_shuffle);
SIMT_KERNEL(two_masks);
SIMT_KERNEL(left_out_of_mask);
SIMT_KERNEL(shuffle_from_beside);
SIMT_KERNEL(divergent_barrier);

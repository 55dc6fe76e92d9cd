// Quantiser, its inverse, and the check over integers; docs/format.md, sections 6 and 8.
//
// A step number chooses an element's step: its own if there is a map, else its packet's.
#pragma once

#include "../include/fcmrt/check.h"
#include "elements.cuh"

namespace fcmrt::cuda {

FCMRT_DEVICE u32 step_of(const signed char* map, const i32* numbers, u32 packet, u64 at) {
  return u32(map ? i32(map[at]) : numbers[packet]) & (kStepNumbers - 1);
}

FCMRT_DEVICE void put_index(void* out, u32 bytes, u64 at, u32 index) {
  if (bytes == 1) {
    static_cast<u8*>(out)[at] = u8(index);
  } else {
    static_cast<u16*>(out)[at] = u16(index);
  }
}

// Symbols and clipped indexes (`clipped_bytes` each, 1 or 2) of values, in one pass. `grid` is the
// unit of the means. findings: [packets], set to 1 if the packet has NaN or infinity; or null.
FCMRT_KERNEL quantize(const float* values, const i32* means, float grid, const StepTable* steps,
                      const signed char* map, const i32* step_numbers, const void* indexes,
                      u32 index_bytes, const i32* shifts, const signed char* shift_map,
                      u32 table_count, u32 skip, const u32* elements, u32 capacity,
                      u32 chunk_size, i32* symbols, void* clipped, u32 clipped_bytes,
                      i32* findings) {
  const Indexes from = {indexes, index_bytes, shifts, shift_map, table_count};
  const Chunk chunk = chunk_of_block(elements, capacity, chunk_size);
  bool finite = true;
  for (u32 tile = chunk.begin; tile < chunk.end; tile += tile_size()) {
    const Strip strip(chunk, tile);
    u32 t[kPerThread];
    read_indexes(from, chunk, strip, t);
    FCMRT_UNROLL
    for (u32 j = 0; j < kPerThread; ++j) {
      if (!strip.has(j)) continue;
      const u64 at = chunk.row + strip.first + kWarp * j;
      const float inverse = steps->inverses[step_of(map, step_numbers, chunk.packet, at)];
      const i32 symbol = quantize_one(values[at], means ? means[at] : 0, grid, inverse);
      finite &= values[at] - values[at] == 0;
      symbols[at] = t[j] < skip ? 0 : symbol;
      put_index(clipped, clipped_bytes, at, t[j]);
    }
  }
  if (findings && !finite) atomicOr(findings + chunk.packet, 1);
}

FCMRT_KERNEL dequantize(const i32* symbols, const i32* means, u32 mean_shift,
                        const StepTable* steps, const signed char* map, const i32* step_numbers,
                        const u32* elements, u32 capacity, u32 chunk_size, float* values) {
  const Chunk chunk = chunk_of_block(elements, capacity, chunk_size);
  for (u32 p = chunk.begin + threadIdx.x; p < chunk.end; p += blockDim.x) {
    const u64 at = chunk.row + p;
    const u32 width = steps->widths[step_of(map, step_numbers, chunk.packet, at)];
    values[at] = dequantize_one(symbols[at], means ? means[at] : 0, mean_shift, width);
  }
}

FCMRT_KERNEL shift_indexes(const void* indexes, u32 index_bytes, const i32* shifts,
                           const signed char* shift_map, u32 table_count, const u32* elements,
                           u32 capacity, u32 chunk_size, void* clipped, u32 clipped_bytes) {
  const Indexes from = {indexes, index_bytes, shifts, shift_map, table_count};
  const Chunk chunk = chunk_of_block(elements, capacity, chunk_size);
  for (u32 tile = chunk.begin; tile < chunk.end; tile += tile_size()) {
    const Strip strip(chunk, tile);
    u32 t[kPerThread];
    read_indexes(from, chunk, strip, t);
    for (u32 j = 0; j < kPerThread; ++j) {
      const u64 at = chunk.row + strip.first + kWarp * j;
      if (strip.has(j)) put_index(clipped, clipped_bytes, at, t[j]);
    }
  }
}

// Adds the check of each row to its packet's. A sum modulo 2^32 does not depend on the order of its
// terms, so blocks may add in any order.
FCMRT_KERNEL add_checks(const i32* values, const u32* elements, u32 capacity, u32 chunk_size,
                        u32 salt, u32* checks) {
  FCMRT_SHARED(u32, sums, kMaxWarps);
  const Chunk chunk = chunk_of_block(elements, capacity, chunk_size);
  const u32 salted = fmix(salt + 1);
  u32 sum = 0;
  for (u32 p = chunk.begin + threadIdx.x; p < chunk.end; p += blockDim.x) {
    sum += check_term(values[chunk.row + p], p, salted);
  }
  sum = block_sum(sum, sums);
  if (threadIdx.x == 0) atomicAdd(checks + chunk.packet, sum);
}

}  // namespace fcmrt::cuda

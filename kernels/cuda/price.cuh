// What a packet would cost at other steps, for rate control, without running a network.
#pragma once

#include "../include/fcmrt/escape.h"
#include "events.cuh"
#include "values.cuh"

namespace fcmrt::cuda {

// Adds, for every candidate step number, the bits of a step of the schedule in units of 2^-8 to
// `bits`, [packets][candidates]: each element quantised and its index shifted by the candidate's
// number, the bytes of escapes included. The grid's third dimension is the candidates.
FCMRT_KERNEL price_steps(const float* values, const i32* means, float grid,
                         const StepTable* steps, const i32* candidates, const void* indexes,
                         u32 index_bytes, u32 table_count, u32 skip, const u32* elements,
                         u32 capacity, u32 chunk_size, const u8* table_bytes,
                         u32 word_bytes, unsigned long long* bits) {
  FCMRT_SHARED(u64, sums, kMaxWarps);
  const i32 number = candidates[blockIdx.z];
  const float inverse = steps->inverses[u32(number) & (kStepNumbers - 1)];
  const Indexes from = {indexes, index_bytes, nullptr, nullptr, table_count};
  const Tables tables = view_tables(table_bytes, table_count, word_bytes);
  const Chunk chunk = chunk_of_block(elements, capacity, chunk_size);
  u64 sum = 0;
  for (u32 tile = chunk.begin; tile < chunk.end; tile += tile_size()) {
    const Strip strip(chunk, tile);
    u32 unshifted[kPerThread];
    read_indexes(from, chunk, strip, unshifted);
    for (u32 j = 0; j < kPerThread; ++j) {
      const u32 t = shift_index(i32(unshifted[j]), number, table_count);
      if (!strip.has(j) || t < skip) continue;
      const u64 at = chunk.row + strip.first + kWarp * j;
      const i32 symbol = quantize_one(values[at], means ? means[at] : 0, grid, inverse);
      const Event event = find_symbol(tables, t, symbol);
      sum += event.entry.cost_q8;
      if (event.escapes) sum += 8 * 256 * escape_length(tables, t, symbol);
    }
  }
  sum = block_sum(sum, sums);
  if (threadIdx.x == 0) atomicAdd(bits + u64(chunk.packet) * gridDim.z + blockIdx.z,
                                  static_cast<unsigned long long>(sum));
}

}  // namespace fcmrt::cuda

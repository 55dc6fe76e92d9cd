// Which elements of a step are coded, for the decoder: two launches, count and list. The places come
// from prefix sums, so that they do not depend on the order in which blocks run.
#pragma once

#include "elements.cuh"
#include "status.cuh"

namespace fcmrt::cuda {

// Counts each chunk's coded elements. counts: [packets][chunks].
FCMRT_KERNEL count_coded(const void* indexes, u32 index_bytes, const i32* shifts,
                         const signed char* numbers, u32 table_count, u32 skip,
                         const u32* elements, u32 capacity, u32 chunk_size, u32* counts,
                         i32* status) {
  FCMRT_SHARED(u32, sums, kMaxWarps);
  const Indexes from = {indexes, index_bytes, shifts, numbers, table_count};
  const Chunk chunk = chunk_of_block(elements, capacity, chunk_size);
  u32 coded = 0;
  bool inside = true;
  for (u32 p = chunk.begin + threadIdx.x; p < chunk.end; p += blockDim.x) {
    const u32 t = index_at(from, chunk.packet, chunk.row + p);
    inside &= t < table_count;
    coded += t >= skip;
  }
  if (!inside) fail(status + chunk.packet, Status::index_out_of_range);
  const u32 total = block_sum(coded, sums);
  if (threadIdx.x == 0) counts[u64(chunk.packet) * gridDim.x + blockIdx.x] = total;
}

// Lists them: `tables` and `places` in the order of the elements, both [packets][capacity], and how
// many there are. Symbols of the others become 0. No places: all are coded, and stay where they are.
FCMRT_KERNEL list_coded(const void* indexes, u32 index_bytes, const i32* shifts,
                        const signed char* numbers, u32 table_count, u32 skip,
                        const u32* elements, u32 capacity, u32 chunk_size, const u32* counts,
                        u16* tables, u32* places, u32* coded, i32* symbols) {
  FCMRT_SHARED(u32, sums, kMaxWarps);
  const Indexes from = {indexes, index_bytes, shifts, numbers, table_count};
  const Chunk chunk = chunk_of_block(elements, capacity, chunk_size);
  const u32* const row = counts + u64(chunk.packet) * gridDim.x;
  u32 earlier = 0;
  for (u32 i = threadIdx.x; i < blockIdx.x; i += blockDim.x) earlier += row[i];
  u32 base = block_sum(earlier, sums);

  for (u32 tile = chunk.begin; tile < chunk.end; tile += kPerThread * blockDim.x) {
    const u32 first = tile + kPerThread * threadIdx.x;
    u32 t[kPerThread];
    u32 own = 0;
    for (u32 j = 0; j < kPerThread; ++j) {
      const bool there = first + j < chunk.end;
      t[j] = there ? index_at(from, chunk.packet, chunk.row + first + j) : 0;
      own += there && t[j] >= skip;
    }
    u32 all;
    u64 at = chunk.row + base + block_prefix(own, sums, all);
    for (u32 j = 0; j < kPerThread && first + j < chunk.end; ++j) {
      if (t[j] >= skip) {
        tables[at] = u16(t[j]);
        if (places) places[at] = first + j;
        ++at;
      } else {
        symbols[chunk.row + first + j] = 0;
      }
    }
    base += all;
  }
  if (blockIdx.x == gridDim.x - 1 && threadIdx.x == 0) coded[chunk.packet] = base;
}

}  // namespace fcmrt::cuda

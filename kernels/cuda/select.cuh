// Which elements of a step are coded, for the decoder: two launches, count and list. The places come
// from prefix sums, so that they do not depend on the order in which blocks run. If no element is
// skipped, there is nothing to count.
#pragma once

#include "elements.cuh"
#include "status.cuh"

namespace fcmrt::cuda {

// Counts each chunk's coded elements. counts: [packets][chunks].
FCMRT_KERNEL count_coded(const void* indexes, u32 index_bytes, const i32* shifts,
                         const signed char* numbers, u32 table_count, u32 skip,
                         const u32* elements, u32 capacity, u32 chunk_size, u32* counts) {
  FCMRT_SHARED(u32, sums, kMaxWarps);
  const Indexes from = {indexes, index_bytes, shifts, numbers, table_count};
  const Chunk chunk = chunk_of_block(elements, capacity, chunk_size);
  u32 coded = 0;
  for (u32 tile = chunk.begin; tile < chunk.end; tile += tile_size()) {
    const Strip strip(chunk, tile);
    u32 t[kPerThread];
    read_indexes(from, chunk, strip, t);
    FCMRT_UNROLL
    for (u32 j = 0; j < kPerThread; ++j) coded += strip.has(j) && t[j] >= skip;
  }
  const u32 total = block_sum(coded, sums);
  if (threadIdx.x == 0) counts[u64(chunk.packet) * gridDim.x + blockIdx.x] = total;
}

// Lists a strip's coded elements from `at` on, the calling warp's together; `places` as below.
FCMRT_DEVICE void list_strip(const Chunk& chunk, const Strip& strip, const u32 (&t)[kPerThread],
                             u32 skip, u64 at, u16* tables, u32* places, i32* symbols) {
  FCMRT_UNROLL
  for (u32 j = 0; j < kPerThread; ++j) {
    const bool is_coded = strip.has(j) && t[j] >= skip;
    const u32 coded = __ballot_sync(kWholeWarp, is_coded);
    const u64 own = at + __popc(coded & lanes_before(lane_of_thread()));
    const u32 place = strip.first + kWarp * j;
    if (is_coded) {
      tables[own] = u16(t[j]);
      places[own] = place;
    } else if (strip.has(j)) {
      symbols[chunk.row + place] = 0;
    }
    at += __popc(coded);
  }
}

// Lists the coded elements: `tables` and `places` in the order of the elements, both
// [packets][capacity], and their number. Symbols of the others become 0. With a skip of 0, all are
// coded and stay where they are, so there are no counts and places. A packet with an index out of
// range fails.
FCMRT_KERNEL list_coded(const void* indexes, u32 index_bytes, const i32* shifts,
                        const signed char* numbers, u32 table_count, u32 skip,
                        const u32* elements, u32 capacity, u32 chunk_size, const u32* counts,
                        u16* tables, u32* places, u32* coded, i32* symbols, i32* status) {
  FCMRT_SHARED(u32, sums, kMaxWarps);
  const Indexes from = {indexes, index_bytes, shifts, numbers, table_count};
  const Chunk chunk = chunk_of_block(elements, capacity, chunk_size);
  u32 base = chunk.begin;
  if (skip > 0) {
    const u32* const row = counts + u64(chunk.packet) * gridDim.x;
    u32 earlier = 0;
    for (u32 i = threadIdx.x; i < blockIdx.x; i += blockDim.x) earlier += row[i];
    base = block_sum(earlier, sums);
  }
  bool inside = true;
  for (u32 tile = chunk.begin; tile < chunk.end; tile += tile_size()) {
    const Strip strip(chunk, tile);
    u32 t[kPerThread];
    read_indexes(from, chunk, strip, t);
    u32 own = 0;
    FCMRT_UNROLL
    for (u32 j = 0; j < kPerThread; ++j) {
      inside &= t[j] < table_count;
      own += strip.has(j) && t[j] >= skip;
    }
    u32 all = 0;
    if (skip > 0) {
      const u32 before = __shfl_sync(kWholeWarp, block_prefix(own, sums, all), 0);
      list_strip(chunk, strip, t, skip, chunk.row + base + before, tables, places, symbols);
    } else {
      write_strip(tables + chunk.row, strip, t);
    }
    base += all;
  }
  if (!inside) fail(status + chunk.packet, Status::index_out_of_range);
  if (blockIdx.x == gridDim.x - 1 && threadIdx.x == 0) {
    coded[chunk.packet] = skip > 0 ? base : elements[chunk.packet];
  }
}

}  // namespace fcmrt::cuda

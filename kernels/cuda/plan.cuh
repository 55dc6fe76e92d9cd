// Chooses lanes and segments of each packet from what counting its events gave.
#pragma once

#include "../include/fcmrt/layout.h"
#include "events.cuh"

namespace fcmrt::cuda {

// One block does one packet. chunk_firsts: [steps + 1], the steps' first chunks; coded:
// [packets][steps]. If forced_lanes is not 0, it and forced_segments are taken instead. A packet with
// more than max_segments has no room in the buffers, and fails.
FCMRT_KERNEL plan_packets(const Counted* counted, const u32* chunk_firsts, u32 steps,
                          u32 overhead_permille, u32 min_lanes, u32 forced_lanes,
                          u32 forced_segments, u32 max_segments, u32* coded, u32* escape_bytes,
                          u32* lanes, u32* segments, i32* status) {
  FCMRT_SHARED(u32, sums, kMaxWarps);
  FCMRT_SHARED(u64, wide_sums, kMaxWarps);
  const u32 packet = blockIdx.x;
  const Counted* const row = counted + u64(packet) * chunk_firsts[steps];
  u32 largest = 0, bytes = 0;
  u64 cost = 0;
  bool failed = false;
  for (u32 k = 0; k < steps && !failed; ++k) {
    u32 own_coded = 0, own_bytes = 0;
    u64 own_cost = 0;
    u32 mistaken = 0;  // the complement of the first chunk with a mistake
    for (u32 i = chunk_firsts[k] + threadIdx.x; i < chunk_firsts[k + 1]; i += blockDim.x) {
      own_coded += row[i].coded;
      own_bytes += row[i].escape_bytes;
      own_cost += row[i].cost_q8;
      if (row[i].mistake != kNoMistake && mistaken == 0) mistaken = ~i;
    }
    const u32 m = block_sum(own_coded, sums);
    bytes += block_sum(own_bytes, sums);
    cost += block_sum(own_cost, wide_sums);
    if (m > largest) largest = m;
    if (threadIdx.x == 0) coded[packet * steps + k] = m;

    mistaken = block_max(mistaken, sums);
    failed = mistaken != 0;
    if (failed && threadIdx.x == 0) {
      fail(status + packet, Status(row[~mistaken].mistake & ((1u << kMistakeBits) - 1)));
    }
  }
  if (threadIdx.x != 0) return;
  Layout layout = choose_layout(cost >> 11, largest, overhead_permille, min_lanes);
  if (forced_lanes != 0) layout = {forced_lanes, forced_segments};
  if (layout.segments > max_segments) fail(status + packet, Status::segments_size);
  lanes[packet] = layout.lanes;
  segments[packet] = layout.segments;
  escape_bytes[packet] = bytes;
}

}  // namespace fcmrt::cuda

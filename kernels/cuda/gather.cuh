// Putting a packet's parts together: states and words of its segments, then its escapes.
#pragma once

#include "packets.cuh"

namespace fcmrt::cuda {

// Bytes that a segment takes.
FCMRT_DEVICE u32 segment_bytes(Words where, u32 lanes) {
  return 4 * lanes + 2 * (where.end - where.next);
}

FCMRT_DEVICE void copy_bytes(u8* to, const u8* from, u32 count) {
  for (u32 i = threadIdx.x; i < count; i += blockDim.x) to[i] = from[i];
}

// Block `s` of a column takes segment `s` of its packet, and the last block the escapes. `out` is
// [packets][out_capacity]; a packet begins at `begins[packet]` of its row, or at 0 without `begins`.
// sizes: [packets], of segments and escapes; word_counts: [packets][max_segments].
FCMRT_KERNEL gather_packets(const u32* lanes, const u32* segments, u32 max_segments,
                            const u32* states, const u16* words, u64 event_capacity,
                            const Words* word_places, const u8* escapes, u64 escape_capacity,
                            const u32* escape_bytes, const u32* begins, u8* out,
                            u64 out_capacity, u32* sizes, u32* word_counts, const i32* status) {
  FCMRT_SHARED(u32, sums, kMaxWarps);
  const u32 packet = blockIdx.y, own = blockIdx.x, count = segments[packet];
  const bool is_last = own == gridDim.x - 1;
  if ((own >= count && !is_last) || !was_well(status + packet)) return;
  const u32 own_lanes = lanes[packet];
  const Words* const places = word_places + u64(packet) * max_segments;
  u32 bytes = 0;
  const u32 earlier = own < count ? own : count;
  for (u32 s = threadIdx.x; s < earlier; s += blockDim.x) {
    bytes += segment_bytes(places[s], own_lanes);
  }
  const u32 at = block_sum(bytes, sums);
  u8* const to = out + packet * out_capacity + (begins ? begins[packet] : 0) + at;
  if (is_last) {
    copy_bytes(to, escapes + packet * escape_capacity, escape_bytes[packet]);
    if (threadIdx.x == 0) sizes[packet] = at + escape_bytes[packet];
    return;
  }
  const u32* const first = states + (u64(packet) * max_segments + own) * kMaxLanes;
  for (u32 lane = threadIdx.x; lane < own_lanes; lane += blockDim.x) {
    store_u32(to + 4 * lane, first[lane]);
  }
  const Words where = places[own];
  const u16* const from = words + packet * event_capacity + where.next;
  u8* const behind = to + 4 * own_lanes;
  const u32 own_words = where.end - where.next;
  for (u32 i = threadIdx.x; i < own_words; i += blockDim.x) store_u16(behind + 2 * i, from[i]);
  if (threadIdx.x == 0) word_counts[u64(packet) * max_segments + own] = own_words;
}

}  // namespace fcmrt::cuda

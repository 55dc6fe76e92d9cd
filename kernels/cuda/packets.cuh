// The beginning and the end of decoding: payloads become states and words; states become the check.
//
// A batch's payloads lie in one buffer, each at an even offset. One warp does one packet.
#pragma once

#include "seats.cuh"

namespace fcmrt::cuda {

// Where a segment's words are, among all words of a buffer.
struct Words {
  u32 next;
  u32 end;
};

// The packet of the calling warp, in a launch of one warp each.
FCMRT_DEVICE u32 packet_of_warp() {
  return blockIdx.x * (blockDim.x / kWarp) + warp_of_thread();
}

// Finds the segments of each payload. states: [packets * max_segments][32]; words: one for each
// segment; word_counts: [packets][max_segments].
FCMRT_KERNEL open_packets(const u8* payloads, const u32* payload_at, const u32* payload_bytes,
                          const u32* lanes, const u32* segments, const u32* word_counts,
                          u32 packets, u32 max_segments, u32* states, Words* words, i32* status) {
  const u32 packet = packet_of_warp();
  if (packet >= packets) return;
  const u32 own_lanes = lanes[packet], count = segments[packet];
  const bool known = own_lanes >= 1 && own_lanes <= kMaxLanes && (own_lanes & (own_lanes - 1)) == 0;
  if (!known || count < 1 || count > max_segments) {
    if (lane_of_thread() == 0) fail(status + packet, Status::segments_size);
    return;
  }
  u64 total = 0;  // bytes of the segments so far
  bool fits = true, small = false;
  for (u32 first = 0; first < count; first += kWarp) {
    const u32 s = first + lane_of_thread();
    const u32 number = packet * max_segments + s;
    const u64 own = s < count ? 4 * u64(own_lanes) + 2 * u64(word_counts[number]) : 0;
    const u64 end = total + warp_prefix(own);
    total = __shfl_sync(kWholeWarp, end, kWarp - 1);
    fits &= end <= payload_bytes[packet];
    if (s >= count || !fits) continue;
    const u32 begin = payload_at[packet] + u32(end - own);
    for (u32 lane = 0; lane < own_lanes; ++lane) {
      const u32 state = load_u32(payloads + begin + 4 * lane);
      states[u64(number) * kMaxLanes + lane] = state;
      small |= state < kStateMin;
    }
    words[number] = {begin / 2 + 2 * own_lanes, payload_at[packet] / 2 + u32(end / 2)};
  }
  const bool small_somewhere = __ballot_sync(kWholeWarp, small) != 0;
  if (lane_of_thread() != 0) return;
  if (total != payload_bytes[packet]) {
    fail(status + packet, Status::segments_size);
  } else if (small_somewhere) {
    fail(status + packet, Status::state_too_small);
  }
}

// Ends each packet: all is used, every lane is where an encoder started, and the seeds are the check.
FCMRT_KERNEL close_packets(const u32* lanes, const u32* segments, u32 packets, u32 max_segments,
                           const u32* states, const Words* words, const u32* escape_next,
                           const u32* escape_end, u32* checks, i32* status) {
  const u32 packet = packet_of_warp();
  if (packet >= packets || !was_well(status + packet)) return;
  const u32 own_lanes = lanes[packet];
  bool used = true, seeded = true;
  for (u32 s = lane_of_thread(); s < segments[packet]; s += kWarp) {
    const u32 number = packet * max_segments + s;
    used &= words[number].next == words[number].end;
    for (u32 lane = 0; lane < own_lanes; ++lane) {
      const u32 seed = states[u64(number) * kMaxLanes + lane] - kStateMin;
      seeded &= seed <= (s == 0 && lane < 2 ? 0xFFFFu : 0u);
    }
  }
  used = __ballot_sync(kWholeWarp, used) == kWholeWarp;
  seeded = __ballot_sync(kWholeWarp, seeded) == kWholeWarp;
  __syncwarp();  // all lanes have read the status
  if (lane_of_thread() != 0) return;
  if (!used) return fail(status + packet, Status::words_left);
  if (!seeded) return fail(status + packet, Status::seed_nonzero);
  if (escape_next[packet] != escape_end[packet]) return fail(status + packet, Status::escapes_left);
  const u32* const first = states + u64(packet) * max_segments * kMaxLanes;
  const u32 high = own_lanes > 1 ? first[1] - kStateMin : 0;
  checks[packet] = (first[0] - kStateMin) | high << 16;
}

// Fails each packet whose check (`told`) is not that of its decoded integers (`found`). With one lane a
// packet carries only 16 bits, to which the 32 are folded. One thread does one packet.
FCMRT_KERNEL compare_checks(const u32* told, const u32* found, const u32* lanes, u32 packets,
                            i32* status) {
  const u32 packet = blockIdx.x * blockDim.x + threadIdx.x;
  if (packet >= packets || !was_well(status + packet)) return;
  const u32 check = found[packet];
  const u32 folded = lanes[packet] == 1 ? (check ^ check >> 16) & 0xFFFF : check;
  if (told[packet] != folded) fail(status + packet, Status::check_differs);
}

}  // namespace fcmrt::cuda

// Values of a step's escapes, for the decoder. One warp does one packet.
//
// A value ends at the first byte below 0x80, so the k-th escape's value ends at the k-th such byte. 32
// bytes are read together, and each lane with the last byte of a value reads that value.
#pragma once

#include "../include/fcmrt/escape.h"
#include "packets.cuh"
#include "tables.cuh"

namespace fcmrt::cuda {

// Reads the values of all escapes that the step's segments have noted, and moves escape_next behind
// them.
FCMRT_KERNEL resolve_escapes(const u8* tables, const u16* indexes, const u32* places,
                             const u32* coded, u32 capacity, i32* symbols, const u32* escapes,
                             const u32* escape_counts, const u32* segments, u32 max_segments,
                             const u8* sections, u32* escape_next, const u32* escape_end,
                             i32* status) {
  FCMRT_SHARED(u32, ends, kMaxSegments);  // escapes of the segments up to each
  const u32 packet = blockIdx.x, lane = lane_of_thread();
  if (!was_well(status + packet)) return;
  const u32 count = segments[packet];
  u32 total = 0;
  for (u32 first = 0; first < count; first += kWarp) {
    const u32 s = first + lane;
    const u32 own = s < count ? escape_counts[packet * max_segments + s] : 0;
    const u32 end = total + warp_prefix(own);
    if (s < count) ends[s] = end;
    total = __shfl_sync(kWholeWarp, end, kWarp - 1);
  }
  __syncwarp();
  if (total == 0) return;

  const Tables known = view_tables(tables, 0, 0);  // ranges are all that is needed
  const u64 row = u64(packet) * capacity;
  const u32 section_end = escape_end[packet];
  // Reads escape `e` from the byte at `begin`.
  const auto read = [&](u32 e, u32 begin) {
    u32 s = 0;
    for (u32 half = kMaxSegments / 2; half > 0; half /= 2) {
      if (s + half <= count && ends[s + half - 1] <= e) s += half;
    }
    const u64 share = row + share_begin(coded[packet], s, count);
    const u32 number = escapes[share + e - (s > 0 ? ends[s - 1] : 0)];
    const u8* next = sections + begin;
    i32 value = 0;
    const Status found =
        take_escape(known.range(indexes[row + number]), next, sections + section_end, value);
    if (found == Status::ok) symbols[row + (places ? places[row + number] : number)] = value;
    return u32(found);
  };

  u32 begin = escape_next[packet];  // of the first value that is not yet read
  u32 done = 0;
  u32 failure = 0;
  for (u32 at = begin; done < total && failure == 0 && at < section_end; at += kWarp) {
    const bool last = at + lane < section_end && sections[at + lane] < 0x80;
    const u32 lasts = __ballot_sync(kWholeWarp, last);
    const u32 earlier = lasts & lanes_before(lane);
    const u32 e = done + __popc(earlier);
    u32 found = 0;
    if (last && e < total) found = read(e, earlier ? at + kWarp - __clz(earlier) : begin);
    const u32 failing = __ballot_sync(kWholeWarp, found != 0);
    if (failing) failure = __shfl_sync(kWholeWarp, found, __ffs(failing) - 1);
    const u32 used = __ballot_sync(kWholeWarp, last && e < total);
    if (used) begin = at + kWarp - __clz(used);
    done += __popc(used);
  }
  __syncwarp();  // all lanes have read the status, and where the section goes on
  if (lane != 0) return;
  // What is left of the section has no end of a value.
  if (failure == 0 && done < total) failure = read(done, begin);
  if (failure != 0) return fail(status + packet, Status(failure));
  escape_next[packet] = begin;
}

}  // namespace fcmrt::cuda

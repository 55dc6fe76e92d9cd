// Which lanes of which warp code which segment.
//
// Segments are seated by falling numbers of lanes: those of 32 lanes first, a warp each, then those
// of 16, two to a warp, and so on. So every segment's lanes are neighbours in one warp, and only the
// last warp of all has empty seats. Which segments there are is read on the device; a launch has
// warps for the most that there can be, and those without work leave.
//
// Segment `s` of packet `b` has the number `b * max_segments + s`.
#pragma once

#include "../include/fcmrt/rans.h"
#include "status.cuh"

namespace fcmrt::cuda {

constexpr u32 kKinds = 6;  // of segments, by lanes: 32, 16, 8, 4, 2, 1
FCMRT_DEVICE u32 lanes_of_kind(u32 kind) { return kMaxLanes >> kind; }

// Lists the segments of all packets, one block in all. firsts: [kKinds + 1], where in `seated` each
// kind begins. Packets that failed have none.
FCMRT_KERNEL seat_segments(const u32* lanes, const u32* segments, const i32* status, u32 packets,
                           u32 max_segments, u32* firsts, u32* seated) {
  FCMRT_SHARED(u32, sums, kMaxWarps);
  u32 next = 0;
  for (u32 kind = 0; kind < kKinds; ++kind) {
    if (threadIdx.x == 0) firsts[kind] = next;
    for (u32 tile = 0; tile < packets; tile += blockDim.x) {
      const u32 packet = tile + threadIdx.x;
      const bool own = packet < packets && lanes[packet] == lanes_of_kind(kind) &&
                       was_well(status + packet);
      const u32 count = own ? segments[packet] : 0;
      u32 all;
      const u32 at = next + block_prefix(count, sums, all);
      for (u32 s = 0; s < count; ++s) seated[at + s] = packet * max_segments + s;
      next += all;
    }
  }
  if (threadIdx.x == 0) firsts[kKinds] = next;
}

// A segment's part of a step: its first coded symbol, and how many there are.
struct Share {
  u32 begin;
  u32 count;
};

FCMRT_DEVICE Share share_of(u32 m, u32 s, u32 segments) {
  const u32 begin = u32(share_begin(m, s, segments));
  return {begin, u32(share_begin(m, s + 1, segments)) - begin};
}

struct Seat {
  bool taken;
  u32 segment;  // its number
  u32 packet;
  u32 lanes;    // of the segment
  u32 lane;     // among them
};

// Finds the seat of the calling thread.
FCMRT_DEVICE Seat find_seat(const u32* firsts, const u32* seated, u32 max_segments) {
  u64 place = u64(blockIdx.x) * blockDim.x + threadIdx.x;
  for (u32 kind = 0; kind < kKinds; ++kind) {
    const u32 lanes = lanes_of_kind(kind);
    const u32 count = firsts[kind + 1] - firsts[kind];
    if (place < u64(count) * lanes) {
      const u32 segment = seated[firsts[kind] + u32(place) / lanes];
      return {true, segment, segment / max_segments, lanes, u32(place) % lanes};
    }
    place -= u64(count) * lanes;
  }
  return {false, 0, 0, 1, 0};
}

// Whether no thread of the calling block has a seat.
FCMRT_DEVICE bool block_is_empty(const u32* firsts) {
  u64 places = 0;
  for (u32 kind = 0; kind < kKinds; ++kind) {
    places += u64(firsts[kind + 1] - firsts[kind]) * lanes_of_kind(kind);
  }
  return u64(blockIdx.x) * blockDim.x >= places;
}

// Segments are coded in rounds, a symbol for each lane, and in blocks of this many rounds: what a block
// needs is read while earlier ones are coded. Loops over its rounds are unrolled, since a value that is
// still being loaded cannot move to another register without a wait.
constexpr u32 kBlock = 4;

// A segment's lanes within a vote of the whole warp.
struct Group {
  u32 lanes;
  u32 lane;  // of the calling thread, among them
  u32 shift;
  u32 mask;

  FCMRT_METHOD explicit Group(const Seat& seat)
      : lanes(seat.lanes),
        lane(seat.lane),
        shift(lane_of_thread() - seat.lane),
        mask(kWholeWarp >> (kWarp - seat.lanes)) {}

  // What a vote of the whole warp says about the segment's lanes; bit 0 is its lane 0.
  FCMRT_METHOD u32 own(u32 votes) const { return votes >> shift & mask; }

  // The thread of lane `n` modulo their number.
  FCMRT_METHOD u32 thread_of(u32 n) const { return shift + (n & (lanes - 1)); }
};

// The same for a segment that has a warp for itself.
struct WholeWarp {
  static constexpr u32 lanes = kWarp;
  u32 lane;

  FCMRT_METHOD u32 own(u32 votes) const { return votes; }
  FCMRT_METHOD u32 thread_of(u32 n) const { return n; }
};

}  // namespace fcmrt::cuda

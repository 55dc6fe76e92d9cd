// Encoding all steps of all segments, a warp for every 32 lanes: backwards, from the last step's last
// symbol to the first one's first.
#pragma once

#include "ahead.cuh"
#include "packets.cuh"
#include "tables.cuh"

namespace fcmrt::cuda {

// Rounds that events are read ahead, and then what they need of the table of reciprocals.
constexpr u32 kEventsAhead = 8;
constexpr u32 kReciprocalsAhead = 4;

// First event of a segment among those of a step, and how many there are.
struct Share {
  u32 begin;
  u32 count;
};

FCMRT_DEVICE Share share_of(u32 m, u32 s, u32 segments) {
  const u32 begin = u32(share_begin(m, s, segments));
  return {begin, u32(share_begin(m, s + 1, segments)) - begin};
}

// Segments write their words, from the end, into a row of `words` as long as that of the events: a
// symbol takes no more than one. `reciprocals`: encode_reciprocal of each frequency.
FCMRT_KERNEL encode_segments(const u32* events, u64 event_capacity, const u32* event_firsts,
                             const u32* coded, u32 steps, const u64* reciprocals,
                             const u32* checks, const u32* firsts, const u32* seated,
                             const u32* segments, u32 max_segments, u32* states, u16* words,
                             Words* word_places) {
  if (block_is_empty(firsts)) return;
  const Seat seat = find_seat(firsts, seated, max_segments);
  const Group group(seat);
  const u32 before = lanes_before(seat.lane);
  const u32 s = seat.segment - seat.packet * max_segments;
  const u32 own_segments = seat.taken ? segments[seat.packet] : 1;
  const u32* const own_coded = coded + u64(seat.packet) * steps;

  u32 state = 0;
  u32 room = 0;  // end of the segment's words, within the row
  if (seat.taken) {
    state = kStateMin + seed_of(checks[seat.packet], seat.lanes, s, seat.lane);
    for (u32 k = 0; k < steps; ++k) room += u32(share_begin(own_coded[k], s + 1, own_segments));
  }
  u32 next = room;
  u16* const row = words + seat.packet * event_capacity;

  for (u32 k = steps; k-- > 0;) {
    const Share share = seat.taken ? share_of(own_coded[k], s, own_segments) : Share{0, 0};
    const u32* const own =
        events + seat.packet * event_capacity + event_firsts[k] + share.begin;
    const u32 rounds = warp_max((share.count + seat.lanes - 1) / seat.lanes);
    // The event of the round before `after`; before the first one they are nothing.
    const auto load = [&](u32 after) {
      const u32 i = (after - 1) * seat.lanes + seat.lane;
      return after >= 1 && i < share.count ? own[i] : 0u;
    };
    const auto before_by = [](u32 round, u32 by) { return round > by ? round - by : 0; };
    Ahead<u32, kEventsAhead> coming([&](u32 j) { return load(before_by(rounds, j)); });
    Ahead<u64, kReciprocalsAhead> inverses(
        [&](u32 j) { return reciprocals[event_freq(coming[j])]; });
    for (u32 round = rounds; round-- > 0;) {
      const bool active = round * seat.lanes + seat.lane < share.count;
      const u32 freq = event_freq(coming[0]), cum = event_cum(coming[0]);
      const u64 reciprocal = inverses[0];
      coming.advance(load(before_by(round + 1, kEventsAhead)));
      inverses.advance(reciprocals[event_freq(coming[kReciprocalsAhead - 1])]);

      const bool full = active && encode_needs_word(state, freq);
      const u32 givers = group.vote(full);
      next -= __popc(givers);
      if (full) {
        row[next + __popc(givers & before)] = u16(state);
        state >>= 16;
      }
      if (active) state = encode_step(state, reciprocal, freq, cum);
    }
  }
  if (!seat.taken) return;
  states[u64(seat.segment) * kMaxLanes + seat.lane] = state;
  if (seat.lane == 0) word_places[seat.segment] = {next, room};
}

}  // namespace fcmrt::cuda

// Encodes all steps of all segments, a warp for every 32 lanes, backwards: from the last step's last
// symbol to the first step's first.
#pragma once

#include "packets.cuh"
#include "tables.cuh"

namespace fcmrt::cuda {

// The quotient x / freq, or one less. `reciprocal` is 2^(32 + s) / freq, rounded down and limited to
// 2^32 - 1, where s is the binary logarithm of freq, rounded down. So 2^(32 + s) / freq exceeds it by
// at most one; and as x / 2^(32 + s) is less than one, the product is too small by less than one.
FCMRT_DEVICE u32 near_quotient(u32 x, u32 freq, u32 reciprocal) {
  return u32(u64(x) * reciprocal >> 32) >> (31 - __clz(freq));
}

// encode_step with it.
FCMRT_DEVICE u32 encode_step_near(u32 x, u32 reciprocal, u32 freq, u32 cum) {
  const u32 quotient = near_quotient(x, freq, reciprocal);
  const u32 state = x + cum + quotient * (kProbScale - freq);
  return x - quotient * freq >= freq ? state + (kProbScale - freq) : state;
}

// One lane of a segment, which goes back through the steps. Events are read two blocks ahead, and
// their reciprocals one block ahead.
class LaneEncoder {
 public:
  // The segment's words go before `words`. `reciprocals`: of each frequency, for near_quotient.
  FCMRT_METHOD LaneEncoder(const u32* reciprocals, u16* words, u32 state, u32 lane)
      : reciprocals_(reciprocals), words_(words), state_(state), before_(lanes_before(lane)) {}

  FCMRT_METHOD u32 state() const { return state_; }
  FCMRT_METHOD const u16* words() const { return words_; }

  // Reads what a step needs before the block before `block` is encoded.
  template <class Lanes>
  FCMRT_METHOD void begin(const Lanes& group, const u32* events, u32 count, u32 block) {
    events_ = events;
    count_ = count;
    load<true>(group, earlier(block, 1), own_);
    load<true>(group, earlier(block, 2), next_events_);
    look_up(own_, inverses_);
  }

  // Encodes the blocks before `block`, back to `end`. Not `checked`: all lanes have all their events.
  template <bool checked, class Lanes>
  FCMRT_METHOD void encode(const Lanes& group, u32 block, u32 end) {
    while (block > end) {
      u32 coming[kBlock];
      u32 next_inverses[kBlock];
      load<checked>(group, earlier(block, 3), coming);
      look_up(next_events_, next_inverses);
      --block;
      FCMRT_UNROLL
      for (u32 j = kBlock; j-- > 0;) {
        const u32 i = (block * kBlock + j) * group.lanes + group.lane;
        round(group, !checked || i < count_, own_[j], inverses_[j]);
      }
      FCMRT_UNROLL
      for (u32 j = 0; j < kBlock; ++j) {
        own_[j] = next_events_[j];
        next_events_[j] = coming[j];
        inverses_[j] = next_inverses[j];
      }
    }
  }

 private:
  // The block `by` before, or else the first one, whose events are then read without being used.
  FCMRT_METHOD static u32 earlier(u32 block, u32 by) { return block > by ? block - by : 0; }

  // Events that are not there are 0.
  template <bool checked, class Lanes>
  FCMRT_METHOD void load(const Lanes& group, u32 block, u32 (&events)[kBlock]) const {
    const u32 first = block * kBlock * group.lanes + group.lane;
    const u32* const at = events_ + first;
    FCMRT_UNROLL
    for (u32 j = 0; j < kBlock; ++j) {
      const u32 ahead = j * group.lanes;
      events[j] = !checked || first + ahead < count_ ? at[ahead] : 0;
    }
  }

  FCMRT_METHOD void look_up(const u32 (&events)[kBlock], u32 (&inverses)[kBlock]) const {
    FCMRT_UNROLL
    for (u32 j = 0; j < kBlock; ++j) inverses[j] = reciprocals_[event_freq(events[j])];
  }

  template <class Lanes>
  FCMRT_METHOD void round(const Lanes& group, bool active, u32 event, u32 reciprocal) {
    const u32 freq = event_freq(event);
    const bool full = active && encode_needs_word(state_, freq);
    const u32 givers = group.own(__ballot_sync(kWholeWarp, full));
    words_ -= __popc(givers);
    if (full) {
      words_[__popc(givers & before_)] = u16(state_);
      state_ >>= 16;
    }
    if (active) state_ = encode_step_near(state_, reciprocal, freq, event_cum(event));
  }

  const u32* reciprocals_;
  u16* words_;  // the last that was written
  u32 state_;
  u32 before_;
  const u32* events_ = nullptr;
  u32 count_ = 0;
  u32 own_[kBlock];
  u32 next_events_[kBlock];
  u32 inverses_[kBlock];
};

// Segments write their words, from the end, into a row of `words` as long as that of the events: a
// symbol takes no more than one. `reciprocals`: of each frequency, for near_quotient.
FCMRT_KERNEL encode_segments(const u32* events, u64 event_capacity, const u32* event_firsts,
                             const u32* coded, u32 steps, const u32* reciprocals,
                             const u32* checks, const u32* firsts, const u32* seated,
                             const u32* segments, u32 max_segments, u32* states, u16* words,
                             Words* word_places) {
  if (block_is_empty(firsts)) return;
  const Seat seat = find_seat(firsts, seated, max_segments);
  const Group group(seat);
  const u32 s = seat.segment - seat.packet * max_segments;
  const u32 own_segments = seat.taken ? segments[seat.packet] : 1;
  const u32* const own_coded = coded + u64(seat.packet) * steps;

  u32 state = 0;
  u32 room = 0;  // end of the segment's words, within the row
  if (seat.taken) {
    state = kStateMin + seed_of(checks[seat.packet], seat.lanes, s, seat.lane);
    for (u32 k = 0; k < steps; ++k) room += u32(share_begin(own_coded[k], s + 1, own_segments));
  }
  const u64 row = seat.packet * event_capacity;
  u16* const end = words + row + room;
  LaneEncoder lane(reciprocals, end, state, seat.lane);
  const bool alone = warp_max(seat.lanes == kWarp ? 0 : 1) == 0;
  const u32 block = kBlock * seat.lanes;
  for (u32 k = steps; k-- > 0;) {
    const Share share = seat.taken ? share_of(own_coded[k], s, own_segments) : Share{0, 0};
    const u32 blocks = warp_max((share.count + block - 1) / block);
    lane.begin(group, events + row + event_firsts[k] + share.begin, share.count, blocks);
    // Blocks that leave no lane without an event; a segment's only.
    const u32 full = warp_max(alone ? share.count / block : 0);
    lane.encode<true>(group, blocks, full);
    lane.encode<false>(WholeWarp{seat.lane}, full, 0);
  }
  if (!seat.taken) return;
  states[u64(seat.segment) * kMaxLanes + seat.lane] = lane.state();
  if (seat.lane == 0) word_places[seat.segment] = {room - u32(end - lane.words()), room};
}

}  // namespace fcmrt::cuda

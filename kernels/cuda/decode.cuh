// Decodes one step of all segments, a warp for every 32 lanes.
#pragma once

#include "tables.cuh"
#include "words.cuh"

namespace fcmrt::cuda {

// One step of all packets; rows as in elements.cuh.
struct DecodeStep {
  const u16* indexes;  // of the coded symbols: [packets][capacity]
  const u32* places;   // among the elements; null: their own
  const u32* coded;    // [packets]
  u32 capacity;
  i32* symbols;        // [packets][capacity]
  u32* escapes;        // numbers of coded symbols; a segment's begin where its share does
  u32* escape_counts;  // of each segment
};

struct DecodePackets {
  const u16* words;
  const u32* firsts;
  const u32* seated;
  const u32* segments;
  u32 max_segments;
  u32* states;
  Words* places;
  i32* status;
};

// One lane of a segment, which goes through its share of a step.
template <class Hint, bool placed>
class LaneDecoder {
 public:
  // `first`: the first element of the packet's row; `share`: the segment's.
  FCMRT_METHOD LaneDecoder(const u32* tables, const DecodeStep& step, u64 first, Share share,
                           u32 state, const WordWindow& words, u32 lane)
      : tables_(tables),
        indexes_(step.indexes + first + share.begin),
        places_(placed ? step.places + first + share.begin : nullptr),
        symbols_(step.symbols + first + (placed ? 0 : share.begin)),
        escapes_(step.escapes + first + share.begin),
        begin_(share.begin),
        count_(share.count),
        before_(lanes_before(lane)),
        state_(state),
        words_(words) {}

  FCMRT_METHOD u32 state() const { return state_; }
  FCMRT_METHOD u32 escaped() const { return escaped_; }
  FCMRT_METHOD const WordWindow& words() const { return words_; }

  // Reads what block `number` needs.
  template <class Lanes>
  FCMRT_METHOD void begin(const Lanes& group, u32 number) {
    const u32 first = number * kBlock * group.lanes + group.lane;
    FCMRT_UNROLL
    for (u32 j = 0; j < kBlock; ++j) {
      own_[j] = load(first + j * group.lanes < count_, first + u64(j) * group.lanes);
    }
    head_ = heads_of(tables_)[own_[0].index];
  }

  // Decodes the blocks from `block` to before `end`. `begin` has read the first one's needs; this
  // reads those of the block at `end`. Not `checked`: all lanes have symbols up to there.
  template <bool checked, class Lanes>
  FCMRT_METHOD void decode(const Lanes& group, u32 block, u32 end) {
    for (; block < end; ++block) {
      const u32 first = block * kBlock * group.lanes + group.lane;
      const u64 at = first;
      Coming next[kBlock];
      FCMRT_UNROLL
      for (u32 j = 0; j < kBlock; ++j) {
        const u32 ahead = (kBlock + j) * group.lanes;
        next[j] = load(!checked || first + ahead < count_, at + ahead);
      }
      u32 escapes = 0;
      FCMRT_UNROLL
      for (u32 j = 0; j < kBlock; ++j) {
        const u32 i = first + j * group.lanes;
        const u32 next_index = j + 1 < kBlock ? own_[j + 1].index : next[0].index;
        const u64 place = placed ? own_[j].place : at + j * group.lanes;
        escapes |= round(group, !checked || i < count_, place, next_index) << j;
      }
      note(group, escapes, first);
      FCMRT_UNROLL
      for (u32 j = 0; j < kBlock; ++j) own_[j] = next[j];
    }
  }

 private:
  // A coded symbol that is still to be decoded.
  struct Coming {
    u32 index;
    u32 place;
  };

  FCMRT_METHOD Coming load(bool active, u64 at) const {
    if (!active) return {0, 0};
    return {indexes_[at], placed ? places_[at] : 0};
  }

  // Decodes a symbol whose table's head is in `head_`, and loads that of the next one. Returns whether
  // it is an escape.
  template <class Lanes>
  FCMRT_METHOD u32 round(const Lanes& group, bool active, u64 place, u32 next_index) {
    const u32 slot = decode_slot(state_);
    Found found = find_event<Hint>(tables_, head_, slot);
    u32 state = decode_step_within(state_, found.freq(), found.within());
    bool needs = decode_needs_word(state);  // before it is known if it is right, which it mostly is
    if (found.behind()) {
      found = go_on(tables_, found, slot);
      state = decode_step_within(state_, found.freq(), found.within());
      needs = decode_needs_word(state);
    }
    if (active) {
      state_ = state;
      symbols_[place] = head_.offset + i32(found.at);  // an escape's value comes later
    }
    needs &= active;
    head_ = heads_of(tables_)[next_index];
    const u32 takers = group.own(__ballot_sync(kWholeWarp, needs));
    const u32 ahead = words_.used() + __popc(takers & before_);
    const u32 pair = words_.pair_of(group, ahead);
    words_.skip(group, __popc(takers));
    if (needs) state_ = take_half(state_, pair, ahead >= group.lanes);
    return active ? found.escapes() : 0;
  }

  // Notes a block's escapes: bit j of `escapes` for round j, whose symbol is `first` + j * lanes.
  template <class Lanes>
  FCMRT_METHOD void note(const Lanes& group, u32 escapes, u32 first) {
    if (__ballot_sync(kWholeWarp, escapes != 0) == 0) return;
    for (u32 j = 0; j < kBlock; ++j) {
      const bool own = (escapes >> j & 1) != 0;
      const u32 escapers = group.own(__ballot_sync(kWholeWarp, own));
      if (own) escapes_[escaped_ + __popc(escapers & before_)] = begin_ + first + j * group.lanes;
      escaped_ += __popc(escapers);
    }
  }

  const u32* tables_;
  const u16* indexes_;
  const u32* places_;
  i32* symbols_;
  u32* escapes_;
  u32 begin_;
  u32 count_;
  u32 before_;
  u32 state_;
  WordWindow words_;
  u32 escaped_ = 0;
  Head head_;
  Coming own_[kBlock];
};

template <class Hint, bool placed>
FCMRT_DEVICE void decode_segments(const u32* tables, const DecodeStep& step,
                                  const DecodePackets& packets) {
  const Seat seat = find_seat(packets.firsts, packets.seated, packets.max_segments);
  const Group group(seat);
  const bool first = seat.taken && seat.lane == 0;
  const bool well = first && is_well(packets.status + seat.packet);
  const bool runs = __shfl_sync(kWholeWarp, u32(well), group.thread_of(0)) != 0;

  Share share = {0, 0};
  u32 state = 0;
  Words where = {0, 0};
  if (runs) {
    share = share_of(step.coded[seat.packet], seat.segment - seat.packet * packets.max_segments,
                     packets.segments[seat.packet]);
    state = packets.states[u64(seat.segment) * kMaxLanes + seat.lane];
    where = packets.places[seat.segment];
  }
  const WordWindow words(packets.words, where, seat.lanes, seat.lane);
  LaneDecoder<Hint, placed> lane(tables, step, u64(seat.packet) * step.capacity, share,
                                 state, words, seat.lane);
  lane.begin(group, 0);
  // Blocks that leave no lane without a symbol, up to the end of the next; a segment's only.
  const u32 symbols = kBlock * kWarp;
  const bool alone = __ballot_sync(kWholeWarp, runs && seat.lanes == kWarp) == kWholeWarp;
  const u32 full = __shfl_sync(
      kWholeWarp, alone && share.count >= symbols ? share.count / symbols - 1 : 0, 0);
  lane.template decode<false>(WholeWarp{seat.lane}, 0, full);
  const u32 block = kBlock * seat.lanes;
  lane.template decode<true>(group, full, warp_max((share.count + block - 1) / block));

  __syncwarp();  // all lanes have read the segment's place
  if (!seat.taken) return;
  if (first) step.escape_counts[seat.segment] = lane.escaped();
  if (!runs) return;
  packets.states[u64(seat.segment) * kMaxLanes + seat.lane] = lane.state();
  if (!first) return;
  const u32 next = lane.words().next(group);
  packets.places[seat.segment].next = next;
  if (next > where.end) fail(packets.status + seat.packet, Status::words_exhausted);
}

template <class Hint>
FCMRT_DEVICE void decode_all(const u32* tables, const DecodeStep& step,
                             const DecodePackets& packets) {
  if (step.places) {
    decode_segments<Hint, true>(tables, step, packets);
  } else {
    decode_segments<Hint, false>(tables, step, packets);
  }
}

FCMRT_KERNEL decode_shared(const u8* tables, u32 table_count, u32 word_bytes, const u16* indexes,
                           const u32* places, const u32* coded, u32 capacity, i32* symbols,
                           u32* escapes, u32* escape_counts, const u16* words, const u32* firsts,
                           const u32* seated, const u32* segments, u32 max_segments, u32* states,
                           Words* word_places, i32* status) {
  FCMRT_SHARED_AT_LAUNCH(shared);
  if (block_is_empty(firsts)) return;
  copy_tables(shared, view_tables(tables, table_count, word_bytes).words, word_bytes);
  decode_all<u16>(reinterpret_cast<const u32*>(shared),
                      {indexes, places, coded, capacity, symbols, escapes, escape_counts},
                      {words, firsts, seated, segments, max_segments, states, word_places, status});
}

// For table sets that shared memory does not hold.
FCMRT_KERNEL decode_global(const u8* tables, u32 table_count, u32 word_bytes, const u16* indexes,
                           const u32* places, const u32* coded, u32 capacity, i32* symbols,
                           u32* escapes, u32* escape_counts, const u16* words, const u32* firsts,
                           const u32* seated, const u32* segments, u32 max_segments, u32* states,
                           Words* word_places, i32* status) {
  if (block_is_empty(firsts)) return;
  decode_all<u32>(view_tables(tables, table_count, word_bytes).words,
                      {indexes, places, coded, capacity, symbols, escapes, escape_counts},
                      {words, firsts, seated, segments, max_segments, states, word_places, status});
}

}  // namespace fcmrt::cuda

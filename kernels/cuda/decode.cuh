// Decoding one step of all segments, a warp for every 32 lanes.
#pragma once

#include "ahead.cuh"
#include "tables.cuh"
#include "words.cuh"

namespace fcmrt::cuda {

// What a step of all packets is; rows as in elements.cuh.
struct DecodeStep {
  const u16* indexes;  // of the coded symbols: [packets][capacity]
  const u32* places;   // among the elements; null: their own
  const u32* coded;    // [packets]
  u32 capacity;
  i32* symbols;        // [packets][capacity]
  u32* escapes;        // numbers of coded symbols; a segment's begin where its share does
  u32* escape_counts;  // of each segment
};

// A coded symbol that is still to be decoded.
struct Coming {
  u32 index;
  u32 place;
};

constexpr u32 kDecodeAhead = 4;  // rounds

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

FCMRT_DEVICE void decode_segments(const Tables& tables, const DecodeStep& step,
                                  const DecodePackets& packets) {
  const Seat seat = find_seat(packets.firsts, packets.seated, packets.max_segments);
  const Group group(seat);
  const u32 first_lane = lane_of_thread() - seat.lane;
  const u32 before = lanes_before(seat.lane);
  bool runs = seat.taken && is_well(packets.status + seat.packet);

  u32 begin = 0, count = 0, state = 0;
  Words where = {0, 0};
  if (runs) {
    const u32 s = seat.segment - seat.packet * packets.max_segments;
    const u32 m = step.coded[seat.packet], segments = packets.segments[seat.packet];
    begin = u32(share_begin(m, s, segments));
    count = u32(share_begin(m, s + 1, segments)) - begin;
    state = packets.states[u64(seat.segment) * kMaxLanes + seat.lane];
    where = packets.places[seat.segment];
  }
  const u64 row = u64(seat.packet) * step.capacity;
  const u64 share = row + begin;
  WordWindow words(packets.words, where, seat);
  u32 escaped = 0;

  const auto load = [&](u32 i) {
    if (i >= count) return Coming{0, 0};
    return Coming{step.indexes[share + i], step.places ? step.places[share + i] : begin + i};
  };
  Ahead<Coming, kDecodeAhead> coming([&](u32 j) { return load(j * seat.lanes + seat.lane); });
  Head head = tables.heads[coming[0].index];
  const u32 rounds = warp_max((count + seat.lanes - 1) / seat.lanes);
  for (u32 round = 0; round < rounds; ++round) {
    const u32 i = round * seat.lanes + seat.lane;
    const bool active = runs && i < count;
    bool escapes = false;
    if (active) {
      const Found found = find_event(tables, head, decode_slot(state));
      state = decode_step(state, event_freq(found.event), event_cum(found.event));
      escapes = found.number == head.size;
      if (!escapes) step.symbols[row + coming[0].place] = head.offset + i32(found.number);
    }
    const bool needs = active && decode_needs_word(state);
    coming.advance(load(i + kDecodeAhead * seat.lanes));
    head = tables.heads[coming[0].index];

    const u32 takers = group.vote(needs);
    const u32 word = words.peek(__popc(takers & before), first_lane);
    const u32 taken = __popc(takers);
    if (taken > words.left()) {
      runs = false;
      if (seat.lane == 0) fail(packets.status + seat.packet, Status::words_exhausted);
    } else {
      if (needs) state = decode_take_word(state, word);
      words.skip(taken);
    }

    const u32 escapers = group.vote(escapes);
    if (escapes) step.escapes[share + escaped + __popc(escapers & before)] = begin + i;
    escaped += __popc(escapers);
  }
  __syncwarp();  // all lanes have read the segment's place
  if (!seat.taken) return;
  if (seat.lane == 0) step.escape_counts[seat.segment] = escaped;
  if (!runs) return;
  packets.states[u64(seat.segment) * kMaxLanes + seat.lane] = state;
  if (seat.lane == 0) packets.places[seat.segment].next = words.next();
}

FCMRT_KERNEL decode_shared(const u8* tables, u32 table_bytes, u32 table_count, u32 event_count,
                           const u16* indexes, const u32* places, const u32* coded, u32 capacity,
                           i32* symbols, u32* escapes, u32* escape_counts, const u16* words,
                           const u32* firsts, const u32* seated, const u32* segments,
                           u32 max_segments, u32* states, Words* word_places, i32* status) {
  FCMRT_SHARED_AT_LAUNCH(shared);
  if (block_is_empty(firsts)) return;
  copy_tables(shared, tables, table_bytes);
  decode_segments(view_tables(shared, table_count, event_count),
                  {indexes, places, coded, capacity, symbols, escapes, escape_counts},
                  {words, firsts, seated, segments, max_segments, states, word_places, status});
}

// For table sets that shared memory does not hold.
FCMRT_KERNEL decode_global(const u8* tables, u32, u32 table_count, u32 event_count,
                           const u16* indexes, const u32* places, const u32* coded, u32 capacity,
                           i32* symbols, u32* escapes, u32* escape_counts, const u16* words,
                           const u32* firsts, const u32* seated, const u32* segments,
                           u32 max_segments, u32* states, Words* word_places, i32* status) {
  if (block_is_empty(firsts)) return;
  decode_segments(view_tables(tables, table_count, event_count),
                  {indexes, places, coded, capacity, symbols, escapes, escape_counts},
                  {words, firsts, seated, segments, max_segments, states, word_places, status});
}

}  // namespace fcmrt::cuda

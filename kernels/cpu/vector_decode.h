// Decoding with a vector of lanes at a time, two segments in turns to hide the loads' latency.
// What one vector does is the instruction set's, `Set`:
//
//   Set::kWidth, Set::Vector            lanes to a vector
//   Set::Places                         made from a TableView
//   Set::load, Set::store               of kWidth u32, at any address
//   Set::decode(view, places, x, next, tables, out, escaped)
//                                       one symbol of each lane; may read kWidth words at `next`
#pragma once

#include "scalar_decode.h"

namespace fcmrt::cpu {
namespace {

// The last words of a segment, with room behind them to read a whole round from any of them.
struct Tail {
  u8 bytes[4 * 2 * kMaxLanes];
  const u8* last;  // where the segment ends; null: not in use
};

// One segment while its share is decoded, V vectors to a round.
template <class Set, u32 V>
struct Run {
  typename Set::Vector x[V];
  const u8* next;
  const u8* limit;  // a round may begin while next <= limit
  const u16* tables;
  i32* out;
  u64 rounds;
};

template <class Set, u32 V>
[[gnu::always_inline]] inline void decode_round(const TableView& view,
                                                const typename Set::Places& places,
                                                Run<Set, V>& run, bool& escaped) {
#pragma GCC unroll 4
  for (u32 v = 0; v < V; ++v) {
    Set::decode(view, places, run.x[v], run.next, run.tables + Set::kWidth * v,
                run.out + Set::kWidth * v, escaped);
  }
  run.tables += Set::kWidth * V;
  run.out += Set::kWidth * V;
  --run.rounds;
}

template <class Set, u32 V>
Run<Set, V> start_run(const Segment& segment, const u16* tables, u64 count, i32* out) {
  constexpr i64 kRoundBytes = 2 * Set::kWidth * V;
  Run<Set, V> run;
  for (u32 v = 0; v < V; ++v) run.x[v] = Set::load(segment.states + Set::kWidth * v);
  run.next = segment.next;
  run.limit = segment.end - segment.next >= kRoundBytes ? segment.end - kRoundBytes : nullptr;
  run.tables = tables;
  run.out = out;
  run.rounds = count / (Set::kWidth * V);
  return run;
}

// Moves the rest of a segment, less than a round of words, to where a round can be read from any
// of them; false if the run has gone behind the segment's end.
[[gnu::noinline]] inline bool open_tail(const Segment& segment, const u8*& next, const u8*& limit,
                                        Tail& tail) {
  if (tail.last) return false;
  const u64 left = u64(segment.end - next);
  for (u64 i = 0; i < sizeof tail.bytes; ++i) tail.bytes[i] = i < left ? next[i] : 0;
  next = tail.bytes;
  limit = tail.last = tail.bytes + left;
  return true;
}

template <class Set, u32 V>
bool ready(const Segment& segment, Run<Set, V>& run, Tail& tail) {
  if (run.next <= run.limit) [[likely]] return true;
  const u8* next = run.next;  // copies, so that the run itself can stay in registers
  const u8* limit = run.limit;
  const bool more = open_tail(segment, next, limit, tail);
  run.next = next;
  run.limit = limit;
  return more;
}

// Decodes the rounds that are left and what is less than a round, and writes the states back.
template <class Set, u32 V>
Status end_run(const TableView& view, const typename Set::Places& places, Segment& segment,
               Run<Set, V> run, Tail& tail, u64 count, bool& escaped) {
  while (run.rounds > 0) {
    if (!ready(segment, run, tail)) return Status::words_exhausted;
    decode_round(view, places, run, escaped);
  }
  for (u32 v = 0; v < V; ++v) Set::store(segment.states + Set::kWidth * v, run.x[v]);
  if (tail.last && run.next > tail.last) return Status::words_exhausted;
  segment.next = tail.last ? segment.end - (tail.last - run.next) : run.next;
  return decode_share<Set::kWidth * V>(view, segment, run.tables, count % (Set::kWidth * V),
                                       run.out, escaped);
}

// Decodes rounds of two segments in turns, until one of them has too few words or none left to do.
template <class Set, u32 V>
[[gnu::noinline]] void decode_pairs(const TableView& view, const typename Set::Places& places,
                                    Run<Set, V>& first, Run<Set, V>& second, bool& escaped) {
  Run<Set, V> a = first;  // copies that can stay in registers
  Run<Set, V> b = second;
  const typename Set::Places in_registers = places;
  while (a.rounds > 0 && b.rounds > 0 && a.next <= a.limit && b.next <= b.limit) {
    decode_round(view, in_registers, a, escaped);
    decode_round(view, in_registers, b, escaped);
  }
  first = a;
  second = b;
}

// As Loops::decode, for kWidth * V lanes; the view has no biases.
template <class Set, u32 V>
Status decode_vectors(const TableView& view, Segment* segments, u32 count, bool& escaped) {
  const typename Set::Places places(view);
  for (u32 s = 0; s < count; s += 2) {
    // Without a second segment, the second run is empty.
    const bool two = s + 1 < count;
    Segment& first = segments[s];
    Segment& second = segments[two ? s + 1 : s];
    Run<Set, V> a = start_run<Set, V>(first, first.tables, first.count, first.out);
    Run<Set, V> b = start_run<Set, V>(second, second.tables, two ? second.count : 0, second.out);
    Tail a_tail, b_tail;
    a_tail.last = b_tail.last = nullptr;
    while (a.rounds > 0 && b.rounds > 0) {
      if (!ready(first, a, a_tail) || !ready(second, b, b_tail)) return Status::words_exhausted;
      decode_pairs(view, places, a, b, escaped);
    }
    Status status = end_run(view, places, first, a, a_tail, first.count, escaped);
    if (status == Status::ok && two) {
      status = end_run(view, places, second, b, b_tail, second.count, escaped);
    }
    if (status != Status::ok) return status;
  }
  return Status::ok;
}

}  // namespace
}  // namespace fcmrt::cpu

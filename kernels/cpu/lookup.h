// Tables as the loops read them: which event holds a slot, and what coding it takes.
//
// A table's 2^14 slots are cut into buckets of equal length, a power of two. A bucket's entry describes
// the first two events that reach into it, so that one load and one compare give symbol, frequency and
// place in the event. Slots of a third event, which only crowded buckets have (tails of wide tables),
// and slots of escapes are found by a scan. Its branch cannot be predicted, so it has to be rare; but
// the entries also have to stay in the nearest caches. So each table gets the longest buckets that
// leave at most kScannedMax of its slots to the scan (docs/coder.md has the figures).
#pragma once

#include "fcmrt/tables.h"

namespace fcmrt::cpu {

constexpr u32 kMinBucketBits = 4;
constexpr u32 kMaxBucketBits = 10;
constexpr u32 kScannedMax = kProbScale / 256;

// Where a table's entries begin, and how long its buckets are.
constexpr u32 kBucketBits = 5;  // shift counts of vector and scalar instructions
FCMRT_HD u32 pack_place(u32 begin, u32 bucket_bits) { return begin << kBucketBits | bucket_bits; }
FCMRT_HD u32 place_of(u32 place, u32 slot) {
  return (place >> kBucketBits) + (slot >> (place & ((1u << kBucketBits) - 1)));
}

// A bucket's entry, in two halves:
//   low   the slot that the second event begins at, and the first one's frequency << 16
//   high  the second event's frequency, and its symbol << 14, less its table's bias
// A frequency is 0 where the event is an escape, and a first event that is an escape has no slots,
// so that every slot of an escape is beyond the second event.
constexpr u32 kBeginMask = 2 * kProbScale - 1;
constexpr u32 kFirstFreqShift = 16;
constexpr u32 kSecondFreqMask = kProbScale - 1;
constexpr u32 kSymbolShift = kProbBits;
constexpr i32 kSymbolEnd = 1 << (31 - kSymbolShift);

FCMRT_HD u64 pack_lookup(u32 first_freq, u32 begin, u32 second_freq, i32 symbol) {
  const u32 high = u32(symbol) << kSymbolShift | second_freq;
  return u64(high) << 32 | first_freq << kFirstFreqShift | begin;
}

// An event for the scan and for encoders: tables.h's pack_event.
constexpr u32 kEventCumMask = 0xFFFF;
constexpr u32 kEventFreqShift = 16;
FCMRT_HD u32 event_cum(u32 event) { return event & kEventCumMask; }
FCMRT_HD u32 event_freq(u32 event) { return event >> kEventFreqShift; }

// The places of this many tables fit registers.
constexpr u32 kFewTables = 64;

// Borrowed from a Prepared.
struct TableView {
  u32 count;
  const TableHead* heads;
  const u32* places;  // at least kFewTables
  const i32* biases;  // what to add to an entry's symbol; null if it is 0 for all tables
  const u64* lookups;
  const u32* events;
  const EncodeEntry* entries;
};

// The event that holds a slot, for decoders.
struct Found {
  u32 freq;
  u32 cum;
  i32 symbol;
};

// Scans from `symbol` on, which comes from an entry. Ends because frequencies add up to 2^14.
[[gnu::always_inline]] static inline Found scan(const TableView& view, u32 t, u32 slot,
                                                i32 symbol) {
  const TableHead& head = view.heads[t];
  const u32* const events = view.events + head.first;
  u32 k = u32(symbol - head.offset);
  while (slot - event_cum(events[k]) >= event_freq(events[k])) ++k;
  return {event_freq(events[k]), event_cum(events[k]),
          k == head.size ? kEscaped : head.offset + i32(k)};
}

}  // namespace fcmrt::cpu

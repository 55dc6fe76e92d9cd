// Tables as the loops read them: which event holds a slot, and what coding it takes.
//
// A slot's upper eight bits choose an entry of its table's look-up: the first event that reaches
// into that bucket of 64 slots, and where in the bucket the next three begin. Compares then find the
// event, except in crowded buckets (tails of wide tables), where a scan goes on from there. The scan
// is a branch that nobody can predict, so it has to be rare: with buckets of 128 slots, which take
// half of the first-level cache, wide tables decode a quarter slower. A direct table of all slots
// would take 64 kB for every table; this takes 1 kB.
#pragma once

#include "fcmrt/tables.h"

namespace fcmrt::cpu {

constexpr u32 kLookupBits = 8;
constexpr u32 kLookups = 1u << kLookupBits;
constexpr u32 kLookupShift = kProbBits - kLookupBits;
constexpr u32 kLookupMask = (1u << kLookupShift) - 1;
constexpr u32 kBegins = 3;  // events behind the first whose begin is told
constexpr u32 kLookupFirstMax = (1u << (32 - kBegins * kLookupShift)) - 1;

// `begins` are where in the bucket the events behind `first` begin, from 1 to the bucket's length,
// which says that none does. `first` is counted within its table.
FCMRT_HD u32 pack_lookup(u32 first, const u32* begins) {
  u32 entry = first;
  for (u32 i = kBegins; i-- > 0;) entry = entry << kLookupShift | (begins[i] - 1);
  return entry;
}

// The first event that reaches into the bucket. A lane by itself scans from there: it does not have
// to wait for 15 others, and the branches predict well enough.
FCMRT_HD u32 first_event(u32 entry) { return entry >> (kBegins * kLookupShift); }

// An event as decoders read it: tables.h's pack_event, with a bit that cum leaves for escapes.
constexpr u32 kEscapeBit = 15;
constexpr u32 kEscapeFlag = 1u << kEscapeBit;
constexpr u32 kCumMask = kProbScale - 1;
FCMRT_HD u32 flagged_cum(u32 event) { return event & kCumMask; }
FCMRT_HD u32 flagged_freq(u32 event) { return event >> 16; }

// A table's first event and offset in 32 bits, for table sets where all of them fit; vector loops
// get both with one permutation or gather.
constexpr u32 kFirstBits = 18;
constexpr i32 kOffsetBias = 1 << (31 - kFirstBits);
constexpr u32 kOriginsInRegisters = 64;

FCMRT_HD u32 pack_origin(u32 first, i32 offset) {
  return first | u32(offset + kOffsetBias) << kFirstBits;
}
FCMRT_HD bool origin_fits(u32 first, i32 offset) {
  return first < 1u << kFirstBits && offset >= -kOffsetBias && offset < kOffsetBias;
}

// Borrowed from a Prepared.
struct TableView {
  u32 count;
  const TableHead* heads;
  const u32* lookups;  // kLookups for every table
  const u32* events;   // flagged
  const u32* origins;  // null if they do not fit; at least kOriginsInRegisters entries
  const EncodeEntry* entries;
};

}  // namespace fcmrt::cpu

// Tables prepared for coding: what one event needs in one or two loads.
//
// Layout. The events of all tables stand one after the other, a table's escape last, four bytes
// each: cum | freq << 16. How a decoder finds the event of a slot is up to each target.
#pragma once

#include "rans.h"

namespace fcmrt {

constexpr u32 kMaxTables = 4096;
constexpr u32 kMaxTableSize = 4095;
constexpr i32 kMaxOffset = 1 << 24;

// Stands for an escape among decoded symbols until its value is known. No table's range gets near
// it (offsets are within 2^24), so it cannot be a symbol that was coded without an escape.
constexpr i32 kEscaped = -2147483647 - 1;

struct TableHead {
  u32 first;   // its first event, among all tables' events
  u32 size;    // events but the escape
  i32 offset;  // symbol of its first event
  u32 unused;  // a head is a power of two in size
};
static_assert(sizeof(TableHead) == 16);

struct EncodeEntry {
  u64 reciprocal;  // encode_reciprocal(freq)
  u16 freq;
  u16 cum;
  u16 cost_q8;  // 14 * 256 - log2_q8(freq)
  u16 unused;
};
static_assert(sizeof(EncodeEntry) == 16);

FCMRT_HD u32 pack_event(u32 cum, u32 freq) { return cum | freq << 16; }

// 256 * log2(f), rounded as docs/format.md, section 5, says; 1 <= f <= 2^14.
FCMRT_HD u32 log2_q8(u32 f) {
  u32 n = 0;
  while (f >> (n + 1)) ++n;
  u64 m = u64(f) << (31 - n);
  u32 r = n;
  for (int i = 0; i < 8; ++i) {
    m = (m * m) >> 31;
    r = 2 * r;
    if (m >= u64(1) << 32) {
      m >>= 1;
      ++r;
    }
  }
  return r;
}

// The event, counted within its table, that codes `symbol`: the escape's if it is outside.
FCMRT_HD u32 event_of(const TableHead& head, i32 symbol) {
  const u32 k = u32(symbol) - u32(head.offset);
  return k < head.size ? k : head.size;
}

}  // namespace fcmrt

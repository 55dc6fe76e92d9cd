// Values of escapes: LEB128 of a number made of side and distance; docs/format.md, section 4.
#pragma once

#include "status.h"
#include "tables.h"

namespace fcmrt {

constexpr int kMaxEscapeBytes = 5;

// The number written for `value`, which lies outside of the table's range; at most 33 bits.
FCMRT_HD u64 escape_code(const TableHead& head, i32 value) {
  const i64 begin = head.offset;
  const i64 end = begin + head.size;
  return value >= end ? 2 * u64(value - end) : 2 * u64(begin - 1 - value) + 1;
}

// Writes `code` to at most kMaxEscapeBytes bytes at `out`; returns how many.
FCMRT_HD int put_escape(u8* out, u64 code) {
  int n = 0;
  for (; code >= 0x80; code >>= 7) out[n++] = u8(code | 0x80);
  out[n++] = u8(code);
  return n;
}

// Reads one escape's value from [next, end) and moves `next` behind it.
FCMRT_HD Status take_escape(const TableHead& head, const u8*& next, const u8* end, i32& value) {
  u64 code = 0;
  for (int n = 0;; ++n) {
    if (n == kMaxEscapeBytes) return Status::escape_malformed;
    if (next == end) return Status::escapes_exhausted;
    const u8 byte = *next++;
    code |= u64(byte & 0x7F) << (7 * n);
    if (byte < 0x80) {
      if (byte == 0 && n > 0) return Status::escape_malformed;
      break;
    }
  }
  const i64 begin = head.offset;
  const i64 distance = i64(code >> 1);
  const i64 wide = code & 1 ? begin - 1 - distance : begin + head.size + distance;
  if (wide < -2147483648LL || wide > 2147483647LL) return Status::escape_out_of_range;
  value = i32(wide);
  return Status::ok;
}

}  // namespace fcmrt

// Symbols as the caller has them: signed integers of 1, 2 or 4 bytes. The loops know those of 4
// alone; the others pass through a buffer that stays in the first-level cache.
#pragma once

#include <algorithm>
#include <limits>

#include "places.h"

namespace fcmrt::cpu {

struct Symbols {
  const void* data;
  u32 bytes;  // of one
};

struct OutSymbols {
  void* data;
  u32 bytes;
};

constexpr std::size_t kWindow = 2048;  // elements in the buffer; whole groups

// Calls work(first, count, symbols) for one window after the other of a range, until it returns
// anything other than ok.
template <class T, class Work>
Status widen_windows(const T* symbols, Range range, Work&& work) {
  i32 wide[kWindow];
  for (std::size_t p = range.first; p < range.end; p += kWindow) {
    const std::size_t count = std::min(kWindow, range.end - p);
    for (std::size_t i = 0; i < count; ++i) wide[i] = symbols[p + i];
    const Status status = work(p, count, wide);
    if (status != Status::ok) return status;
  }
  return Status::ok;
}

// As widen_windows; integers of 4 bytes are one window as they are.
template <class Work>
Status for_windows(const Symbols& symbols, Range range, Work&& work) {
  switch (symbols.bytes) {
    case 1: return widen_windows(static_cast<const std::int8_t*>(symbols.data), range, work);
    case 2: return widen_windows(static_cast<const std::int16_t*>(symbols.data), range, work);
    default:
      return work(range.first, range.size(), static_cast<const i32*>(symbols.data) + range.first);
  }
}

// Writes wide symbols as narrow ones; false if one of them does not fit.
template <class T>
bool narrow(const i32* wide, std::size_t count, T* out) {
  i32 lost = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const T symbol = T(wide[i]);
    out[i] = symbol;
    lost |= symbol ^ wide[i];
  }
  return lost == 0;
}

}  // namespace fcmrt::cpu

// Decisions, drawn from a case's bytes; when these are used up, from numbers that follow from them.
#pragma once

#include <cstddef>
#include <span>

#include "fcmrt/platform.h"

namespace fcmrt::fuzz {

// SplitMix64 (S. Vigna, public domain): advances `state` and gives 64 bits.
inline u64 next_random(u64& state) {
  u64 z = state += 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return z ^ z >> 31;
}

class Choices {
 public:
  // The first eight bytes seed what the other bytes do not decide, so that a fuzzer that changes
  // one of those changes one decision and not all.
  explicit Choices(std::span<const u8> bytes) : bytes_(bytes) {
    for (int i = 0; i < 8; ++i) random_ = random_ << 8 | take();
  }

  // 0 to n - 1; n >= 1.
  u32 below(u32 n) {
    if (bytes_.empty()) return u32((next_random(random_) >> 32) * n >> 32);
    u64 value = take();
    for (u64 reach = 256; reach < n; reach <<= 8) value = value << 8 | take();
    return u32(value % n);
  }
  u32 between(u32 low, u32 high) { return low + below(high - low + 1); }
  bool one_in(u32 n) { return below(n) == 0; }
  u32 bits() { return u32(next_random(random_) >> 32); }

  template <class T, std::size_t n>
  T of(const T (&values)[n]) {
    return values[below(n)];
  }

 private:
  u8 take() {
    if (bytes_.empty()) return 0;
    const u8 byte = bytes_.front();
    bytes_ = bytes_.subspan(1);
    return byte;
  }

  std::span<const u8> bytes_;
  u64 random_ = 0;
};

}  // namespace fcmrt::fuzz

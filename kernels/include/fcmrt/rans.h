// One lane's arithmetic: 32-bit states in [2^16, 2^32), 16-bit words, 14-bit probabilities.
//
// Three things to know (as in ryg_rans): encoding runs from the last symbol to the first, its
// output grows downwards, and lanes share one sequence of words. The state is one integer and the
// place in the words is the caller's, which is why interleaving lanes costs nothing.
// Source of the method: J. Duda, arXiv 1311.2540; the rules: docs/format.md, section 4.
#pragma once

#include "platform.h"

namespace fcmrt {

constexpr u32 kProbBits = 14;
constexpr u32 kProbScale = 1u << kProbBits;
constexpr u32 kStateMin = 1u << 16;
constexpr u32 kMaxLanes = 32;
constexpr u32 kMaxSegments = 256;

// ---- decoding

FCMRT_HD u32 decode_slot(u32 x) { return x & (kProbScale - 1); }

// The state after the event [cum, cum + freq) that holds its slot, before renormalisation.
// Cannot wrap: freq * (x >> 14) + slot - cum < freq * ((x >> 14) + 1) <= 2^14 * 2^18.
FCMRT_HD u32 decode_step(u32 x, u32 freq, u32 cum) {
  return freq * (x >> kProbBits) + decode_slot(x) - cum;
}

// The same for a slot that is the event's slot number `within`.
FCMRT_HD u32 decode_step_within(u32 x, u32 freq, u32 within) {
  return freq * (x >> kProbBits) + within;
}

FCMRT_HD bool decode_needs_word(u32 x) { return x < kStateMin; }

// Since a state is at least 4 before it takes a word, one word always suffices.
FCMRT_HD u32 decode_take_word(u32 x, u32 word) { return x << 16 | word; }

// Renormalises `x` from the words in [next, end), two bytes each; false if there is none left.
FCMRT_HD bool decode_renormalise(u32& x, const u8*& next, const u8* end) {
  if (!decode_needs_word(x)) return true;
  if (next == end) return false;
  x = decode_take_word(x, load_u16(next));
  next += 2;
  return true;
}

// decode_renormalise without a branch, which nobody could predict; there must be a word at `next`,
// which is only used if it is needed.
FCMRT_HD void decode_renormalise_unchecked(u32& x, const u8*& next) {
  const u32 needs = mask_if(decode_needs_word(x));
  x = choose(needs, decode_take_word(x, load_u16(next)), x);
  next += needs & 2;
}

// ---- encoding

// Whether the low 16 bits must leave the state before an event of frequency `freq` goes in.
FCMRT_HD bool encode_needs_word(u32 x, u32 freq) { return (x >> (32 - kProbBits)) >= freq; }

// Renormalises `x` for an event of frequency `freq`; the word, if there is one, goes in front of
// `p`. Without a branch: the two bytes before `p` are always written, though not always kept.
FCMRT_HD void encode_renormalise(u32& x, u32 freq, u8*& p) {
  const bool full = encode_needs_word(x, freq);
  store_u16(p - 2, x & 0xFFFF);
  p -= 2 * full;
  x = full ? x >> 16 : x;
}

// Multiplier that replaces the division by `freq`: ceil(2^46 / freq).
//
// x / freq == x * encode_reciprocal(freq) >> 46 for every x < freq * 2^18 (what renormalisation
// leaves) and freq <= 2^14. Exact: the multiplier is (2^46 + e) / freq with e < freq, so the error
// x * e / (freq * 2^46) is below 1 / freq because x * e < freq^2 * 2^18 <= 2^46. No overflow: for
// freq < 2^14 the product is below (freq * 2^18)(2^46 / freq + 1) - 2^46 / freq, which is below
// 2^64 because freq^2 < 2^28; and for freq = 2^14 it is below 2^32 * 2^32.
FCMRT_HD u64 encode_reciprocal(u32 freq) { return ((u64(1) << 46) + freq - 1) / freq; }

// The state after the event [cum, cum + freq), for a renormalised state:
// ((x / freq) << 14) + x % freq + cum, with the division as a multiplication.
FCMRT_HD u32 encode_step(u32 x, u64 reciprocal, u32 freq, u32 cum) {
  const u32 quotient = u32((x * reciprocal) >> 46);
  return x + cum + quotient * (kProbScale - freq);
}

// ---- sharing a step among segments

// First coded symbol of segment `s` of `count` segments, among the `m` of a step; s may be
// `count`, which gives m. Shares begin at multiples of 32.
FCMRT_HD u64 share_begin(u64 m, u32 s, u32 count) {
  const u64 blocks = (m + 31) / 32;
  const u64 begin = 32 * (blocks * s / count);
  return begin < m ? begin : m;
}

// ---- seeds

// What lane `lane` of segment `segment` starts from, above 2^16.
FCMRT_HD u32 seed_of(u32 check, u32 lanes, u32 segment, u32 lane) {
  if (segment != 0 || lane > 1) return 0;
  if (lanes == 1) return (check ^ check >> 16) & 0xFFFF;
  return lane == 0 ? check & 0xFFFF : check >> 16;
}

}  // namespace fcmrt

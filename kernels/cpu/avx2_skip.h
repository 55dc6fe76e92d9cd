// What is coded and what is skipped, 16 elements at a time.
#pragma once

#include "avx2_encode.h"

namespace fcmrt::cpu {
namespace {

inline __m256i load_indexes(const u8* indexes) {
  return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(indexes)));
}

inline __m256i load_indexes(const u16* indexes) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(indexes));
}

// Writes the indexes of `mask` one behind the other, and what is there anyway behind them.
[[gnu::always_inline]] inline u64 put_coded(__m128i t, u32 mask, u16* tables) {
  const __m128i lanes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(kLanesOf.of[mask]));
  const __m128i twice = _mm_unpacklo_epi8(lanes, lanes);  // then the two bytes of each lane
  const __m128i bytes = _mm_add_epi8(_mm_add_epi8(twice, twice), _mm_set1_epi16(0x0100));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(tables), _mm_shuffle_epi8(t, bytes));
  return u64(__builtin_popcount(mask));
}

template <class Index>
Listed list_coded_groups(const Index* indexes, std::size_t count, u32 skip, u16* tables,
                         u16* masks) {
  __m256i largest = _mm256_setzero_si256();
  const __m256i least = _mm256_set1_epi16(short(skip));
  u64 coded = 0;
  std::size_t p = 0;
  for (; count - p >= kGroup; p += kGroup) {
    const __m256i t = load_indexes(indexes + p);
    const __m256i on = _mm256_cmpeq_epi16(_mm256_max_epu16(t, least), t);
    const u32 mask = u32(_mm_movemask_epi8(
        _mm_packs_epi16(_mm256_castsi256_si128(on), _mm256_extracti128_si256(on, 1))));
    // Whole halves are stored: behind the coded ones there is room for as many as were read.
    coded += put_coded(_mm256_castsi256_si128(t), mask & 0xFF, tables + coded);
    coded += put_coded(_mm256_extracti128_si256(t, 1), mask >> 8, tables + coded);
    masks[p / kGroup] = u16(mask);
    largest = _mm256_max_epu16(largest, t);
  }
  const Listed rest = list_coded_of(indexes + p, count - p, skip, tables + coded,
                                    masks + p / kGroup);
  alignas(32) u16 each[kGroup];
  _mm256_store_si256(reinterpret_cast<__m256i*>(each), largest);
  u32 most = rest.largest;
  for (const u16 one : each) most = one > most ? one : most;
  return {most, coded + rest.coded};
}

Listed list_coded_avx2(Indexes indexes, u32 skip, u16* tables, u16* masks) {
  if (skip == 0 || skip > 0xFFFF) return list_coded(indexes, skip, tables, masks);
  return indexes.wide ? list_coded_groups(static_cast<const u16*>(indexes.data), indexes.count,
                                          skip, tables, masks)
                      : list_coded_groups(static_cast<const u8*>(indexes.data), indexes.count,
                                          skip, tables, masks);
}

// Eight elements, those of `mask` from the next coded symbols, the others 0.
[[gnu::always_inline]] inline const i32* spread_half(const i32* coded, u32 mask, i32* out) {
  const __m256i bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const __m256i on = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(i32(mask)), bits), bits);
  const __m256i next = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(coded));
  const __m256i placed = _mm256_permutevar8x32_epi32(next, lane_numbers(kWordPlaces.of[mask]));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_and_si256(placed, on));
  return coded + __builtin_popcount(mask);
}

void spread_avx2(const i32* coded, const u16* masks, std::size_t count, i32* out) {
  std::size_t p = 0;
  for (; count - p >= kGroup; p += kGroup) {
    const u32 mask = masks[p / kGroup];
    coded = spread_half(coded, mask & 0xFF, out + p);
    coded = spread_half(coded, mask >> 8, out + p + 8);
  }
  spread(coded, masks + p / kGroup, count - p, out + p);
}

}  // namespace
}  // namespace fcmrt::cpu

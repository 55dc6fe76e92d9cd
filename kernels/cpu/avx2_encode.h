// Encoding 8 lanes to a vector.
#pragma once

#include "avx2_decode.h"
#include "vector_encode.h"

namespace fcmrt::cpu {
namespace {

// For each mask of lanes, which they are, in ascending order. Eight bytes that end behind the
// last of them give them to the last lanes of a vector, for which there is room in front.
struct LanesOf {
  constexpr LanesOf() : front(), of() {
    for (u32 mask = 0; mask < 256; ++mask) {
      u32 count = 0;
      for (u32 lane = 0; lane < 8; ++lane) {
        if (mask >> lane & 1) of[mask][count++] = u8(lane);
      }
    }
  }
  u8 front[8];
  u8 of[256][8];
};
alignas(64) constexpr LanesOf kLanesOf;

inline __m256i lane_numbers(const u8* bytes) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes)));
}

// The lanes of `mask` hand over their words, which go in front of `p` in ascending order of lane.
// 16 bytes are written, those in front of the words for nothing.
[[gnu::always_inline]] inline u8* put_words(__m256i x, u32 mask, u8* p) {
  const u32 count = u32(__builtin_popcount(mask));
  const u8* const lanes = reinterpret_cast<const u8*>(&kLanesOf) + 8 * mask + count;
  const __m256i words = _mm256_and_si256(_mm256_permutevar8x32_epi32(x, lane_numbers(lanes)),
                                         _mm256_set1_epi32(0xFFFF));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p - 16),
                   _mm_packus_epi32(_mm256_castsi256_si128(words),
                                    _mm256_extracti128_si256(words, 1)));
  return p - 2 * count;
}

struct Avx2Encoder : Lanes8 {
  [[gnu::always_inline]] static Vector encode(const u32* events, const u32* numbers, Vector x,
                                              u8*& p) {
    const __m256i event = load_each(events, numbers);
    const __m256i cum = _mm256_and_si256(event, _mm256_set1_epi32(kEventCumMask));
    const __m256i freq = _mm256_srli_epi32(event, kEventFreqShift);
    const __m256 inverse = _mm256_div_ps(_mm256_set1_ps(kLowered), _mm256_cvtepi32_ps(freq));
    const __m256i rest = _mm256_sub_epi32(_mm256_set1_epi32(kProbScale), freq);

    const __m256i fits = _mm256_cmpgt_epi32(freq, _mm256_srli_epi32(x, 32 - kProbBits));
    p = put_words(x, ~u32(_mm256_movemask_ps(_mm256_castsi256_ps(fits))) & 0xFF, p);
    x = _mm256_blendv_epi8(_mm256_srli_epi32(x, 16), x, fits);
    // States from 2^31 on look negative.
    const __m256 wrapped = _mm256_and_ps(_mm256_castsi256_ps(_mm256_srai_epi32(x, 31)),
                                         _mm256_set1_ps(4294967296.0f));
    const __m256 state = _mm256_add_ps(_mm256_cvtepi32_ps(x), wrapped);
    const __m256i quotient = _mm256_cvttps_epi32(_mm256_mul_ps(state, inverse));
    const __m256i remainder = _mm256_sub_epi32(x, _mm256_mullo_epi32(quotient, freq));
    const __m256i exact = _mm256_cmpgt_epi32(freq, remainder);
    // As encode_step: x + cum + quotient * (2^14 - freq).
    const __m256i next =
        _mm256_add_epi32(_mm256_add_epi32(x, cum), _mm256_mullo_epi32(quotient, rest));
    return _mm256_add_epi32(next, _mm256_andnot_si256(exact, rest));
  }
};

u8* encode_avx2(const TableView& view, const u32* numbers, u64 count, u32 lanes, u32* states,
                u8* p) {
  if (lanes == 16) return encode_vectors<Avx2Encoder, 2>(view, numbers, count, states, p);
  if (lanes == 32) return encode_vectors<Avx2Encoder, 4>(view, numbers, count, states, p);
  return kScalarLoops.encode(view, numbers, count, lanes, states, p);
}

// Eight tables' first events, sizes and offsets: their heads, transposed.
template <class Index>
[[gnu::always_inline]] inline void load_heads(const TableHead* heads, const Index* t,
                                              __m256i& first, __m256i& size, __m256i& offset) {
  static_assert(sizeof(TableHead) == 16);
  const __m128i* const rows = reinterpret_cast<const __m128i*>(heads);
  const auto two = [&](u32 i) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(rows + t[i])),
                                   _mm_loadu_si128(rows + t[i + 4]), 1);
  };
  const __m256i r0 = two(0), r1 = two(1), r2 = two(2), r3 = two(3);
  const __m256i a = _mm256_unpacklo_epi32(r0, r1);
  const __m256i b = _mm256_unpacklo_epi32(r2, r3);
  first = _mm256_unpacklo_epi64(a, b);
  size = _mm256_unpackhi_epi64(a, b);
  offset = _mm256_unpacklo_epi64(_mm256_unpackhi_epi32(r0, r1), _mm256_unpackhi_epi32(r2, r3));
}

inline __m256i load_eight(const u8* indexes) { return lane_numbers(indexes); }
inline __m256i load_eight(const u16* indexes) {
  return _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(indexes)));
}

inline u32 mask_of(__m256i lanes) {
  return u32(_mm256_movemask_ps(_mm256_castsi256_ps(lanes)));
}

template <class Index>
Status list_events_eights(const TableView& view, const i32* symbols, const Index* indexes,
                          std::size_t count, u32 skip, u32* numbers, u64& coded,
                          const EscapeSink& escapes) {
  const __m256i last = _mm256_set1_epi32(i32(view.count - 1));
  const __m256i least = _mm256_set1_epi32(i32(skip) - 1);
  u64 n = 0;
  std::size_t p = 0;
  for (; count - p >= 8; p += 8) {
    // Only these copies are used below: they stay as checked, whatever other threads write.
    const __m256i t = load_eight(indexes + p);
    const __m256i symbol =
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(symbols + p));
    const __m256i on = _mm256_cmpgt_epi32(t, least);
    const __m256i wrong = _mm256_or_si256(_mm256_cmpgt_epi32(t, last),
                                          _mm256_andnot_si256(on, symbol));
    if (!_mm256_testz_si256(wrong, wrong)) [[unlikely]] {
      // The first mistake is the one to report; if another thread has corrected it, go on.
      const Status status =
          list_events_of(view, symbols, indexes, p, p + 8, skip, numbers, n, escapes);
      if (status != Status::ok) return status;
      continue;
    }
    alignas(32) u32 table_of[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(table_of), t);
    __m256i first, size, offset;
    load_heads(view.heads, table_of, first, size, offset);
    const __m256i k = _mm256_min_epu32(_mm256_sub_epi32(symbol, offset), size);
    const u32 coded_lanes = mask_of(on);
    _mm256_storeu_si256(
        reinterpret_cast<__m256i*>(numbers + n),
        _mm256_permutevar8x32_epi32(_mm256_add_epi32(first, k),
                                    lane_numbers(kLanesOf.of[coded_lanes])));
    n += u32(__builtin_popcount(coded_lanes));
    u32 outside = mask_of(_mm256_and_si256(on, _mm256_cmpeq_epi32(k, size)));
    if (outside) [[unlikely]] {
      alignas(32) i32 value_of[8];
      _mm256_store_si256(reinterpret_cast<__m256i*>(value_of), symbol);
      for (; outside; outside &= outside - 1) {
        const u32 i = u32(__builtin_ctz(outside));
        escapes.put(escapes.self, view.heads[table_of[i]], value_of[i]);
      }
    }
  }
  const Status status =
      list_events_of(view, symbols, indexes, p, count, skip, numbers, n, escapes);
  coded = n;
  return status;
}

Status list_events_avx2(const TableView& view, const i32* symbols, Indexes indexes, u32 skip,
                        u32* numbers, u64& coded, EscapeSink escapes) {
  return indexes.wide
             ? list_events_eights(view, symbols, static_cast<const u16*>(indexes.data),
                                  indexes.count, skip, numbers, coded, escapes)
             : list_events_eights(view, symbols, static_cast<const u8*>(indexes.data),
                                  indexes.count, skip, numbers, coded, escapes);
}

}  // namespace
}  // namespace fcmrt::cpu

// Decoding 16 lanes to a vector.
#pragma once

#include <immintrin.h>

#include "vector_decode.h"

namespace fcmrt::cpu {
namespace {

// All tables' origins: in four registers if there are few tables, else in memory.
template <bool few>
struct Origins {
  explicit Origins(const TableView& view) : memory(view.origins) {
    if constexpr (few) {
      for (int i = 0; i < 4; ++i) parts[i] = _mm512_loadu_si512(memory + 16 * i);
    }
  }
  __m512i of(__m512i t) const {
    if constexpr (!few) return _mm512_i32gather_epi32(t, memory, 4);
    const __m512i low = _mm512_permutex2var_epi32(parts[0], t, parts[1]);
    const __m512i high = _mm512_permutex2var_epi32(parts[2], t, parts[3]);
    return _mm512_mask_mov_epi32(low, _mm512_test_epi32_mask(t, _mm512_set1_epi32(32)), high);
  }
  const u32* memory;
  __m512i parts[few ? 4 : 1];
};

template <bool few>
struct Avx512 {
  using Vector = __m512i;
  using Origins = cpu::Origins<few>;
  static constexpr u32 kWidth = 16;
  static Vector load(const u32* p) { return _mm512_loadu_si512(p); }
  static void store(u32* p, Vector v) { _mm512_storeu_si512(p, v); }
  static bool escaped(Vector flags) {
    return _mm512_test_epi32_mask(flags, _mm512_set1_epi32(kEscapeFlag)) != 0;
  }

  [[gnu::always_inline]] static void decode(const TableView& view, const Origins& origins,
                                            Vector& x, const u8*& next, const u16* tables,
                                            i32* out, Vector& flags) {
    const __m512i one = _mm512_set1_epi32(1);
    const __m512i in_bucket = _mm512_set1_epi32(kLookupMask);
    const __m512i t = _mm512_cvtepu16_epi32(
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(tables)));
    const __m512i origin = origins.of(t);
    const __m512i slot = _mm512_and_si512(x, _mm512_set1_epi32(kProbScale - 1));
    const __m512i place = _mm512_or_si512(_mm512_slli_epi32(t, kLookupBits),
                                          _mm512_srli_epi32(slot, kLookupShift));
    const __m512i entry = _mm512_i32gather_epi32(place, view.lookups, 4);
    const __m512i inside = _mm512_and_si512(slot, in_bucket);
    __m512i k = _mm512_srli_epi32(entry, kBegins * kLookupShift);
#pragma GCC unroll 4
    for (u32 i = 0; i < kBegins; ++i) {
      const __m512i begin = _mm512_and_si512(_mm512_srli_epi32(entry, i * kLookupShift), in_bucket);
      k = _mm512_mask_add_epi32(k, _mm512_cmpgt_epi32_mask(inside, begin), k, one);
    }
    const __m512i first = _mm512_and_si512(origin, _mm512_set1_epi32((1 << kFirstBits) - 1));
    __m512i event = _mm512_i32gather_epi32(_mm512_add_epi32(first, k), view.events, 4);
    const __m512i cum = _mm512_set1_epi32(kCumMask);
    __m512i inner = _mm512_sub_epi32(slot, _mm512_and_si512(event, cum));
    __m512i freq = _mm512_srli_epi32(event, 16);
    __mmask16 beyond = _mm512_cmpge_epu32_mask(inner, freq);
    while (beyond) {
      k = _mm512_mask_add_epi32(k, beyond, k, one);
      event = _mm512_mask_i32gather_epi32(event, beyond, _mm512_add_epi32(first, k), view.events,
                                          4);
      inner = _mm512_sub_epi32(slot, _mm512_and_si512(event, cum));
      freq = _mm512_srli_epi32(event, 16);
      beyond = _mm512_cmpge_epu32_mask(inner, freq);
    }
    const __m512i offset = _mm512_sub_epi32(_mm512_srli_epi32(origin, kFirstBits),
                                            _mm512_set1_epi32(kOffsetBias));
    const __mmask16 escape = _mm512_test_epi32_mask(event, _mm512_set1_epi32(kEscapeFlag));
    const __m512i symbol = _mm512_mask_mov_epi32(_mm512_add_epi32(offset, k), escape,
                                                 _mm512_set1_epi32(kEscaped));
    _mm512_storeu_si512(out, symbol);
    flags = _mm512_or_si512(flags, event);
    x = _mm512_add_epi32(_mm512_mullo_epi32(freq, _mm512_srli_epi32(x, kProbBits)), inner);
    // The lanes that need a word take the next ones in ascending order.
    const __mmask16 needs = _mm512_cmplt_epu32_mask(x, _mm512_set1_epi32(kStateMin));
    const __m512i words = _mm512_maskz_expand_epi32(
        needs, _mm512_cvtepu16_epi32(
                   _mm256_loadu_si256(reinterpret_cast<const __m256i*>(next))));
    x = _mm512_mask_or_epi32(x, needs, _mm512_slli_epi32(x, 16), words);
    next += 2 * u32(__builtin_popcount(needs));
  }
};

Status decode_avx512(const TableView& view, u32 lanes, Segment* segments, u32 count,
                     bool& escaped) {
  if (lanes < 16 || !view.origins) {
    return kScalarLoops.decode(view, lanes, segments, count, escaped);
  }
  const auto decode =
      view.count <= kOriginsInRegisters
          ? (lanes == 16 ? decode_vectors<Avx512<true>, 1> : decode_vectors<Avx512<true>, 2>)
          : (lanes == 16 ? decode_vectors<Avx512<false>, 1> : decode_vectors<Avx512<false>, 2>);
  return decode(view, segments, count, escaped);
}

template <class Index>
__m512i load_indexes(const Index* indexes) {
  if constexpr (sizeof(Index) == 1) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(indexes)));
  } else {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(indexes)));
  }
}

template <class Index>
Listed list_coded_groups(const Index* indexes, std::size_t count, u32 skip, u16* tables,
                         u16* masks) {
  __m512i largest = _mm512_setzero_si512();
  const __m512i least = _mm512_set1_epi32(i32(skip));
  u64 coded = 0;
  std::size_t p = 0;
  for (; count - p >= kGroup; p += kGroup) {
    const __m512i t = load_indexes(indexes + p);
    const __mmask16 on = _mm512_cmpge_epi32_mask(t, least);
    // Whole groups are stored: behind the coded ones there is room for as many as were read.
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(tables + coded),
                        _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(on, t)));
    masks[p / kGroup] = on;
    coded += u32(__builtin_popcount(on));
    largest = _mm512_max_epi32(largest, t);
  }
  const Listed rest = list_coded_of(indexes + p, count - p, skip, tables + coded,
                                    masks + p / kGroup);
  const u32 most = u32(_mm512_reduce_max_epi32(largest));
  return {most > rest.largest ? most : rest.largest, coded + rest.coded};
}

Listed list_coded_avx512(Indexes indexes, u32 skip, u16* tables, u16* masks) {
  if (skip == 0) return list_coded(indexes, skip, tables, masks);
  return indexes.wide ? list_coded_groups(static_cast<const u16*>(indexes.data), indexes.count,
                                          skip, tables, masks)
                      : list_coded_groups(static_cast<const u8*>(indexes.data), indexes.count,
                                          skip, tables, masks);
}

void spread_avx512(const i32* coded, const u16* masks, std::size_t count, i32* out) {
  std::size_t p = 0;
  for (; count - p >= kGroup; p += kGroup) {
    const __mmask16 on = masks[p / kGroup];
    _mm512_storeu_si512(out + p, _mm512_maskz_expand_epi32(on, _mm512_loadu_si512(coded)));
    coded += __builtin_popcount(on);
  }
  spread(coded, masks + p / kGroup, count - p, out + p);
}

}  // namespace
}  // namespace fcmrt::cpu

// Decoding 8 lanes to a vector, without the instructions that AVX-512 has for it.
#pragma once

#include <immintrin.h>

#include "vector_decode.h"

namespace fcmrt::cpu {
namespace {

// For each mask of lanes that need a word, which of the next words each lane takes.
struct WordPlaces {
  constexpr WordPlaces() : of() {
    for (u32 mask = 0; mask < 256; ++mask) {
      u8 next = 0;
      for (u32 lane = 0; lane < 8; ++lane) {
        of[mask][lane] = next;
        next = u8(next + (mask >> lane & 1));
      }
    }
  }
  u8 of[256][8];
};
alignas(64) constexpr WordPlaces kWordPlaces;

// Eight loads instead of the gather instruction: measured faster (Zen 5), and not slowed down by
// what processors do against gathers leaking data.
inline __m256i gather(const u32* base, __m256i places) {
  const __m128i low = _mm256_castsi256_si128(places);
  const __m128i high = _mm256_extracti128_si256(places, 1);
  const u64 p01 = u64(_mm_cvtsi128_si64(low));
  const u64 p23 = u64(_mm_extract_epi64(low, 1));
  const u64 p45 = u64(_mm_cvtsi128_si64(high));
  const u64 p67 = u64(_mm_extract_epi64(high, 1));
  __m128i a = _mm_cvtsi32_si128(int(base[u32(p01)]));
  __m128i b = _mm_cvtsi32_si128(int(base[u32(p45)]));
  a = _mm_insert_epi32(a, int(base[p01 >> 32]), 1);
  b = _mm_insert_epi32(b, int(base[p45 >> 32]), 1);
  a = _mm_insert_epi32(a, int(base[u32(p23)]), 2);
  b = _mm_insert_epi32(b, int(base[u32(p67)]), 2);
  a = _mm_insert_epi32(a, int(base[p23 >> 32]), 3);
  b = _mm_insert_epi32(b, int(base[p67 >> 32]), 3);
  return _mm256_inserti128_si256(_mm256_castsi128_si256(a), b, 1);
}

struct Avx2 {
  using Vector = __m256i;
  static constexpr u32 kWidth = 8;
  struct Origins {
    explicit Origins(const TableView&) {}
  };
  static Vector load(const u32* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static void store(void* p, Vector v) { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }
  static bool escaped(Vector flags) {
    return _mm256_testz_si256(flags, _mm256_set1_epi32(kEscapeFlag)) == 0;
  }
  static __m256i widen(const void* words) {
    return _mm256_cvtepu16_epi32(_mm_loadu_si128(static_cast<const __m128i*>(words)));
  }

  [[gnu::always_inline]] static void decode(const TableView& view, const Origins&, Vector& x,
                                            const u8*& next, const u16* tables, i32* out,
                                            Vector& flags) {
    const __m256i in_bucket = _mm256_set1_epi32(kLookupMask);
    const __m256i cum = _mm256_set1_epi32(kCumMask);
    const __m256i t = widen(tables);
    const __m256i origin = gather(view.origins, t);
    const __m256i slot = _mm256_and_si256(x, _mm256_set1_epi32(kProbScale - 1));
    const __m256i place = _mm256_or_si256(_mm256_slli_epi32(t, kLookupBits),
                                          _mm256_srli_epi32(slot, kLookupShift));
    const __m256i entry = gather(view.lookups, place);
    const __m256i inside = _mm256_and_si256(slot, in_bucket);
    __m256i k = _mm256_srli_epi32(entry, kBegins * kLookupShift);
#pragma GCC unroll 4
    for (u32 i = 0; i < kBegins; ++i) {
      const __m256i begin =
          _mm256_and_si256(_mm256_srli_epi32(entry, int(i * kLookupShift)), in_bucket);
      k = _mm256_sub_epi32(k, _mm256_cmpgt_epi32(inside, begin));
    }
    const __m256i first = _mm256_and_si256(origin, _mm256_set1_epi32((1 << kFirstBits) - 1));
    __m256i event = gather(view.events, _mm256_add_epi32(first, k));
    __m256i inner = _mm256_sub_epi32(slot, _mm256_and_si256(event, cum));
    __m256i freq = _mm256_srli_epi32(event, 16);
    __m256i holds = _mm256_cmpgt_epi32(freq, inner);
    while (_mm256_movemask_epi8(holds) != -1) {
      // Where an event does not hold the slot, the next one may: + 1, that is - ~holds.
      k = _mm256_sub_epi32(k, _mm256_xor_si256(holds, _mm256_set1_epi32(-1)));
      event = gather(view.events, _mm256_add_epi32(first, k));
      inner = _mm256_sub_epi32(slot, _mm256_and_si256(event, cum));
      freq = _mm256_srli_epi32(event, 16);
      holds = _mm256_cmpgt_epi32(freq, inner);
    }
    const __m256i offset = _mm256_sub_epi32(_mm256_srli_epi32(origin, kFirstBits),
                                            _mm256_set1_epi32(kOffsetBias));
    // The blend goes by the highest bit.
    const __m256i escape = _mm256_slli_epi32(event, 31 - kEscapeBit);
    store(out, _mm256_castps_si256(_mm256_blendv_ps(
                   _mm256_castsi256_ps(_mm256_add_epi32(offset, k)),
                   _mm256_castsi256_ps(_mm256_set1_epi32(kEscaped)), _mm256_castsi256_ps(escape))));
    flags = _mm256_or_si256(flags, event);
    x = _mm256_add_epi32(_mm256_mullo_epi32(freq, _mm256_srli_epi32(x, kProbBits)), inner);
    // The lanes that need a word take the next ones in ascending order.
    const __m256i needs = _mm256_cmpeq_epi32(_mm256_srli_epi32(x, 16), _mm256_setzero_si256());
    const u32 mask = u32(_mm256_movemask_ps(_mm256_castsi256_ps(needs)));
    const __m256i places = _mm256_cvtepu8_epi32(
        _mm_loadl_epi64(reinterpret_cast<const __m128i*>(kWordPlaces.of[mask])));
    const __m256i words = _mm256_permutevar8x32_epi32(widen(next), places);
    x = _mm256_blendv_epi8(x, _mm256_or_si256(_mm256_slli_epi32(x, 16), words), needs);
    next += 2 * u32(__builtin_popcount(mask));
  }
};

Status decode_avx2(const TableView& view, u32 lanes, Segment* segments, u32 count,
                   bool& escaped) {
  // One vector at a time waits for its gathers longer than 8 lanes take one by one.
  if (lanes < 16 || !view.origins) {
    return kScalarLoops.decode(view, lanes, segments, count, escaped);
  }
  const auto decode = lanes == 16 ? decode_vectors<Avx2, 2> : decode_vectors<Avx2, 4>;
  return decode(view, segments, count, escaped);
}

}  // namespace
}  // namespace fcmrt::cpu

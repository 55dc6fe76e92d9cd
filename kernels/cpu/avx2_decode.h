// Decoding 8 lanes to a vector, without the instructions that AVX-512 has for it.
#pragma once

#include "vector_decode.h"
#include "x86_loads.h"

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

// The integers of `base` at eight places.
template <class Index>
[[gnu::always_inline]] inline __m256i load_each(const u32* base, const Index* at) {
  return _mm256_set_m128i(load_four(base, at + 4), load_four(base, at));
}

struct Lanes8 {
  using Vector = __m256i;
  static constexpr u32 kWidth = 8;
  static Vector load(const u32* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static void store(void* p, Vector v) { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }
};

struct Avx2Decoder : Lanes8 {
  struct Places {
    explicit Places(const TableView&) {}
  };
  static __m256i widen(const void* words) {
    return _mm256_cvtepu16_epi32(_mm_loadu_si128(static_cast<const __m128i*>(words)));
  }

  [[gnu::always_inline]] static void decode(const TableView& view, const Places&, Vector& x,
                                            const u8*& next, const u16* tables, i32* out,
                                            bool& escaped) {
    const __m256i place = load_each(view.places, tables);
    const __m256i slot = _mm256_and_si256(x, _mm256_set1_epi32(kProbScale - 1));
    const __m256i bits = _mm256_and_si256(place, _mm256_set1_epi32((1 << kBucketBits) - 1));
    const __m256i at = _mm256_add_epi32(_mm256_srli_epi32(place, kBucketBits),
                                        _mm256_srlv_epi32(slot, bits));
    __m128d a, b, c, d;
    load_entries(view.lookups, _mm256_castsi256_si128(at), a, b);
    load_entries(view.lookups, _mm256_extracti128_si256(at, 1), c, d);
    const __m256 ac = _mm256_castpd_ps(_mm256_insertf128_pd(_mm256_castpd128_pd256(a), c, 1));
    const __m256 bd = _mm256_castpd_ps(_mm256_insertf128_pd(_mm256_castpd128_pd256(b), d, 1));
    const __m256i low = _mm256_castps_si256(_mm256_shuffle_ps(ac, bd, 0x88));
    const __m256i high = _mm256_castps_si256(_mm256_shuffle_ps(ac, bd, 0xDD));
    // All ones where it is the first event.
    const __m256i inner =
        _mm256_sub_epi32(slot, _mm256_and_si256(low, _mm256_set1_epi32(kBeginMask)));
    const __m256i first = _mm256_srai_epi32(inner, 31);
    const __m256i freq = _mm256_and_si256(high, _mm256_set1_epi32(kSecondFreqMask));
    const __m256i quotient = _mm256_srli_epi32(x, kProbBits);
    const __m256i of_second = _mm256_mullo_epi32(freq, quotient);
    const __m256i of_first =
        _mm256_mullo_epi32(_mm256_srli_epi32(low, kFirstFreqShift),
                           _mm256_add_epi32(quotient, _mm256_set1_epi32(1)));
    const __m256i symbol = _mm256_add_epi32(_mm256_srai_epi32(high, kSymbolShift), first);
    store(out, symbol);
    const u32 held = u32(_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(freq, inner))));
    const __m256i before = x;
    x = _mm256_add_epi32(_mm256_blendv_epi8(of_second, of_first, first), inner);
    if (held != 0xFF) [[unlikely]] {
      scan_lanes(view, before, symbol, ~held & 0xFF, tables, out, x, escaped);
    }
    // The lanes that need a word take the next ones in ascending order.
    const __m256i needs = _mm256_cmpeq_epi32(_mm256_srli_epi32(x, 16), _mm256_setzero_si256());
    const u32 mask = u32(_mm256_movemask_ps(_mm256_castsi256_ps(needs)));
    const __m256i order = _mm256_cvtepu8_epi32(
        _mm_loadl_epi64(reinterpret_cast<const __m128i*>(kWordPlaces.of[mask])));
    const __m256i words = _mm256_permutevar8x32_epi32(widen(next), order);
    x = _mm256_blendv_epi8(x, _mm256_or_si256(_mm256_slli_epi32(x, 16), words), needs);
    next += 2 * u32(__builtin_popcount(mask));
  }

  // Corrects the lanes whose slots are not in their buckets' entries.
  [[gnu::always_inline]] static void scan_lanes(const TableView& view, __m256i before,
                                                __m256i symbol, u32 lanes, const u16* tables,
                                                i32* out, __m256i& x, bool& escaped) {
    // Nothing is read back from `out`: other threads may write there.
    alignas(32) u32 states[8], after[8];
    alignas(32) i32 symbols[8];
    store(states, before);
    store(after, x);
    store(symbols, symbol);
    for (; lanes; lanes &= lanes - 1) {
      const u32 i = u32(__builtin_ctz(lanes));
      const Found found = scan(view, tables[i], decode_slot(states[i]), symbols[i] - 1);
      after[i] = decode_step(states[i], found.freq, found.cum);
      out[i] = found.symbol;
      escaped |= found.symbol == kEscaped;
    }
    x = load(after);
  }
};

Status decode_avx2(const TableView& view, u32 lanes, Segment* segments, u32 count,
                   bool& escaped) {
  // A single vector waits for its own chain longer than 8 lanes take one by one.
  if (lanes < 16 || view.biases) {
    return kScalarLoops.decode(view, lanes, segments, count, escaped);
  }
  const auto decode = lanes == 16 ? decode_vectors<Avx2Decoder, 2> : decode_vectors<Avx2Decoder, 4>;
  return decode(view, segments, count, escaped);
}

}  // namespace
}  // namespace fcmrt::cpu

// Decoding 16 lanes to a vector.
#pragma once

#include "vector_decode.h"
#include "x86_loads.h"

namespace fcmrt::cpu {
namespace {

// Element t of 64 in four registers.
[[gnu::always_inline]] inline __m512i permute_64(const __m512i* parts, __m512i t) {
  const __m512i low = _mm512_permutex2var_epi32(parts[0], t, parts[1]);
  const __m512i high = _mm512_permutex2var_epi32(parts[2], t, parts[3]);
  return _mm512_mask_mov_epi32(low, _mm512_test_epi32_mask(t, _mm512_set1_epi32(32)), high);
}

// The integers of `base` at sixteen places.
template <class Index>
[[gnu::always_inline]] inline __m512i load_each(const u32* base, const Index* at) {
  const __m256i low = _mm256_set_m128i(load_four(base, at + 4), load_four(base, at));
  const __m256i high = _mm256_set_m128i(load_four(base, at + 12), load_four(base, at + 8));
  return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

// All tables' places: in four registers if there are few tables, else in memory.
template <bool few>
struct Places {
  explicit Places(const TableView& view) : memory(view.places) {
    if constexpr (few) {
      for (int i = 0; i < 4; ++i) parts[i] = _mm512_loadu_si512(memory + 16 * i);
    }
  }
  [[gnu::always_inline]] __m512i of(const u16* tables) const {
    if constexpr (!few) return load_each(memory, tables);
    return permute_64(parts, _mm512_cvtepu16_epi32(_mm256_loadu_si256(
                                 reinterpret_cast<const __m256i*>(tables))));
  }
  const u32* memory;
  __m512i parts[few ? 4 : 1];
};

[[gnu::always_inline]] inline __m512 join(const __m128d* parts) {
  const __m256d low = _mm256_insertf128_pd(_mm256_castpd128_pd256(parts[0]), parts[1], 1);
  const __m256d high = _mm256_insertf128_pd(_mm256_castpd128_pd256(parts[2]), parts[3], 1);
  return _mm512_castpd_ps(_mm512_insertf64x4(_mm512_castpd256_pd512(low), high, 1));
}

struct Lanes16 {
  using Vector = __m512i;
  static constexpr u32 kWidth = 16;
  static Vector load(const u32* p) { return _mm512_loadu_si512(p); }
  static void store(u32* p, Vector v) { _mm512_storeu_si512(p, v); }
};

template <bool few>
struct Avx512Decoder : Lanes16 {
  using Places = cpu::Places<few>;

  [[gnu::always_inline]] static void decode(const TableView& view, const Places& places,
                                            Vector& x, const u8*& next, const u16* tables,
                                            i32* out, bool& escaped) {
    const __m512i place = places.of(tables);
    const __m512i bits = _mm512_and_si512(place, _mm512_set1_epi32((1 << kBucketBits) - 1));
    const __m512i slot = _mm512_and_si512(x, _mm512_set1_epi32(kProbScale - 1));
    const __m512i at = _mm512_add_epi32(_mm512_srli_epi32(place, kBucketBits),
                                        _mm512_srlv_epi32(slot, bits));
    __m128d a[4], b[4];
    load_entries(view.lookups, _mm512_castsi512_si128(at), a[0], b[0]);
    load_entries(view.lookups, _mm512_extracti32x4_epi32(at, 1), a[1], b[1]);
    load_entries(view.lookups, _mm512_extracti32x4_epi32(at, 2), a[2], b[2]);
    load_entries(view.lookups, _mm512_extracti32x4_epi32(at, 3), a[3], b[3]);
    const __m512 aa = join(a);
    const __m512 bb = join(b);
    const __m512i low = _mm512_castps_si512(_mm512_shuffle_ps(aa, bb, 0x88));
    const __m512i high = _mm512_castps_si512(_mm512_shuffle_ps(aa, bb, 0xDD));

    // All ones where it is the first event.
    const __m512i inner =
        _mm512_sub_epi32(slot, _mm512_and_si512(low, _mm512_set1_epi32(kBeginMask)));
    const __m512i first = _mm512_srai_epi32(inner, 31);
    const __m512i freq = _mm512_and_si512(high, _mm512_set1_epi32(kSecondFreqMask));
    const __m512i quotient = _mm512_srli_epi32(x, kProbBits);
    const __m512i of_second = _mm512_mullo_epi32(freq, quotient);
    const __m512i of_first =
        _mm512_mullo_epi32(_mm512_srli_epi32(low, kFirstFreqShift),
                           _mm512_add_epi32(quotient, _mm512_set1_epi32(1)));
    const __m512i symbol = _mm512_add_epi32(_mm512_srai_epi32(high, kSymbolShift), first);
    _mm512_storeu_si512(out, symbol);
    const __mmask16 beyond = _mm512_cmpge_epi32_mask(inner, freq);
    const __m512i before = x;
    x = _mm512_add_epi32(_mm512_ternarylogic_epi32(first, of_first, of_second, 0xCA), inner);
    if (beyond) [[unlikely]] {
      scan_lanes(view, before, symbol, beyond, tables, out, x, escaped);
    }
    // The lanes that need a word take the next ones in ascending order.
    const __mmask16 needs = _mm512_cmplt_epu32_mask(x, _mm512_set1_epi32(kStateMin));
    const __m512i words = _mm512_maskz_expand_epi32(
        needs, _mm512_cvtepu16_epi32(
                   _mm256_loadu_si256(reinterpret_cast<const __m256i*>(next))));
    x = _mm512_mask_or_epi32(x, needs, _mm512_slli_epi32(x, 16), words);
    next += 2 * u32(__builtin_popcount(needs));
  }

  // Corrects the lanes whose slots are not in their buckets' entries.
  [[gnu::always_inline]] static void scan_lanes(const TableView& view, __m512i before,
                                                __m512i symbol, u32 lanes, const u16* tables,
                                                i32* out, __m512i& x, bool& escaped) {
    // Nothing is read back from `out`: other threads may write there.
    alignas(64) u32 states[16];
    alignas(64) i32 symbols[16];
    _mm512_store_si512(states, before);
    _mm512_store_si512(symbols, symbol);
    for (; lanes; lanes &= lanes - 1) {
      const u32 i = u32(__builtin_ctz(lanes));
      const Found found = scan(view, tables[i], decode_slot(states[i]), symbols[i] - 1);
      x = _mm512_mask_set1_epi32(x, __mmask16(lanes & (0 - lanes)),
                                 i32(decode_step(states[i], found.freq, found.cum)));
      out[i] = found.symbol;
      escaped |= found.symbol == kEscaped;
    }
  }
};

Status decode_avx512(const TableView& view, u32 lanes, Segment* segments, u32 count,
                     bool& escaped) {
  if (lanes < 16 || view.biases) {
    return kScalarLoops.decode(view, lanes, segments, count, escaped);
  }
  const auto decode =
      view.count <= kFewTables
          ? (lanes == 16 ? decode_vectors<Avx512Decoder<true>, 1>
                         : decode_vectors<Avx512Decoder<true>, 2>)
          : (lanes == 16 ? decode_vectors<Avx512Decoder<false>, 1>
                         : decode_vectors<Avx512Decoder<false>, 2>);
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

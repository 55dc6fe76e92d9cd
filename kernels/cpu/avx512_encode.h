// Encoding 16 lanes to a vector.
#pragma once

#include <immintrin.h>

#include "avx512_decode.h"
#include "scalar_encode.h"

namespace fcmrt::cpu {
namespace {

// The lanes of `needs` hand over their words, which go in front of `p` in ascending order of lane.
// 32 bytes are written, those in front of the words for nothing.
[[gnu::always_inline]] inline u8* put_words(__m512i x, __mmask16 needs, u8* p) {
  const u32 count = u32(__builtin_popcount(needs));
  const __m512i packed = _mm512_maskz_compress_epi32(needs, x);
  const __m512i last = _mm512_maskz_expand_epi32(__mmask16(0xFFFF0000u >> count), packed);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p - 32), _mm512_cvtepi32_epi16(last));
  return p - 2 * count;
}

// One round: the states after the events `numbers` of 16 lanes.
//
// x / freq is estimated in binary32. The quotient is below 2^18. Two conversions, a division and
// two products are wrong by less than 2^-21 of it together, and the estimate is lowered by 2^-20 of
// it, so it is at most the quotient and by less than 1 smaller: rounded down it is the integer
// quotient or one less, and the remainder tells which.
[[gnu::always_inline]] inline __m512i encode_events(const u32* events, const u32* numbers,
                                                    __m512i x, u8*& p) {
  const __m512i event = _mm512_i32gather_epi32(_mm512_loadu_si512(numbers), events, 4);
  const __m512i cum = _mm512_and_si512(event, _mm512_set1_epi32(0xFFFF));
  const __m512i freq = _mm512_srli_epi32(event, 16);
  const __m512 lowered = _mm512_set1_ps(1.0f - 1.0f / 1048576.0f);
  const __m512 inverse = _mm512_div_ps(lowered, _mm512_cvtepi32_ps(freq));
  const __m512i rest = _mm512_sub_epi32(_mm512_set1_epi32(kProbScale), freq);

  const __mmask16 needs = _mm512_cmpge_epu32_mask(_mm512_srli_epi32(x, 32 - kProbBits), freq);
  p = put_words(x, needs, p);
  x = _mm512_mask_srli_epi32(x, needs, x, 16);
  const __m512i quotient =
      _mm512_cvttps_epi32(_mm512_mul_ps(_mm512_cvtepu32_ps(x), inverse));
  const __m512i remainder = _mm512_sub_epi32(x, _mm512_mullo_epi32(quotient, freq));
  const __mmask16 low = _mm512_cmpge_epu32_mask(remainder, freq);
  // As encode_step: x + cum + quotient * (2^14 - freq).
  const __m512i next =
      _mm512_add_epi32(_mm512_add_epi32(x, cum), _mm512_mullo_epi32(quotient, rest));
  return _mm512_mask_add_epi32(next, low, next, rest);
}

template <u32 V>
u8* encode_rounds(const TableView& view, const u32* numbers, u64 count, u32* states, u8* p) {
  // The last symbols, less than a round, come first.
  u64 i = count / (16 * V) * (16 * V);
  p = encode_share<16 * V>(view.entries, numbers + i, count - i, states, p);
  __m512i x[V];
#pragma GCC unroll 2
  for (u32 v = 0; v < V; ++v) x[v] = _mm512_loadu_si512(states + 16 * v);
  while (i > 0) {
    i -= 16 * V;
#pragma GCC unroll 2
    for (u32 w = 0; w < V; ++w) {
      const u32 v = V - 1 - w;
      x[v] = encode_events(view.events, numbers + i + 16 * v, x[v], p);
    }
  }
#pragma GCC unroll 2
  for (u32 v = 0; v < V; ++v) _mm512_storeu_si512(states + 16 * v, x[v]);
  return p;
}

u8* encode_avx512(const TableView& view, const u32* numbers, u64 count, u32 lanes, u32* states,
                  u8* p) {
  if (lanes == 16) return encode_rounds<1>(view, numbers, count, states, p);
  if (lanes == 32) return encode_rounds<2>(view, numbers, count, states, p);
  return kScalarLoops.encode(view, numbers, count, lanes, states, p);
}

template <class Index>
Status list_events_groups(const TableView& view, const i32* symbols, const Index* indexes,
                          std::size_t count, u32 skip, u32* numbers, u64& coded,
                          const EscapeSink& escapes) {
  const __m512i tables = _mm512_set1_epi32(i32(view.count));
  const __m512i least = _mm512_set1_epi32(i32(skip));
  const int* const heads = reinterpret_cast<const int*>(view.heads);
  u64 n = 0;
  Status status = Status::ok;
  std::size_t p = 0;
  for (; count - p >= kGroup; p += kGroup) {
    const __m512i t = load_indexes(indexes + p);
    const __m512i symbol = _mm512_loadu_si512(symbols + p);
    const __mmask16 on = _mm512_cmpge_epi32_mask(t, least);
    const __mmask16 wrong =
        _mm512_cmpge_epi32_mask(t, tables) |
        _mm512_mask_test_epi32_mask(__mmask16(~on), symbol, symbol);
    if (wrong) [[unlikely]] {
      // The first mistake is the one to tell; if another thread has mended it, go on.
      status = list_events_of(view, symbols, indexes, p, p + kGroup, skip, numbers, n, escapes);
      if (status != Status::ok) break;
      continue;
    }
    const __m512i place = _mm512_slli_epi32(t, 2);  // in units of 4 bytes
    const __m512i first = _mm512_i32gather_epi32(place, heads, 4);
    const __m512i size = _mm512_i32gather_epi32(place, heads + 1, 4);
    const __m512i offset = _mm512_i32gather_epi32(place, heads + 2, 4);
    const __m512i k = _mm512_min_epu32(_mm512_sub_epi32(symbol, offset), size);
    _mm512_storeu_si512(numbers + n,
                        _mm512_maskz_compress_epi32(on, _mm512_add_epi32(first, k)));
    n += u32(__builtin_popcount(on));
    u32 outside = _mm512_mask_cmpeq_epi32_mask(on, k, size);
    if (outside) [[unlikely]] {
      alignas(64) u32 table_of[kGroup];
      alignas(64) i32 value_of[kGroup];
      _mm512_store_si512(table_of, t);
      _mm512_store_si512(value_of, symbol);
      for (; outside; outside &= outside - 1) {
        const u32 i = u32(__builtin_ctz(outside));
        escapes.put(escapes.self, view.heads[table_of[i]], value_of[i]);
      }
    }
  }
  if (status == Status::ok) {
    status = list_events_of(view, symbols, indexes, p, count, skip, numbers, n, escapes);
  }
  coded = n;
  return status;
}

Status list_events_avx512(const TableView& view, const i32* symbols, Indexes indexes, u32 skip,
                          u32* numbers, u64& coded, EscapeSink escapes) {
  return indexes.wide
             ? list_events_groups(view, symbols, static_cast<const u16*>(indexes.data),
                                  indexes.count, skip, numbers, coded, escapes)
             : list_events_groups(view, symbols, static_cast<const u8*>(indexes.data),
                                  indexes.count, skip, numbers, coded, escapes);
}

}  // namespace
}  // namespace fcmrt::cpu

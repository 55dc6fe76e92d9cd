// Encoding 16 lanes to a vector.
#pragma once

#include "avx512_decode.h"
#include "vector_encode.h"

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

struct Avx512Encoder : Lanes16 {
  [[gnu::always_inline]] static Vector encode(const u32* events, const u32* numbers, Vector x,
                                              u8*& p) {
    const __m512i event = load_each(events, numbers);
    const __m512i cum = _mm512_and_si512(event, _mm512_set1_epi32(kEventCumMask));
    const __m512i freq = _mm512_srli_epi32(event, kEventFreqShift);
    const __m512 inverse = _mm512_div_ps(_mm512_set1_ps(kLowered), _mm512_cvtepi32_ps(freq));
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
};

u8* encode_avx512(const TableView& view, const u32* numbers, u64 count, u32 lanes, u32* states,
                  u8* p) {
  if (lanes == 16) return encode_vectors<Avx512Encoder, 1>(view, numbers, count, states, p);
  if (lanes == 32) return encode_vectors<Avx512Encoder, 2>(view, numbers, count, states, p);
  return kScalarLoops.encode(view, numbers, count, lanes, states, p);
}

// What listing needs of the tables: in eight registers if there are few tables, else in memory.
template <bool few>
struct Heads {
  static_assert(sizeof(TableHead) == 16);
  static constexpr u32 kSizeBits = 12;
  static_assert(kMaxTableSize < 1u << kSizeBits);
  static_assert(kFewTables * (kMaxTableSize + 1) <= 1u << (32 - kSizeBits));

  explicit Heads(const TableView& view) : memory(reinterpret_cast<const int*>(view.heads)) {
    if constexpr (few) {
      const __m512i counting =
          _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
      for (int i = 0; i < 4; ++i) {
        const __m512i t = _mm512_add_epi32(counting, _mm512_set1_epi32(16 * i));
        const __mmask16 there = _mm512_cmplt_epu32_mask(t, _mm512_set1_epi32(i32(view.count)));
        const __m512i place = _mm512_slli_epi32(t, 2);
        const auto field = [&](int number) {
          return _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), there, place,
                                             memory + number, 4);
        };
        spans[i] = _mm512_or_si512(_mm512_slli_epi32(field(0), kSizeBits), field(1));
        offsets[i] = field(2);
      }
    }
  }

  [[gnu::always_inline]] void of(__m512i t, __m512i& first, __m512i& size,
                                 __m512i& offset) const {
    if constexpr (few) {
      const __m512i span = permute_64(spans, t);
      first = _mm512_srli_epi32(span, kSizeBits);
      size = _mm512_and_si512(span, _mm512_set1_epi32((1 << kSizeBits) - 1));
      offset = permute_64(offsets, t);
    } else {
      const __m512i place = _mm512_slli_epi32(t, 2);  // in units of 4 bytes
      first = _mm512_i32gather_epi32(place, memory, 4);
      size = _mm512_i32gather_epi32(place, memory + 1, 4);
      offset = _mm512_i32gather_epi32(place, memory + 2, 4);
    }
  }

  const int* memory;
  __m512i spans[few ? 4 : 1];  // first event << kSizeBits | size
  __m512i offsets[few ? 4 : 1];
};

template <bool few, class Index>
Status list_events_groups(const TableView& view, const i32* symbols, const Index* indexes,
                          std::size_t count, u32 skip, u32* numbers, u64& coded,
                          const EscapeSink& escapes) {
  const __m512i tables = _mm512_set1_epi32(i32(view.count));
  const __m512i least = _mm512_set1_epi32(i32(skip));
  const Heads<few> heads(view);
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
      // The first mistake is the one to report; if another thread has corrected it, go on.
      status = list_events_of(view, symbols, indexes, p, p + kGroup, skip, numbers, n, escapes);
      if (status != Status::ok) break;
      continue;
    }
    __m512i first, size, offset;
    heads.of(t, first, size, offset);
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
  const auto list = [&]<class Index>(const Index* data) {
    return view.count <= kFewTables
               ? list_events_groups<true>(view, symbols, data, indexes.count, skip, numbers, coded,
                                          escapes)
               : list_events_groups<false>(view, symbols, data, indexes.count, skip, numbers,
                                           coded, escapes);
  };
  return indexes.wide ? list(static_cast<const u16*>(indexes.data))
                      : list(static_cast<const u8*>(indexes.data));
}

}  // namespace
}  // namespace fcmrt::cpu

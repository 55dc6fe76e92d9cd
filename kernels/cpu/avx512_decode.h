// Decoding 16 lanes to a vector, two segments at a time to hide the gathers' latency.
#pragma once

#include <immintrin.h>

#include "scalar_decode.h"

namespace fcmrt::cpu {
namespace {

// All tables' origins: in four registers if there are few tables, else in memory.
template <bool few>
struct Origins {
  explicit Origins(const u32* origins) : memory(origins) {
    if constexpr (few) {
      for (int i = 0; i < 4; ++i) parts[i] = _mm512_loadu_si512(origins + 16 * i);
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

// One segment while its share is decoded.
template <u32 V>
struct Run512 {
  __m512i x[V];
  const u8* next;
  const u8* limit;  // a round may begin while next <= limit
  const u16* tables;
  i32* out;
  u64 rounds;
};

// The last words of a segment, with room behind them to read a whole round from any of them.
struct Tail {
  u8 bytes[192];
  const u8* last;  // null: not in use
};

template <u32 V, bool few>
[[gnu::always_inline]] inline void decode_round(const TableView& view, const Origins<few>& origins,
                                                Run512<V>& run, __m512i& flags) {
  const __m512i one = _mm512_set1_epi32(1);
  const __m512i in_bucket = _mm512_set1_epi32(kLookupMask);
#pragma GCC unroll 2
  for (u32 v = 0; v < V; ++v) {
    const __m512i t = _mm512_cvtepu16_epi32(
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(run.tables + 16 * v)));
    const __m512i origin = origins.of(t);
    __m512i x = run.x[v];
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
    const __m512i low16 = _mm512_set1_epi32(0xFFFF);
    const __m512i low15 = _mm512_set1_epi32(0x7FFF);
    __m512i inner = _mm512_sub_epi32(slot, _mm512_and_si512(event, low16));
    __m512i freq = _mm512_and_si512(_mm512_srli_epi32(event, 16), low15);
    __mmask16 beyond = _mm512_cmpge_epu32_mask(inner, freq);
    while (beyond) {
      k = _mm512_mask_add_epi32(k, beyond, k, one);
      event = _mm512_mask_i32gather_epi32(event, beyond, _mm512_add_epi32(first, k), view.events, 4);
      inner = _mm512_sub_epi32(slot, _mm512_and_si512(event, low16));
      freq = _mm512_and_si512(_mm512_srli_epi32(event, 16), low15);
      beyond = _mm512_cmpge_epu32_mask(inner, freq);
    }
    const __m512i offset = _mm512_sub_epi32(_mm512_srli_epi32(origin, kFirstBits),
                                            _mm512_set1_epi32(kOffsetBias));
    const __m512i symbol = _mm512_mask_mov_epi32(_mm512_add_epi32(offset, k),
                                                 _mm512_movepi32_mask(event),
                                                 _mm512_set1_epi32(kEscaped));
    _mm512_storeu_si512(run.out + 16 * v, symbol);
    flags = _mm512_or_si512(flags, event);
    x = _mm512_add_epi32(_mm512_mullo_epi32(freq, _mm512_srli_epi32(x, kProbBits)), inner);
    // The lanes that need a word take the next ones in ascending order.
    const __mmask16 needs = _mm512_cmplt_epu32_mask(x, _mm512_set1_epi32(kStateMin));
    const __m512i words = _mm512_maskz_expand_epi32(
        needs, _mm512_cvtepu16_epi32(
                   _mm256_loadu_si256(reinterpret_cast<const __m256i*>(run.next))));
    run.x[v] = _mm512_mask_or_epi32(x, needs, _mm512_slli_epi32(x, 16), words);
    run.next += 2 * u32(__builtin_popcount(needs));
  }
  run.tables += 16 * V;
  run.out += 16 * V;
  --run.rounds;
}

template <u32 V>
Run512<V> start_run(const Segment& segment, const u16* tables, u64 count, i32* out) {
  Run512<V> run;
  for (u32 v = 0; v < V; ++v) run.x[v] = _mm512_loadu_si512(segment.states + 16 * v);
  run.next = segment.next;
  // Signed: a segment may have less than a round of words.
  run.limit = segment.end - segment.next >= i64(32 * V) ? segment.end - 32 * V : nullptr;
  run.tables = tables;
  run.out = out;
  run.rounds = count / (16 * V);
  return run;
}

// Lets a run go on that has less than a round of words left; false if it has run out of them.
template <u32 V>
[[gnu::noinline]] bool open_tail(const Segment& segment, const u8*& next, const u8*& limit,
                                 Tail& tail) {
  if (tail.last) return false;
  const u64 left = u64(segment.end - next);
  for (u64 i = 0; i < sizeof tail.bytes; ++i) tail.bytes[i] = i < left ? next[i] : 0;
  next = tail.bytes;
  limit = tail.last = tail.bytes + left;
  return true;
}

template <u32 V>
bool ready(const Segment& segment, Run512<V>& run, Tail& tail) {
  if (run.next <= run.limit) [[likely]] return true;
  const u8* next = run.next;
  const u8* limit = run.limit;
  const bool more = open_tail<V>(segment, next, limit, tail);
  run.next = next;
  run.limit = limit;
  return more;
}

// Writes the states back and decodes what is less than a round.
template <u32 V>
Status end_run(const TableView& view, Segment& segment, const Run512<V>& run, const Tail& tail,
               u64 count, bool& escaped) {
  for (u32 v = 0; v < V; ++v) _mm512_storeu_si512(segment.states + 16 * v, run.x[v]);
  if (tail.last && run.next > tail.last) return Status::words_exhausted;
  segment.next = tail.last ? segment.end - (tail.last - run.next) : run.next;
  return decode_share<16 * V>(view, segment, run.tables, count % (16 * V), run.out, escaped);
}

template <u32 V, bool few>
Status decode_segments(const TableView& view, Segment* segments, u32 count, const u16* tables,
                       u64 m, i32* out, bool& escaped) {
  const Origins<few> origins(view.origins);
  __m512i flags = _mm512_setzero_si512();
  for (u32 s = 0; s < count; s += 2) {
    const u64 begin = share_begin(m, s, count);
    const u64 middle = share_begin(m, s + 1, count);
    const u64 end = s + 1 < count ? share_begin(m, s + 2, count) : middle;
    Segment& sa = segments[s];
    Segment& sb = segments[s + 1 < count ? s + 1 : s];
    Run512<V> a = start_run<V>(sa, tables + begin, middle - begin, out + begin);
    Run512<V> b = start_run<V>(sb, tables + middle, end - middle, out + middle);
    Tail ta, tb;
    ta.last = tb.last = nullptr;
    while (a.rounds > 0 && b.rounds > 0) {
      if (!ready(sa, a, ta) || !ready(sb, b, tb)) return Status::words_exhausted;
      decode_round(view, origins, a, flags);
      decode_round(view, origins, b, flags);
    }
    while (a.rounds > 0) {
      if (!ready(sa, a, ta)) return Status::words_exhausted;
      decode_round(view, origins, a, flags);
    }
    Status status = end_run(view, sa, a, ta, middle - begin, escaped);
    if (status != Status::ok) return status;
    while (b.rounds > 0) {
      if (!ready(sb, b, tb)) return Status::words_exhausted;
      decode_round(view, origins, b, flags);
    }
    if (s + 1 < count) status = end_run(view, sb, b, tb, end - middle, escaped);
    if (status != Status::ok) return status;
  }
  escaped |= _mm512_movepi32_mask(flags) != 0;
  return Status::ok;
}

Status decode_avx512(const TableView& view, u32 lanes, Segment* segments, u32 count,
                     const u16* tables, u64 m, i32* out, bool& escaped) {
  if (lanes < 16 || !view.origins) {
    return decode_scalar(view, lanes, segments, count, tables, m, out, escaped);
  }
  const bool few = view.count <= kOriginsInRegisters;
  if (lanes == 16) {
    return few ? decode_segments<1, true>(view, segments, count, tables, m, out, escaped)
               : decode_segments<1, false>(view, segments, count, tables, m, out, escaped);
  }
  return few ? decode_segments<2, true>(view, segments, count, tables, m, out, escaped)
             : decode_segments<2, false>(view, segments, count, tables, m, out, escaped);
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

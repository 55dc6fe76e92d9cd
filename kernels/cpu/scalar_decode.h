// Portable decoding loops; each instruction set compiles them for itself and replaces what it does
// better.
#pragma once

#include "loops.h"

namespace fcmrt::cpu {
namespace {

template <class Index>
Listed list_coded_of(const Index* indexes, std::size_t count, u32 skip, u16* tables, u16* masks) {
  u32 largest = 0;
  if (skip == 0) {
    for (std::size_t p = 0; p < count; ++p) {
      const u32 t = indexes[p];
      tables[p] = u16(t);
      largest = t > largest ? t : largest;
    }
    return {largest, count};
  }
  u64 coded = 0;
  for (std::size_t p = 0; p < count; p += kGroup) {
    u32 mask = 0;
    for (u32 i = 0; i < kGroup && p + i < count; ++i) {
      const u32 t = indexes[p + i];
      const u32 on = t >= skip;
      tables[coded] = u16(t);
      coded += on;
      mask |= on << i;
      largest = t > largest ? t : largest;
    }
    masks[p / kGroup] = u16(mask);
  }
  return {largest, coded};
}

Listed list_coded(Indexes indexes, u32 skip, u16* tables, u16* masks) {
  return indexes.wide ? list_coded_of(static_cast<const u16*>(indexes.data), indexes.count, skip,
                                      tables, masks)
                      : list_coded_of(static_cast<const u8*>(indexes.data), indexes.count, skip,
                                      tables, masks);
}

void spread(const i32* coded, const u16* masks, std::size_t count, i32* out) {
  for (std::size_t p = 0; p < count; ++p) {
    const i32 on = masks[p / kGroup] >> (p % kGroup) & 1;
    out[p] = *coded & -on;
    coded += on;
  }
}

// Out of the way of the loops, which need it rarely.
[[gnu::noinline, gnu::cold]] Found scan_apart(const TableView& view, u32 t, u32 slot, i32 symbol) {
  return scan(view, t, slot, symbol);
}

// Decodes the symbol of a lane in state `x`, before renormalisation.
template <bool biased>
[[gnu::always_inline]] inline i32 decode_symbol(const TableView& view, u32 t, u32& x,
                                                bool& escaped) {
  const u32 slot = decode_slot(x);
  const u64 entry = view.lookups[place_of(view.places[t], slot)];
  const u32 high = u32(entry >> 32);
  const u32 inner = slot - (u32(entry) & kBeginMask);
  const u32 freq = high & kSecondFreqMask;
  const u32 quotient = x >> kProbBits;
  const u32 of_first = (u32(entry) >> kFirstFreqShift) * (quotient + 1);
  const u32 of_second = freq * quotient;
  const u32 first = mask_if(i32(inner) < 0);
  const u32 after = choose(first, of_first, of_second) + inner;
  i32 symbol = (i32(high) >> kSymbolShift) + i32(first);
  if constexpr (biased) symbol += view.biases[t];
  if (i32(inner) >= i32(freq)) [[unlikely]] {
    const Found found = scan_apart(view, t, slot, symbol - 1);
    x = decode_step(x, found.freq, found.cum);
    escaped |= found.symbol == kEscaped;
    return found.symbol;
  }
  x = after;
  return symbol;
}

template <u32 L, bool biased>
Status decode_share(const TableView& borrowed, Segment& segment, const u16* tables, u64 count,
                    i32* out, bool& any_escaped) {
  const TableView view = borrowed;  // nothing that is written here can change the copies
  constexpr u32 kBlock = L < 8 ? L : 8;
  bool escaped = false;
  u32 x[L];
  for (u32 lane = 0; lane < L; ++lane) x[lane] = segment.states[lane];
  const u8* next = segment.next;
  const u8* const end = segment.end;
  u64 i = 0;
  // While there are words for a whole round of lanes, none of them needs to look for the end.
  while (count - i >= L && u64(end - next) >= 2 * L) {
    for (u32 block = 0; block < L; block += kBlock) {
#pragma GCC unroll 8
      for (u32 lane = 0; lane < kBlock; ++lane) {
        u32& state = x[block + lane];
        out[i + lane] = decode_symbol<biased>(view, tables[i + lane], state, escaped);
        decode_renormalise_unchecked(state, next);
      }
      i += kBlock;
    }
  }
  for (u32 lane = 0; i < count; ++i, lane = (lane + 1) % L) {
    out[i] = decode_symbol<biased>(view, tables[i], x[lane], escaped);
    if (!decode_renormalise(x[lane], next, end)) return Status::words_exhausted;
  }
  for (u32 lane = 0; lane < L; ++lane) segment.states[lane] = x[lane];
  segment.next = next;
  any_escaped |= escaped;
  return Status::ok;
}

template <u32 L>
Status decode_share(const TableView& view, Segment& segment, const u16* tables, u64 count,
                    i32* out, bool& escaped) {
  return view.biases ? decode_share<L, true>(view, segment, tables, count, out, escaped)
                     : decode_share<L, false>(view, segment, tables, count, out, escaped);
}

Status decode_share(const TableView& view, u32 lanes, Segment& segment, const u16* tables,
                    u64 count, i32* out, bool& escaped) {
  switch (lanes) {
    case 1: return decode_share<1>(view, segment, tables, count, out, escaped);
    case 2: return decode_share<2>(view, segment, tables, count, out, escaped);
    case 4: return decode_share<4>(view, segment, tables, count, out, escaped);
    case 8: return decode_share<8>(view, segment, tables, count, out, escaped);
    case 16: return decode_share<16>(view, segment, tables, count, out, escaped);
    default: return decode_share<32>(view, segment, tables, count, out, escaped);
  }
}

[[maybe_unused]] Status decode_scalar(const TableView& view, u32 lanes, Segment* segments,
                                      u32 count, bool& escaped) {
  for (u32 s = 0; s < count; ++s) {
    Segment& segment = segments[s];
    const Status status = decode_share(view, lanes, segment, segment.tables, segment.count,
                                       segment.out, escaped);
    if (status != Status::ok) return status;
  }
  return Status::ok;
}

}  // namespace
}  // namespace fcmrt::cpu

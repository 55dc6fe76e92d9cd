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

// Decodes the symbol of a lane in state `x`, before renormalisation.
inline i32 decode_symbol(const TableView& view, u32 t, u32& x, u32& flags) {
  const TableHead head = view.heads[t];
  const u32* const events = view.events + head.first;
  const u32 slot = decode_slot(x);
  u32 k = first_event(view.lookups[t << kLookupBits | slot >> kLookupShift]);
  u32 event = events[k];
  // Ends within the table because frequencies add up to 2^14.
  while (slot - flagged_cum(event) >= flagged_freq(event)) event = events[++k];
  x = decode_step(x, flagged_freq(event), flagged_cum(event));
  flags |= event;
  return event & kEscapeFlag ? kEscaped : head.offset + i32(k);
}

template <u32 L>
Status decode_share(const TableView& view, Segment& segment, const u16* tables, u64 count,
                    i32* out, bool& escaped) {
  u32 x[L];
  for (u32 lane = 0; lane < L; ++lane) x[lane] = segment.states[lane];
  const u8* next = segment.next;
  const u8* const end = segment.end;
  u32 flags = 0;
  u64 i = 0;
  // While there are words for a whole round of lanes, none of them needs to look for the end.
  while (count - i >= L && u64(end - next) >= 2 * L) {
    for (u32 lane = 0; lane < L; ++lane) {
      out[i + lane] = decode_symbol(view, tables[i + lane], x[lane], flags);
      decode_renormalise_unchecked(x[lane], next);
    }
    i += L;
  }
  for (u32 lane = 0; i < count; ++i, lane = (lane + 1) % L) {
    out[i] = decode_symbol(view, tables[i], x[lane], flags);
    if (!decode_renormalise(x[lane], next, end)) return Status::words_exhausted;
  }
  for (u32 lane = 0; lane < L; ++lane) segment.states[lane] = x[lane];
  segment.next = next;
  escaped |= (flags & kEscapeFlag) != 0;
  return Status::ok;
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

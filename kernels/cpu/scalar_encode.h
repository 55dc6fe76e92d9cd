// Portable encoding loops, as scalar_decode.h.
#pragma once

#include "loops.h"

namespace fcmrt::cpu {
namespace {

// Lists the events of elements [from, to), as Loops::list_events.
//
// Every index and symbol is read from the caller's memory once, so a thread that writes there
// meanwhile can spoil the result but not the bounds.
template <class Index>
Status list_events_of(const TableView& view, const i32* symbols, const Index* indexes,
                      std::size_t from, std::size_t to, u32 skip, u32* numbers, u64& coded,
                      const EscapeSink& escapes) {
  u64 n = coded;  // a copy, which an escape cannot be looking at
  for (std::size_t p = from; p < to; ++p) {
    const u32 t = indexes[p];
    const i32 symbol = symbols[p];
    if (t >= view.count) return Status::index_out_of_range;
    if (t < skip) {
      if (symbol != 0) return Status::skipped_nonzero;
      continue;
    }
    const TableHead& head = view.heads[t];
    const u32 k = event_of(head, symbol);
    numbers[n++] = head.first + k;
    if (k == head.size) [[unlikely]] escapes.put(escapes.self, head, symbol);
  }
  coded = n;
  return Status::ok;
}

[[maybe_unused]] Status list_events(const TableView& view, const i32* symbols, Indexes indexes,
                                    u32 skip, u32* numbers, u64& coded, EscapeSink escapes) {
  coded = 0;
  return indexes.wide
             ? list_events_of(view, symbols, static_cast<const u16*>(indexes.data), 0,
                              indexes.count, skip, numbers, coded, escapes)
             : list_events_of(view, symbols, static_cast<const u8*>(indexes.data), 0,
                              indexes.count, skip, numbers, coded, escapes);
}

inline u32 encode_event(const EncodeEntry& entry, u32 state, u8*& p) {
  encode_renormalise(state, entry.freq, p);
  return encode_step(state, entry.reciprocal, entry.freq, entry.cum);
}

template <u32 L>
u8* encode_share(const EncodeEntry* entries, const u32* numbers, u64 count, u32* states, u8* p) {
  u32 x[L];
  for (u32 lane = 0; lane < L; ++lane) x[lane] = states[lane];
  u64 i = count;
  while (i % L != 0) {
    --i;
    x[i % L] = encode_event(entries[numbers[i]], x[i % L], p);
  }
  while (i > 0) {
    i -= L;
#pragma GCC unroll 8
    for (u32 lane = 0; lane < L; ++lane) {
      u32& state = x[L - 1 - lane];
      state = encode_event(entries[numbers[i + L - 1 - lane]], state, p);
    }
  }
  for (u32 lane = 0; lane < L; ++lane) states[lane] = x[lane];
  return p;
}

[[maybe_unused]] u8* encode_scalar(const TableView& view, const u32* numbers, u64 count, u32 lanes,
                                   u32* states, u8* p) {
  switch (lanes) {
    case 1: return encode_share<1>(view.entries, numbers, count, states, p);
    case 2: return encode_share<2>(view.entries, numbers, count, states, p);
    case 4: return encode_share<4>(view.entries, numbers, count, states, p);
    case 8: return encode_share<8>(view.entries, numbers, count, states, p);
    case 16: return encode_share<16>(view.entries, numbers, count, states, p);
    default: return encode_share<32>(view.entries, numbers, count, states, p);
  }
}

}  // namespace
}  // namespace fcmrt::cpu

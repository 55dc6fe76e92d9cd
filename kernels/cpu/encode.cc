#include <algorithm>

#include "coder.h"
#include "fcmrt/escape.h"

namespace fcmrt::cpu {
namespace {

// Turns a step into events, in order: calls event(head, symbol, entry number) for each coded one.
//
// Every index and symbol is read from the caller's memory once, so a thread that writes there
// meanwhile can spoil the result but not the bounds.
template <class Index, class Event>
Status for_each_event(const Step& step, Event&& event) {
  const Index* indexes = static_cast<const Index*>(step.indexes.data);
  const TableHead* heads = step.tables->heads();
  const u32 count = step.tables->count();
  for (std::size_t p = 0; p < step.indexes.count; ++p) {
    const u32 t = indexes[p];
    const i32 symbol = step.symbols[p];
    if (t >= count) return Status::index_out_of_range;
    if (t < step.skip) {
      if (symbol != 0) return Status::skipped_nonzero;
      continue;
    }
    const TableHead& head = heads[t];
    const u32 k = event_of(head, symbol);
    event(head, symbol, k);
  }
  return Status::ok;
}

template <class Event>
Status visit(const Step& step, Event&& event) {
  return step.indexes.wide ? for_each_event<u16>(step, event) : for_each_event<u8>(step, event);
}

// The numbers of a step's events among all events of its tables.
struct Events {
  std::vector<u32> numbers;
  const EncodeEntry* entries;
};

Status list_events(const Step& step, Events& out, std::vector<u8>& escapes) {
  out.entries = step.tables->encode_entries();
  out.numbers.resize(step.indexes.count);
  u32* next = out.numbers.data();
  const Status status = visit(step, [&](const TableHead& head, i32 symbol, u32 k) {
    *next++ = head.first + k;
    if (k == head.size) [[unlikely]] {
      u8 bytes[kMaxEscapeBytes];
      escapes.insert(escapes.end(), bytes, bytes + put_escape(bytes, escape_code(head, symbol)));
    }
  });
  out.numbers.resize(std::size_t(next - out.numbers.data()));
  return status;
}

// Codes a share from its last event to its first; words go downwards from `p`. There must be room
// for one word more than the share has events, see encode_renormalise.
template <u32 L>
u8* encode_share(const EncodeEntry* entries, const u32* numbers, u64 count, u32* states, u8* p) {
  u32 x[L];
  std::copy_n(states, L, x);
  auto put = [&](u32 lane, u64 i) {
    const EncodeEntry& entry = entries[numbers[i]];
    u32 state = x[lane];
    encode_renormalise(state, entry.freq, p);
    x[lane] = encode_step(state, entry.reciprocal, entry.freq, entry.cum);
  };
  u64 i = count;
  while (i % L != 0) {
    --i;
    put(u32(i % L), i);
  }
  while (i > 0) {
    i -= L;
    for (u32 lane = L; lane-- > 0;) put(lane, i + lane);
  }
  std::copy_n(x, L, states);
  return p;
}

using EncodeShare = u8* (*)(const EncodeEntry*, const u32*, u64, u32*, u8*);

EncodeShare encode_share_of(u32 lanes) {
  switch (lanes) {
    case 1: return encode_share<1>;
    case 2: return encode_share<2>;
    case 4: return encode_share<4>;
    case 8: return encode_share<8>;
    case 16: return encode_share<16>;
    default: return encode_share<32>;
  }
}

}  // namespace

Status measure(std::span<const Step> steps, Payload& out) {
  out = {};
  for (const Step& step : steps) {
    u64 coded = 0;
    const EncodeEntry* entries = step.tables->encode_entries();
    const Status status = visit(step, [&](const TableHead& head, i32, u32 k) {
      out.cost_q8 += entries[head.first + k].cost_q8;
      ++coded;
    });
    if (status != Status::ok) return status;
    out.largest = std::max(out.largest, coded);
  }
  return Status::ok;
}

Status encode(std::span<const Step> steps, u32 lanes, u32 segments, u32 check, Coded& out) {
  std::vector<Events> events(steps.size());
  for (std::size_t k = 0; k < steps.size(); ++k) {
    const Status status = list_events(steps[k], events[k], out.escapes);
    if (status != Status::ok) return status;
  }
  const EncodeShare encode_share = encode_share_of(lanes);
  std::unique_ptr<u8[]> words;
  u64 room = 0;
  for (u32 s = 0; s < segments; ++s) {
    u64 count = 0;
    for (const Events& step : events) {
      const u64 m = step.numbers.size();
      count += share_begin(m, s + 1, segments) - share_begin(m, s, segments);
    }
    if (count + 1 > room) {
      room = count + 1;
      words = std::make_unique_for_overwrite<u8[]>(2 * room);
    }
    u32 states[kMaxLanes];
    for (u32 lane = 0; lane < lanes; ++lane) {
      states[lane] = kStateMin + seed_of(check, lanes, s, lane);
    }
    u8* const end = words.get() + 2 * room;
    u8* p = end;
    for (std::size_t k = events.size(); k-- > 0;) {
      const u64 m = events[k].numbers.size();
      const u64 begin = share_begin(m, s, segments);
      p = encode_share(events[k].entries, events[k].numbers.data() + begin,
                       share_begin(m, s + 1, segments) - begin, states, p);
    }
    std::vector<u8> segment(4 * lanes + std::size_t(end - p));
    for (u32 lane = 0; lane < lanes; ++lane) store_u32(segment.data() + 4 * lane, states[lane]);
    std::copy(p, end, segment.data() + 4 * lanes);
    out.segments.push_back(std::move(segment));
  }
  return Status::ok;
}

}  // namespace fcmrt::cpu

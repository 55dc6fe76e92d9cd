#include <algorithm>

#include "coder.h"
#include "fcmrt/escape.h"

namespace fcmrt::cpu {
namespace {

// The numbers of a step's events among all events of its tables.
struct Events {
  TableView view;
  Scratch<u32> numbers;
  u64 count;
};

void put_to_section(void* self, const TableHead& head, i32 symbol) {
  auto& section = *static_cast<std::vector<u8>*>(self);
  u8 bytes[kMaxEscapeBytes];
  section.insert(section.end(), bytes, bytes + put_escape(bytes, escape_code(head, symbol)));
}

void put_nowhere(void*, const TableHead&, i32) {}

Status list(const Loops& loops, const Step& step, EscapeSink escapes, Events& out) {
  out.view = step.tables->view();
  out.numbers.reserve((step.indexes.count + kGroup - 1) / kGroup * kGroup);
  return loops.list_events(out.view, step.symbols, step.indexes, step.skip, out.numbers.data(),
                           out.count, escapes);
}

}  // namespace

Status measure(const Loops& loops, std::span<const Step> steps, Payload& out) {
  out = {};
  Events events;
  for (const Step& step : steps) {
    const Status status = list(loops, step, {put_nowhere, nullptr}, events);
    if (status != Status::ok) return status;
    const u32* const numbers = events.numbers.data();
    for (u64 i = 0; i < events.count; ++i) out.cost_q8 += events.view.entries[numbers[i]].cost_q8;
    out.largest = std::max(out.largest, events.count);
  }
  return Status::ok;
}

Status encode(const Loops& loops, std::span<const Step> steps, u32 lanes, u32 segments, u32 check,
              Coded& out) {
  std::vector<Events> events(steps.size());
  for (std::size_t k = 0; k < steps.size(); ++k) {
    const Status status = list(loops, steps[k], {put_to_section, &out.escapes}, events[k]);
    if (status != Status::ok) return status;
  }
  std::unique_ptr<u8[]> words;
  u64 room = 0;
  for (u32 s = 0; s < segments; ++s) {
    u64 count = 0;
    for (const Events& step : events) {
      const u64 m = step.count;
      count += share_begin(m, s + 1, segments) - share_begin(m, s, segments);
    }
    if (2 * count + kEncodeSlack > room) {
      room = 2 * count + kEncodeSlack;
      words = std::make_unique_for_overwrite<u8[]>(room);
    }
    u32 states[kMaxLanes];
    for (u32 lane = 0; lane < lanes; ++lane) {
      states[lane] = kStateMin + seed_of(check, lanes, s, lane);
    }
    u8* const end = words.get() + room;
    u8* p = end;
    for (std::size_t k = events.size(); k-- > 0;) {
      const u64 m = events[k].count;
      const u64 begin = share_begin(m, s, segments);
      p = loops.encode(events[k].view, events[k].numbers.data() + begin,
                       share_begin(m, s + 1, segments) - begin, lanes, states, p);
    }
    std::vector<u8> segment(4 * lanes + std::size_t(end - p));
    for (u32 lane = 0; lane < lanes; ++lane) store_u32(segment.data() + 4 * lane, states[lane]);
    std::copy(p, end, segment.data() + 4 * lanes);
    out.segments.push_back(std::move(segment));
  }
  return Status::ok;
}

}  // namespace fcmrt::cpu

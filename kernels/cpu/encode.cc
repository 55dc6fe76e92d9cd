#include <algorithm>

#include "coder.h"
#include "fcmrt/escape.h"

namespace fcmrt::cpu {
namespace {

// Up to this many elements, events are listed once and kept from measuring to encoding. Above it, every
// share is listed when it is encoded, in memory that stays in the second-level cache.
constexpr std::size_t kKept = 1 << 14;
constexpr std::size_t kChunk = 1 << 14;  // elements to a task of measuring

void put_to_section(void* self, const TableHead& head, i32 symbol) {
  auto& section = *static_cast<std::vector<u8>*>(self);
  u8 bytes[kMaxEscapeBytes];
  section.insert(section.end(), bytes, bytes + put_escape(bytes, escape_code(head, symbol)));
}

void put_nowhere(void*, const TableHead&, i32) {}

// Lists the events of a range; `numbers` has room for its elements, rounded up to whole groups.
Status list_range(const Loops& loops, const Step& step, Range range, EscapeSink escapes,
                  u32* numbers, u64& coded) {
  const TableView view = step.tables->view();
  coded = 0;
  return for_windows(step.symbols, range, [&](std::size_t p, std::size_t count, const i32* symbols) {
    u64 more = 0;
    const Status status =
        loops.list_events(view, symbols, part(step.indexes, {p, p + count}), step.skip,
                          numbers + coded, more, escapes);
    coded += more;
    return status;
  });
}

std::size_t room_for(std::size_t elements) { return (elements + kGroup - 1) / kGroup * kGroup; }

u64 cost_of(const TableView& view, const u32* numbers, u64 count) {
  u64 cost_q8 = 0;
  for (u64 i = 0; i < count; ++i) cost_q8 += view.entries[numbers[i]].cost_q8;
  return cost_q8;
}

std::size_t elements_of(std::span<const Step> steps) {
  std::size_t sum = 0;
  for (const Step& step : steps) sum += step.indexes.count;
  return sum;
}

}  // namespace

Encoder::Encoder(const How& how, std::span<const Step> steps)
    : how_(how), steps_(steps), work_(borrow_workspace()) {
  const std::size_t elements = elements_of(steps);
  small_ = elements <= kKept;
  how_.threads = threads_for(elements, how.threads);
}

// The events of all steps, in order.
Status Encoder::list_all() {
  if (work_->numbers.size() < steps_.size()) work_->numbers.resize(steps_.size());
  work_->counts.resize(steps_.size());
  work_->section.clear();
  for (std::size_t k = 0; k < steps_.size(); ++k) {
    const std::size_t count = steps_[k].indexes.count;
    u32* const numbers = work_->numbers[k].reserve(room_for(count));
    const Status status = list_range(how_.loops, steps_[k], {0, count},
                                     {put_to_section, &work_->section}, numbers, work_->counts[k]);
    if (status != Status::ok) return status;
  }
  listed_ = true;
  return Status::ok;
}

Status Encoder::measure(Payload& out) {
  out = {};
  if (!small_) return measure_chunks(out);
  const Status status = list_all();
  if (status != Status::ok) return status;
  for (std::size_t k = 0; k < steps_.size(); ++k) {
    const u64 count = work_->counts[k];
    out.cost_q8 += cost_of(steps_[k].tables->view(), work_->numbers[k].data(), count);
    out.largest = std::max(out.largest, count);
  }
  return Status::ok;
}

Status Encoder::measure_chunks(Payload& out) {
  std::vector<Measured>& parts = work_->measured;
  for (const Step& step : steps_) {
    const std::size_t count = step.indexes.count;
    const u32 chunks = u32((count + kChunk - 1) / kChunk);
    parts.resize(chunks);
    run_tasks(how_.threads, chunks, [&](u32 chunk, u32 worker) {
      const Range range = {chunk * kChunk, std::min(count, (chunk + 1) * kChunk)};
      u32* const numbers = work_->benches[worker].numbers.reserve(room_for(kChunk));
      Measured& part = parts[chunk];
      part.status =
          list_range(how_.loops, step, range, {put_nowhere, nullptr}, numbers, part.coded);
      if (part.status != Status::ok) return;
      part.cost_q8 = cost_of(step.tables->view(), numbers, part.coded);
    });
    u64 coded = 0;
    for (const Measured& part : parts) {
      if (part.status != Status::ok) return part.status;
      out.cost_q8 += part.cost_q8;
      coded += part.coded;
    }
    out.largest = std::max(out.largest, coded);
  }
  return Status::ok;
}

// Number of a step's coded symbols in a segment, or, if they are still to be listed, of the most
// that there can be.
u64 Encoder::share(std::size_t k, u32 s) const {
  if (!listed_) return work_->places[k].share(s);
  const u64 m = work_->counts[k];
  return share_begin(m, s + 1, layout_.segments) - share_begin(m, s, layout_.segments);
}

// The events of a step in a segment.
Status Encoder::list_share(std::size_t k, u32 s, Bench& bench, const u32*& numbers, u64& count) {
  if (listed_) {
    numbers = work_->numbers[k].data() + share_begin(work_->counts[k], s, layout_.segments);
    count = share(k, s);
    return Status::ok;
  }
  const Places& places = work_->places[k];
  const Range range = places.elements(s);
  std::vector<u8>& escapes = work_->escape_bytes[s];
  u32* const own = bench.numbers.reserve(room_for(range.size()));
  numbers = own;
  const Status status =
      list_range(how_.loops, steps_[k], range, {put_to_section, &escapes}, own, count);
  work_->escape_ends[s * steps_.size() + k] = escapes.size();
  if (status != Status::ok) return status;
  return places.right(s, count) ? status : Status::index_out_of_range;
}

Status Encoder::encode_segment(u32 s, u32 check, Bench& bench) {
  const u32 lanes = layout_.lanes;
  work_->escape_bytes[s].clear();
  u32 states[kMaxLanes];
  for (u32 lane = 0; lane < lanes; ++lane) states[lane] = kStateMin + seed_of(check, lanes, s, lane);
  u8* const end = work_->words.data() + work_->rooms[s + 1];
  u8* p = end;
  for (std::size_t k = steps_.size(); k-- > 0;) {
    const u32* numbers;
    u64 count;
    const Status status = list_share(k, s, bench, numbers, count);
    if (status != Status::ok) return status;
    p = how_.loops.encode(steps_[k].tables->view(), numbers, count, lanes, states, p);
  }
  p -= 4 * lanes;
  for (u32 lane = 0; lane < lanes; ++lane) store_u32(p + 4 * lane, states[lane]);
  work_->coded[s] = {p, end};
  return Status::ok;
}

Status Encoder::encode(Layout layout, u32 check) {
  layout_ = layout;
  Workspace& work = *work_;
  const u32 segments = layout.segments;
  if (small_ && !listed_) {
    const Status status = list_all();
    if (status != Status::ok) return status;
  }
  if (!listed_) {
    if (work.before.size() < steps_.size()) work.before.resize(steps_.size());
    work.places.clear();
    for (std::size_t k = 0; k < steps_.size(); ++k) {
      work.places.emplace_back(steps_[k].indexes, steps_[k].skip, segments, how_.threads,
                               work.before[k]);
    }
    work.escape_ends.resize(segments * steps_.size());
  }
  work.rooms.assign(segments + 1, 0);
  for (u32 s = 0; s < segments; ++s) {
    std::size_t room = 4 * layout.lanes + kEncodeSlack;
    for (std::size_t k = 0; k < steps_.size(); ++k) room += 2 * share(k, s);
    work.rooms[s + 1] = work.rooms[s] + room;
  }
  work.words.reserve(work.rooms[segments]);
  Status statuses[kMaxSegments];
  run_tasks(how_.threads, segments, [&](u32 s, u32 worker) {
    statuses[s] = encode_segment(s, check, work.benches[worker]);
  });
  for (u32 s = 0; s < segments; ++s) {
    if (statuses[s] == Status::ok) continue;
    // The first mistake in the order of the elements is the one to report.
    Payload ignored{};
    const Status first = measure_chunks(ignored);
    return first == Status::ok ? statuses[s] : first;
  }
  if (!listed_) gather_escapes();
  return Status::ok;
}

// The escape section: step by step, and within a step segment by segment.
void Encoder::gather_escapes() {
  Workspace& work = *work_;
  const std::size_t steps = steps_.size();
  work.section.clear();
  for (std::size_t k = 0; k < steps; ++k) {
    for (u32 s = 0; s < layout_.segments; ++s) {
      // Segments list their steps from the last to the first.
      const std::size_t* const ends = work.escape_ends.data() + s * steps;
      const u8* const bytes = work.escape_bytes[s].data();
      work.section.insert(work.section.end(), bytes + (k + 1 < steps ? ends[k + 1] : 0),
                          bytes + ends[k]);
    }
  }
}

std::size_t Encoder::segment_bytes() const {
  std::size_t sum = 0;
  for (u32 s = 0; s < layout_.segments; ++s) sum += segment(s).size();
  return sum;
}

void Encoder::copy_segments(u8* out) const {
  for (u32 s = 0; s < layout_.segments; ++s) {
    out = std::copy(segment(s).begin(), segment(s).end(), out);
  }
}

}  // namespace fcmrt::cpu

#include <algorithm>
#include <bit>

#include "coder.h"
#include "fcmrt/escape.h"

namespace fcmrt::cpu {
namespace {

// Segments of one task: vector loops decode two in turns.
constexpr u32 kTogether = 2;

// Number of the first escape from symbol `i` on; `count` if there is none.
u64 find_escape(const i32* symbols, u64 i, u64 count) {
  constexpr u64 kBlock = 32;  // looked through by the compiler's vectors; most have none
  for (; count - i >= kBlock; i += kBlock) {
    u32 found = 0;
    for (u64 j = 0; j < kBlock; ++j) found |= symbols[i + j] == kEscaped;
    if (found) break;
  }
  while (i < count && symbols[i] != kEscaped) ++i;
  return i;
}

// Records which coded symbols of a range are escapes, and makes them 0.
void note_escapes(const Segment& segment, const u16* masks, Range range,
                  std::vector<Escape>& escapes) {
  std::size_t group = 0;  // of elements, and how many are coded before it
  u64 before = 0;
  const u64 count = segment.count;
  for (u64 i = find_escape(segment.out, 0, count); i < count;
       i = find_escape(segment.out, i + 1, count)) {
    segment.out[i] = 0;
    std::size_t p = i;
    if (masks) {
      for (u64 inside; i - before >= (inside = count_bits(masks[group])); ++group) {
        before += inside;
      }
      u32 mask = masks[group];
      for (u64 k = before; k < i; ++k) mask &= mask - 1;
      p = group * kGroup + std::size_t(std::countr_zero(mask));
    }
    escapes.push_back({u32(range.first + p), segment.tables[i]});
  }
}

template <class T>
bool put_narrow(const Loops& loops, const i32* coded, const u16* masks, Range range, T* out) {
  bool fits = true;
  i32 spread[kWindow];
  for (std::size_t p = range.first; p < range.end; p += kWindow) {
    const std::size_t count = std::min(kWindow, range.end - p);
    if (masks) {
      loops.spread(coded, masks, count, spread);
      for (std::size_t group = 0; group < (count + kGroup - 1) / kGroup; ++group) {
        coded += count_bits(masks[group]);
      }
      masks += kWindow / kGroup;
      fits &= narrow(spread, count, out + p);
    } else {
      fits &= narrow(coded, count, out + p);
      coded += count;
    }
  }
  return fits;
}

// Puts coded symbols into their places of a range, 0 elsewhere; no masks: all are coded. False if
// one does not fit the output's integers.
bool put(const Loops& loops, const i32* coded, const u16* masks, Range range, OutSymbols out) {
  switch (out.bytes) {
    case 1: return put_narrow(loops, coded, masks, range, static_cast<std::int8_t*>(out.data));
    case 2: return put_narrow(loops, coded, masks, range, static_cast<std::int16_t*>(out.data));
    default: {
      i32* const first = static_cast<i32*>(out.data) + range.first;
      if (masks) loops.spread(coded, masks, range.size(), first);
      else if (coded != first) std::copy_n(coded, range.size(), first);
      return true;
    }
  }
}

bool put_one(i32 symbol, std::size_t place, OutSymbols out) {
  switch (out.bytes) {
    case 1: return narrow(&symbol, 1, static_cast<std::int8_t*>(out.data) + place);
    case 2: return narrow(&symbol, 1, static_cast<std::int16_t*>(out.data) + place);
    default: return narrow(&symbol, 1, static_cast<i32*>(out.data) + place);
  }
}

}  // namespace

// One code step, for all the tasks that decode it.
struct Decoder::Call {
  TableView view;
  Indexes indexes;
  u32 skip;
  const Places& places;
  OutSymbols out;
  // What became of each task.
  Status statuses[kMaxSegments / kTogether];
  bool fits[kMaxSegments / kTogether];
};

Decoder::Decoder(const How& how, std::span<const u8> segments, std::span<const u32> word_counts,
                 std::span<const u8> escapes, u32 lanes)
    : how_(how),
      work_(borrow_workspace()),
      escape_next_(escapes.data()),
      escape_end_(escapes.data() + escapes.size()),
      lanes_(lanes) {
  const u8* next = segments.data();
  const u8* const end = next + segments.size();
  work_->segments.clear();
  for (const u32 words : word_counts) {
    const u64 bytes = 4 * u64(lanes) + 2 * u64(words);
    if (bytes > u64(end - next)) {
      status_ = Status::segments_size;
      return;
    }
    Segment segment{};
    for (u32 lane = 0; lane < lanes; ++lane) {
      segment.states[lane] = load_u32(next + 4 * lane);
      if (segment.states[lane] < kStateMin) status_ = Status::state_too_small;
    }
    segment.next = next + 4 * lanes;
    segment.end = next += bytes;
    work_->segments.push_back(segment);
  }
  if (next != end) status_ = Status::segments_size;
}

// Decodes the shares of a few neighbouring segments into their places.
Status Decoder::run_task(Call& call, u32 task, Bench& bench) {
  const Loops& loops = how_.loops;
  const u32 first = kTogether * task;
  const u32 count = std::min(kTogether, u32(work_->segments.size()) - first);
  Segment* const segments = work_->segments.data() + first;
  std::vector<Escape>& escapes = work_->escapes[task];
  escapes.clear();

  Range ranges[kTogether];
  std::size_t begins[kTogether + 1] = {};  // in the bench
  for (u32 s = 0; s < count; ++s) {
    ranges[s] = call.places.elements(first + s);
    begins[s + 1] = begins[s] + (ranges[s].size() + kGroup - 1) / kGroup * kGroup;
  }
  u16* const tables = bench.tables.reserve(begins[count]);
  u16* const masks = call.skip > 0 ? bench.masks.reserve(begins[count] / kGroup) : nullptr;
  const u16* masks_of[kTogether] = {};  // null: all are coded
  for (u32 s = 0; s < count; ++s) {
    u16* const own_masks = masks ? masks + begins[s] / kGroup : nullptr;
    segments[s].tables = tables + begins[s];
    // The copy is what the loops use: it stays as checked, whatever other threads write meanwhile.
    const Listed listed = loops.list_coded(part(call.indexes, ranges[s]), call.skip,
                                           tables + begins[s], own_masks);
    if (listed.largest >= call.view.count || !call.places.right(first + s, listed.coded)) {
      return Status::index_out_of_range;
    }
    segments[s].count = listed.coded;
    if (listed.coded < ranges[s].size()) masks_of[s] = own_masks;
  }
  for (u32 s = 0; s < count; ++s) {
    const bool in_place = call.out.bytes == sizeof(i32) && !masks_of[s];
    segments[s].out = in_place ? static_cast<i32*>(call.out.data) + ranges[s].first
                               : bench.coded.reserve(begins[count] + kGroup) + begins[s];
  }
  bool escaped = false;
  const Status status = loops.decode(call.view, lanes_, segments, count, escaped);
  if (status != Status::ok) return status;
  call.fits[task] = true;
  for (u32 s = 0; s < count; ++s) {
    if (escaped) note_escapes(segments[s], masks_of[s], ranges[s], escapes);
    call.fits[task] &= put(loops, segments[s].out, masks_of[s], ranges[s], call.out);
  }
  return Status::ok;
}

// Reads the escapes' values, which are in the order of the elements.
Status Decoder::fill_escapes(Call& call, u32 tasks) {
  for (u32 task = 0; task < tasks; ++task) {
    for (const Escape& escape : work_->escapes[task]) {
      i32 symbol;
      const TableHead& head = call.view.heads[escape.table];
      const Status status = take_escape(head, escape_next_, escape_end_, symbol);
      if (status != Status::ok) return status;
      call.fits[task] &= put_one(symbol, escape.place, call.out);
    }
  }
  return Status::ok;
}

Status Decoder::step(Indexes indexes, const Prepared& tables, u32 skip, OutSymbols out) {
  if (status_ != Status::ok) return status_;
  const u32 count = u32(work_->segments.size());
  const u32 tasks = (count + kTogether - 1) / kTogether;
  const u32 threads = threads_for(indexes.count, how_.threads);
  if (work_->before.empty()) work_->before.resize(1);
  const Places places(indexes, skip, count, threads, work_->before[0]);
  Call call{tables.view(), indexes, skip, places, out, {}, {}};
  run_tasks(threads, tasks, [&](u32 task, u32 worker) {
    call.statuses[task] = run_task(call, task, work_->benches[worker]);
  });
  // A wrong index is reported before everything else, whichever task found it.
  Status first = Status::ok;
  for (u32 task = 0; task < tasks; ++task) {
    const Status status = call.statuses[task];
    if (status == Status::index_out_of_range) return fail(status);
    if (first == Status::ok) first = status;
  }
  if (first == Status::ok) first = fill_escapes(call, tasks);
  if (first != Status::ok) return fail(first);
  const bool fits = std::all_of(call.fits, call.fits + tasks, [](bool fit) { return fit; });
  return fits ? Status::ok : fail(Status::symbol_too_wide);
}

Status Decoder::finish(u32& check) {
  if (status_ != Status::ok) return status_;
  check = 0;
  for (std::size_t s = 0; s < work_->segments.size(); ++s) {
    const Segment& segment = work_->segments[s];
    if (segment.next != segment.end) return fail(Status::words_left);
    for (u32 lane = 0; lane < lanes_; ++lane) {
      const u32 seed = segment.states[lane] - kStateMin;
      const bool carries = s == 0 && lane < 2;
      if (seed > (carries ? 0xFFFFu : 0u)) return fail(Status::seed_nonzero);
      if (carries) check |= seed << (16 * lane);
    }
  }
  if (escape_next_ != escape_end_) return fail(Status::escapes_left);
  return Status::ok;
}

}  // namespace fcmrt::cpu

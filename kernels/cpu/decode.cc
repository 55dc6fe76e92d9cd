#include "coder.h"
#include "fcmrt/escape.h"

namespace fcmrt::cpu {

Decoder::Decoder(const Loops& loops, std::span<const u8> segments,
                 std::span<const u32> word_counts, std::span<const u8> escapes, u32 lanes)
    : loops_(loops),
      escape_next_(escapes.data()),
      escape_end_(escapes.data() + escapes.size()),
      lanes_(lanes) {
  const u8* next = segments.data();
  const u8* const end = next + segments.size();
  for (const u32 words : word_counts) {
    const u64 bytes = 4 * u64(lanes) + 2 * u64(words);
    if (bytes > u64(end - next)) {
      status_ = Status::segments_size;
      return;
    }
    Segment segment;
    for (u32 lane = 0; lane < lanes; ++lane) {
      segment.states[lane] = load_u32(next + 4 * lane);
      if (segment.states[lane] < kStateMin) status_ = Status::state_too_small;
    }
    segment.next = next + 4 * lanes;
    segment.end = next += bytes;
    segments_.push_back(segment);
  }
  if (next != end) status_ = Status::segments_size;
}

Status Decoder::fill_escapes(const TableView& view, u64 coded, i32* out) {
  for (u64 i = 0; i < coded; ++i) {
    if (out[i] != kEscaped) continue;
    const TableHead& head = view.heads[tables_of_.data()[i]];
    const Status status = take_escape(head, escape_next_, escape_end_, out[i]);
    if (status != Status::ok) return status;
  }
  return Status::ok;
}

Status Decoder::step(Indexes indexes, const Prepared& tables, u32 skip, i32* out) {
  if (status_ != Status::ok) return status_;
  const TableView view = tables.view();
  const std::size_t groups = (indexes.count + kGroup - 1) / kGroup;
  tables_of_.reserve(groups * kGroup);
  if (skip > 0) masks_.reserve(groups);
  // The copy is what the loops use: it stays as checked, whatever other threads write meanwhile.
  const Listed listed = loops_.list_coded(indexes, skip, tables_of_.data(), masks_.data());
  if (listed.largest >= view.count) return fail(Status::index_out_of_range);
  const bool all = listed.coded == indexes.count;
  if (!all) coded_.reserve(listed.coded + kGroup);
  i32* const coded = all ? out : coded_.data();
  bool escaped = false;
  Status status = loops_.decode(view, lanes_, segments_.data(), u32(segments_.size()),
                                tables_of_.data(), listed.coded, coded, escaped);
  if (status == Status::ok && escaped) status = fill_escapes(view, listed.coded, coded);
  if (status != Status::ok) return fail(status);
  if (!all) loops_.spread(coded, masks_.data(), indexes.count, out);
  return Status::ok;
}

Status Decoder::finish(u32& check) {
  if (status_ != Status::ok) return status_;
  check = 0;
  for (std::size_t s = 0; s < segments_.size(); ++s) {
    const Segment& segment = segments_[s];
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

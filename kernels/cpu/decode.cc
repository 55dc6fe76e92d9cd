#include <algorithm>

#include "coder.h"
#include "fcmrt/escape.h"

namespace fcmrt::cpu {
namespace {

// Copies the table numbers of the coded elements, and their places, from the caller's indexes.
// The copy is what the loops use: it stays as checked, whatever other threads write meanwhile.
template <class Index>
bool list_coded(const Index* indexes, std::size_t count, u32 table_count, u32 skip,
                std::vector<u16>& tables_of, std::vector<u32>& places) {
  tables_of.resize(count);
  u32 largest = 0;
  if (skip == 0) {
    places.clear();
    for (std::size_t p = 0; p < count; ++p) {
      const u32 t = indexes[p];
      tables_of[p] = u16(t);
      largest = std::max(largest, t);
    }
    return largest < table_count;
  }
  places.resize(count);
  std::size_t coded = 0;
  for (std::size_t p = 0; p < count; ++p) {
    const u32 t = indexes[p];
    tables_of[coded] = u16(t);
    places[coded] = u32(p);
    coded += t >= skip;
    largest = std::max(largest, t);
  }
  tables_of.resize(coded);
  places.resize(coded);
  return largest < table_count;
}

}  // namespace

Decoder::Decoder(std::span<const u8> segments, std::span<const u32> word_counts,
                 std::span<const u8> escapes, u32 lanes)
    : escape_next_(escapes.data()), escape_end_(escapes.data() + escapes.size()), lanes_(lanes) {
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

template <u32 L, class Bucket>
Status Decoder::decode_share(const Prepared& tables, const Bucket* buckets, Segment& segment,
                             u64 begin, u64 end, i32* out) {
  const TableHead* heads = tables.heads();
  const u32* packed = tables.packed();
  const u16* tables_of = tables_of_.data();
  u32 x[L];
  std::copy_n(segment.states, L, x);
  const u8* next = segment.next;
  const u8* const last = segment.end;

  auto take = [&](u32 lane, u64 i) {
    const u32 t = tables_of[i];
    const u32 slot = decode_slot(x[lane]);
    const TableHead head = heads[t];
    const u32* events = packed + head.first;
    const u32 k = find_event(events, buckets[t * kBuckets + (slot >> kBucketShift)], slot);
    out[i] = symbol_of(head, k);
    x[lane] = decode_step(x[lane], event_freq(events[k]), event_cum(events[k]));
  };

  u64 i = begin;
  // While there are words for a whole round of lanes, none of them needs to look for the end.
  while (end - i >= L && u64(last - next) >= 2 * L) {
    for (u32 lane = 0; lane < L; ++lane) {
      take(lane, i + lane);
      decode_renormalise_unchecked(x[lane], next);
    }
    i += L;
  }
  for (u32 lane = 0; i < end; ++i, lane = (lane + 1) % L) {
    take(lane, i);
    if (!decode_renormalise(x[lane], next, last)) return Status::words_exhausted;
  }
  std::copy_n(x, L, segment.states);
  segment.next = next;
  return Status::ok;
}

template <class Bucket>
Status Decoder::decode_shares(const Prepared& tables, const Bucket* buckets, i32* out) {
  const u64 m = tables_of_.size();
  const u32 count = u32(segments_.size());
  for (u32 s = 0; s < count; ++s) {
    const u64 begin = share_begin(m, s, count);
    const u64 end = share_begin(m, s + 1, count);
    Segment& segment = segments_[s];
    Status status;
    switch (lanes_) {
      case 1: status = decode_share<1>(tables, buckets, segment, begin, end, out); break;
      case 2: status = decode_share<2>(tables, buckets, segment, begin, end, out); break;
      case 4: status = decode_share<4>(tables, buckets, segment, begin, end, out); break;
      case 8: status = decode_share<8>(tables, buckets, segment, begin, end, out); break;
      case 16: status = decode_share<16>(tables, buckets, segment, begin, end, out); break;
      default: status = decode_share<32>(tables, buckets, segment, begin, end, out); break;
    }
    if (status != Status::ok) return status;
  }
  return Status::ok;
}

Status Decoder::decode_events(const Prepared& tables, i32* out) {
  return tables.buckets8() ? decode_shares(tables, tables.buckets8(), out)
                           : decode_shares(tables, tables.buckets16(), out);
}

Status Decoder::fill_escapes(const Prepared& tables, i32* out) {
  for (std::size_t i = 0; i < tables_of_.size(); ++i) {
    if (out[i] != kEscaped) continue;
    const TableHead& head = tables.heads()[tables_of_[i]];
    const Status status = take_escape(head, escape_next_, escape_end_, out[i]);
    if (status != Status::ok) return status;
  }
  return Status::ok;
}

Status Decoder::step(Indexes indexes, const Prepared& tables, u32 skip, i32* out) {
  if (status_ != Status::ok) return status_;
  const bool valid =
      indexes.wide ? list_coded(static_cast<const u16*>(indexes.data), indexes.count,
                                tables.count(), skip, tables_of_, places_)
                   : list_coded(static_cast<const u8*>(indexes.data), indexes.count,
                                tables.count(), skip, tables_of_, places_);
  if (!valid) return fail(Status::index_out_of_range);
  const bool all = tables_of_.size() == indexes.count;
  if (!all) coded_.resize(tables_of_.size());
  i32* const coded = all ? out : coded_.data();
  Status status = decode_events(tables, coded);
  if (status == Status::ok) status = fill_escapes(tables, coded);
  if (status != Status::ok) return fail(status);
  if (!all) {
    std::fill_n(out, indexes.count, 0);
    for (std::size_t j = 0; j < places_.size(); ++j) out[places_[j]] = coded[j];
  }
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

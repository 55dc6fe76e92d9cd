// The scalar loops of the coder. Nothing here knows of Python; every pointer comes with a length.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "fcmrt/status.h"
#include "prepared.h"

namespace fcmrt::cpu {

// Table indexes as the caller has them; bytes if the table set has at most 256 tables.
struct Indexes {
  const void* data;
  std::size_t count;
  bool wide;  // 16-bit instead of 8-bit
};

// A code step on the encoder's side; arrays are borrowed.
struct Step {
  const i32* symbols;
  Indexes indexes;  // as many as symbols
  std::shared_ptr<const Prepared> tables;
  u32 skip;
};

// What choosing lanes and segments needs to know of a packet.
struct Payload {
  u64 cost_q8;  // bits times 256
  u64 largest;  // coded symbols of the largest step
};

Status measure(std::span<const Step> steps, Payload& out);

struct Coded {
  std::vector<std::vector<u8>> segments;  // each its states and words
  std::vector<u8> escapes;
};

// lanes is a power of two up to kMaxLanes, 1 <= segments <= kMaxSegments.
Status encode(std::span<const Step> steps, u32 lanes, u32 segments, u32 check, Coded& out);

// Decodes one packet, step by step. Borrows the bytes it was given. After a status other than ok
// every call returns that status again.
class Decoder {
 public:
  // `lanes` as for encode; `word_counts` has 1 to kMaxSegments entries.
  Decoder(std::span<const u8> segments, std::span<const u32> word_counts,
          std::span<const u8> escapes, u32 lanes);

  // Writes one symbol for every index to `out`, which has room for as many.
  Status step(Indexes indexes, const Prepared& tables, u32 skip, i32* out);

  // Compares ends and seeds; `check` is the 32-bit check, or its 16-bit fold for one lane.
  Status finish(u32& check);

  Status status() const { return status_; }

 private:
  struct Segment {
    u32 states[kMaxLanes];
    const u8* next;
    const u8* end;
  };

  Status fail(Status status) { return status_ = status; }
  Status decode_events(const Prepared& tables, i32* out);
  Status fill_escapes(const Prepared& tables, i32* out);

  template <u32 L, class Bucket>
  Status decode_share(const Prepared& tables, const Bucket* buckets, Segment& segment, u64 begin,
                      u64 end, i32* out);
  template <class Bucket>
  Status decode_shares(const Prepared& tables, const Bucket* buckets, i32* out);

  std::vector<Segment> segments_;
  const u8* escape_next_;
  const u8* escape_end_;
  u32 lanes_;
  Status status_ = Status::ok;
  // Scratch, kept from step to step: the coded symbols' tables, and their places if some elements
  // were skipped.
  std::vector<u16> tables_of_;
  std::vector<u32> places_;
  std::vector<i32> coded_;
};

}  // namespace fcmrt::cpu

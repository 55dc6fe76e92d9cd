// A packet's encoder and decoder around the loops. Nothing here knows of Python; every pointer
// comes with a length.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "loops.h"
#include "prepared.h"

namespace fcmrt::cpu {

// Room for integers, not set to anything: for loops that fill what they read.
template <class T>
class Scratch {
 public:
  // What was there is lost.
  void reserve(std::size_t count) {
    if (count <= room_) return;
    data_ = std::make_unique_for_overwrite<T[]>(count);
    room_ = count;
  }
  T* data() const { return data_.get(); }

 private:
  std::unique_ptr<T[]> data_;
  std::size_t room_ = 0;
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

Status measure(const Loops& loops, std::span<const Step> steps, Payload& out);

struct Coded {
  std::vector<std::vector<u8>> segments;  // each its states and words
  std::vector<u8> escapes;
};

// lanes is a power of two up to kMaxLanes, 1 <= segments <= kMaxSegments.
Status encode(const Loops& loops, std::span<const Step> steps, u32 lanes, u32 segments, u32 check,
              Coded& out);

// Decodes one packet, step by step. Borrows the bytes it was given. After a status other than ok
// every call returns that status again.
class Decoder {
 public:
  // `lanes` as for encode; `word_counts` has 1 to kMaxSegments entries.
  Decoder(const Loops& loops, std::span<const u8> segments, std::span<const u32> word_counts,
          std::span<const u8> escapes, u32 lanes);

  // Writes one symbol for every index to `out`, which has room for as many.
  Status step(Indexes indexes, const Prepared& tables, u32 skip, i32* out);

  // Compares ends and seeds; `check` is the 32-bit check, or its 16-bit fold for one lane.
  Status finish(u32& check);

  Status status() const { return status_; }

 private:
  Status fail(Status status) { return status_ = status; }
  Status fill_escapes(const TableView& view, u64 coded, i32* out);

  const Loops& loops_;
  std::vector<Segment> segments_;
  const u8* escape_next_;
  const u8* escape_end_;
  u32 lanes_;
  Status status_ = Status::ok;
  // Scratch, kept from step to step: the coded symbols' tables, and, if some elements were skipped,
  // which.
  Scratch<u16> tables_of_;
  Scratch<u16> masks_;
  Scratch<i32> coded_;
};

}  // namespace fcmrt::cpu

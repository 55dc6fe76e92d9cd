// Where among a step's elements the segments' shares of its coded symbols lie.
#pragma once

#include "loops.h"
#include "scratch.h"

namespace fcmrt::cpu {

struct Range {
  std::size_t first;
  std::size_t end;
  std::size_t size() const { return end - first; }
};

// The elements [range.first, range.end) of an index array.
Indexes part(const Indexes& indexes, Range range);

// Cuts a step's elements into one range for each segment, so that each range holds exactly its
// segment's share of the coded symbols. The ranges touch each other and cover all elements.
class Places {
 public:
  // Counts what is coded where that matters: with several segments and elements that are skipped.
  // Borrows the indexes, and `before` for its counts.
  Places(Indexes indexes, u32 skip, u32 segments, u32 threads, Scratch<u32>& before);

  Range elements(u32 segment) const {
    const std::size_t first = begin_of(segment);
    const std::size_t end = begin_of(segment + 1);
    // Another thread that writes to the indexes meanwhile can spoil the cut, but not its bounds.
    return {first, end < first ? first : end};
  }
  // Coded symbols in a segment's range: exact, or, for a single segment, at most.
  u64 share(u32 segment) const {
    return share_begin(coded_, segment + 1, segments_) - share_begin(coded_, segment, segments_);
  }
  // Whether a range that holds `coded` coded symbols is the one that was cut. It is, unless another
  // thread writes to the indexes meanwhile.
  bool right(u32 segment, u64 coded) const {
    return segments_ == 1 || coded == share(segment);
  }
  u64 first(u32 segment) const { return share_begin(coded_, segment, segments_); }

 private:
  std::size_t begin_of(u32 segment) const;

  Indexes indexes_;
  u32 skip_;
  u32 segments_;
  u64 coded_;
  const u32* before_ = nullptr;  // null: all elements count as coded
  std::size_t blocks_ = 0;
};

}  // namespace fcmrt::cpu

// A segment's words, read ahead of need.
//
// Each lane holds two words: its own of the next `lanes` words and its own of as many behind these.
// A round takes at most one word a lane, so these are enough, and which they are comes by a shuffle:
// the round does not wait for memory.
#pragma once

#include "packets.cuh"

namespace fcmrt::cuda {

class WordWindow {
 public:
  FCMRT_METHOD WordWindow(const u16* words, Words where, const Seat& seat)
      : words_(words), lanes_(seat.lanes), lane_(seat.lane), base_(where.next), end_(where.end) {
    held_ = load(base_ + lane_) | load(base_ + lanes_ + lane_) << 16;
  }

  FCMRT_METHOD u32 next() const { return base_ + used_; }
  FCMRT_METHOD u32 left() const { return end_ - base_ - used_; }

  // The word that is `rank` words ahead, rank < lanes; the whole warp must come here. Behind the
  // last word there are zeros.
  FCMRT_METHOD u32 peek(u32 rank, u32 first_lane) const {
    const u32 ahead = used_ + rank;
    const u32 pair = __shfl_sync(kWholeWarp, held_, first_lane + (ahead & (lanes_ - 1)));
    return ahead < lanes_ ? pair & 0xFFFF : pair >> 16;
  }

  // Goes on by what the segment's lanes have taken, at most `lanes`.
  FCMRT_METHOD void skip(u32 count) {
    used_ += count;
    if (used_ < lanes_) return;
    used_ -= lanes_;
    base_ += lanes_;
    held_ = held_ >> 16 | load(base_ + lanes_ + lane_) << 16;
  }

 private:
  FCMRT_METHOD u32 load(u32 at) const { return at < end_ ? words_[at] : 0u; }

  const u16* words_;
  u32 lanes_;
  u32 lane_;
  u32 base_;
  u32 end_;
  u32 used_ = 0;
  u32 held_ = 0;
};

}  // namespace fcmrt::cuda

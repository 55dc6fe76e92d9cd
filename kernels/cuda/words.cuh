// A segment's words, read ahead of need.
//
// Each lane holds three words: one of the next `lanes` words, one of the `lanes` words behind these, and
// one of those behind them. A round takes at most one word for each lane, so two are enough, and lanes
// get theirs by a shuffle; the third is being loaded meanwhile.
#pragma once

#include "packets.cuh"

namespace fcmrt::cuda {

// decode_take_word with the low or the high half of `pair`.
FCMRT_DEVICE u32 take_half(u32 state, u32 pair, bool high) {
  return __byte_perm(pair, state, high ? 0x5432 : 0x5410);
}

class WordWindow {
 public:
  FCMRT_METHOD WordWindow(const u16* words, Words where, u32 lanes, u32 lane)
      : words_(words), at_(where.next + lane), end_(where.end) {
    held_ = load();
    at_ += lanes;
    held_ |= load() << 16;
    at_ += lanes;
    coming_ = load();
  }

  // The next word to take; beyond the segment's end if more were taken than there are.
  template <class Lanes>
  FCMRT_METHOD u32 next(const Lanes& group) const {
    return at_ - 2 * group.lanes - group.lane + used_;
  }

  // The pair of words that has word `ahead` of the window, less than two times `lanes`: in its low
  // half, or from `lanes` on in its high half. The whole warp must come here. Behind the segment's
  // last word there are zeros.
  template <class Lanes>
  FCMRT_METHOD u32 pair_of(const Lanes& group, u32 ahead) const {
    return __shfl_sync(kWholeWarp, held_, group.thread_of(ahead));
  }

  // Words of the window that were taken, less than `lanes`.
  FCMRT_METHOD u32 used() const { return used_; }

  // Goes on by what the segment's lanes have taken, at most `lanes`.
  template <class Lanes>
  FCMRT_METHOD void skip(const Lanes& group, u32 count) {
    used_ += count;
    if (used_ < group.lanes) return;
    used_ -= group.lanes;
    at_ += group.lanes;
    held_ = held_ >> 16 | coming_ << 16;
    coming_ = load();
  }

 private:
  FCMRT_METHOD u32 load() const { return at_ < end_ ? words_[at_] : 0u; }

  const u16* words_;
  u32 at_;  // what is on its way
  u32 end_;
  u32 used_ = 0;
  u32 held_;
  u32 coming_;
};

}  // namespace fcmrt::cuda

// A table set prepared for the loops: immutable, so any number of threads may share one.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "lookup.h"

namespace fcmrt::cpu {

class Prepared {
 public:
  // Copies and checks the tables, so that what the loops rely on does not depend on the caller.
  // Null if they are not a valid table set. `freqs` holds `freq_count` values.
  static std::shared_ptr<const Prepared> make(const i32* offsets, const i32* sizes,
                                              std::size_t count, const u16* freqs,
                                              std::size_t freq_count);

  u32 count() const { return u32(heads_.size()); }
  TableView view() const {
    return {count(),         heads_.data(),
            places_.data(),  biases_.empty() ? nullptr : biases_.data(),
            lookups_.data(), events_.data(),
            entries_.data()};
  }

 private:
  bool copy(const i32* offsets, const i32* sizes, std::size_t count, const u16* freqs,
            std::size_t freq_count);
  void make_events(const u16* freqs);
  // Slots that are left to the scan if buckets have 2^bucket_bits.
  u32 scanned(const TableHead& head, u32 bucket_bits) const;
  void make_lookups();

  std::vector<TableHead> heads_;
  std::vector<u32> places_;
  std::vector<i32> biases_;
  std::vector<u64> lookups_;
  std::vector<u32> events_;
  std::vector<EncodeEntry> entries_;
};

}  // namespace fcmrt::cpu

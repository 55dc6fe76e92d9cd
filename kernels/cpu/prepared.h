// A table set prepared for the loops: immutable, so any number of threads may share one.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "fcmrt/tables.h"

namespace fcmrt::cpu {

class Prepared {
 public:
  // Copies and checks the tables, so that what the loops rely on does not depend on the caller.
  // Null if they are not a valid table set. `freqs` holds `freq_count` values.
  static std::shared_ptr<const Prepared> make(const i32* offsets, const i32* sizes,
                                              std::size_t count, const u16* freqs,
                                              std::size_t freq_count);

  u32 count() const { return u32(heads_.size()); }
  const TableHead* heads() const { return heads_.data(); }
  const u32* packed() const { return packed_.data(); }
  const EncodeEntry* encode_entries() const { return encode_.data(); }

  // kBuckets per table: the first event, counted within its table, that reaches into the bucket.
  // Bytes where every table has at most 256 events (then buckets16 is null), else 16-bit.
  const u8* buckets8() const { return buckets8_.empty() ? nullptr : buckets8_.data(); }
  const u16* buckets16() const { return buckets16_.empty() ? nullptr : buckets16_.data(); }

 private:
  std::vector<TableHead> heads_;
  std::vector<u32> packed_;
  std::vector<EncodeEntry> encode_;
  std::vector<u8> buckets8_;
  std::vector<u16> buckets16_;
};

}  // namespace fcmrt::cpu

#include "prepared.h"

#include <algorithm>

namespace fcmrt::cpu {

std::shared_ptr<const Prepared> Prepared::make(const i32* offsets, const i32* sizes,
                                               std::size_t count, const u16* freqs,
                                               std::size_t freq_count) {
  if (count < 1 || count > kMaxTables) return nullptr;
  auto out = std::make_shared<Prepared>();
  u32 largest = 0;
  for (std::size_t t = 0, first = 0; t < count; ++t) {
    if (sizes[t] < 0 || u32(sizes[t]) > kMaxTableSize) return nullptr;
    const u32 size = u32(sizes[t]);
    if (offsets[t] < -kMaxOffset || offsets[t] > kMaxOffset - i32(size)) return nullptr;
    if (freq_count - first < size + 1) return nullptr;
    u32 sum = 0;
    for (u32 k = 0; k <= size; ++k) {
      if (freqs[first + k] == 0) return nullptr;
      sum += freqs[first + k];
    }
    if (sum != kProbScale) return nullptr;
    out->heads_.push_back({u32(first), size, offsets[t], 0});
    largest = std::max(largest, size);
    first += size + 1;
    if (t + 1 == count && first != freq_count) return nullptr;
  }

  out->packed_.reserve(freq_count);
  out->encode_.reserve(freq_count);
  std::vector<u16> costs(kProbScale + 1);  // 0: not computed yet; certain events cost 0 anyway
  for (const TableHead& head : out->heads_) {
    u32 cum = 0;
    for (u32 k = 0; k <= head.size; ++k) {
      const u32 freq = freqs[head.first + k];
      if (costs[freq] == 0) costs[freq] = u16(kProbBits * 256 - log2_q8(freq));
      out->packed_.push_back(pack_event(cum, freq));
      out->encode_.push_back({encode_reciprocal(freq), u16(freq), u16(cum), costs[freq], 0});
      cum += freq;
    }
  }

  const bool wide = largest > 255;
  if (wide) {
    out->buckets16_.resize(count * kBuckets);
  } else {
    out->buckets8_.resize(count * kBuckets);
  }
  for (std::size_t t = 0; t < count; ++t) {
    const u32* events = out->packed_.data() + out->heads_[t].first;
    u32 k = 0;
    for (u32 bucket = 0; bucket < kBuckets; ++bucket) {
      k = find_event(events, k, bucket << kBucketShift);
      if (wide) {
        out->buckets16_[t * kBuckets + bucket] = u16(k);
      } else {
        out->buckets8_[t * kBuckets + bucket] = u8(k);
      }
    }
  }
  return out;
}

}  // namespace fcmrt::cpu

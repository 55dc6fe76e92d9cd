#include "prepared.h"

#include <algorithm>

namespace fcmrt::cpu {

std::shared_ptr<const Prepared> Prepared::make(const i32* offsets, const i32* sizes,
                                               std::size_t count, const u16* freqs,
                                               std::size_t freq_count) {
  auto out = std::make_shared<Prepared>();
  if (!out->copy(offsets, sizes, count, freqs, freq_count)) return nullptr;
  out->make_events(freqs);
  out->make_lookups();
  out->make_origins();
  return out;
}

bool Prepared::copy(const i32* offsets, const i32* sizes, std::size_t count, const u16* freqs,
                    std::size_t freq_count) {
  if (count < 1 || count > kMaxTables) return false;
  std::size_t first = 0;
  for (std::size_t t = 0; t < count; ++t) {
    if (sizes[t] < 0 || u32(sizes[t]) > kMaxTableSize) return false;
    const u32 size = u32(sizes[t]);
    if (offsets[t] < -kMaxOffset || offsets[t] > kMaxOffset - i32(size)) return false;
    if (freq_count - first < size + 1) return false;
    u32 sum = 0;
    for (u32 k = 0; k <= size; ++k) {
      if (freqs[first + k] == 0) return false;
      sum += freqs[first + k];
    }
    if (sum != kProbScale) return false;
    heads_.push_back({u32(first), size, offsets[t], 0});
    first += size + 1;
  }
  return first == freq_count;
}

void Prepared::make_events(const u16* freqs) {
  std::vector<u16> costs(kProbScale + 1);  // 0: not computed yet; certain events cost 0 anyway
  for (const TableHead& head : heads_) {
    u32 cum = 0;
    for (u32 k = 0; k <= head.size; ++k) {
      const u32 freq = freqs[head.first + k];
      if (costs[freq] == 0) costs[freq] = u16(kProbBits * 256 - log2_q8(freq));
      events_.push_back(pack_event(cum, freq) | (k == head.size ? kEscapeFlag : 0));
      entries_.push_back({encode_reciprocal(freq), u16(freq), u16(cum), costs[freq], 0});
      cum += freq;
    }
  }
}

void Prepared::make_lookups() {
  for (const TableHead& head : heads_) {
    const EncodeEntry* const events = entries_.data() + head.first;
    u32 k = 0;
    for (u32 bucket = 0; bucket < kLookups; ++bucket) {
      const u32 begin = bucket << kLookupShift;
      while (begin - events[k].cum >= events[k].freq) ++k;
      // An entry that cannot hold its first event has an earlier one, and leaves it to the scan.
      const bool fits = k <= kLookupFirstMax;
      u32 begins[kBegins];
      for (u32 i = 0; i < kBegins; ++i) {
        const u32 next = k + 1 + i;
        const u32 cum = fits && next <= head.size ? events[next].cum : kProbScale;
        begins[i] = std::min(cum - begin, kLookupMask + 1);
      }
      lookups_.push_back(pack_lookup(fits ? k : kLookupFirstMax, begins));
    }
  }
}

void Prepared::make_origins() {
  for (const TableHead& head : heads_) {
    if (!origin_fits(head.first, head.offset)) return origins_.clear();
    origins_.push_back(pack_origin(head.first, head.offset));
  }
  origins_.resize(std::max<std::size_t>(origins_.size(), kOriginsInRegisters));
}

}  // namespace fcmrt::cpu

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
      events_.push_back(pack_event(cum, freq));
      entries_.push_back({encode_reciprocal(freq), u16(freq), u16(cum), costs[freq], 0});
      cum += freq;
    }
  }
}

u32 Prepared::scanned(const TableHead& head, u32 bucket_bits) const {
  const EncodeEntry* const events = entries_.data() + head.first;
  const u32 bucket = 1u << bucket_bits;
  u32 slots = 0;
  u32 k = 0;
  for (u32 begin = 0; begin < kProbScale; begin += bucket) {
    while (events[k].cum + events[k].freq <= begin) ++k;
    const u32 third = k + 2 > head.size ? kProbScale : events[k + 2].cum;
    slots += begin + bucket - std::min(third, begin + bucket);
  }
  return slots;
}

void Prepared::make_lookups() {
  const bool biased = std::any_of(heads_.begin(), heads_.end(), [](const TableHead& head) {
    return head.offset < -kSymbolEnd || head.offset + i32(head.size) + 1 >= kSymbolEnd;
  });
  for (const TableHead& head : heads_) {
    u32 bits = kMaxBucketBits;
    while (bits > kMinBucketBits && scanned(head, bits) > kScannedMax) --bits;
    places_.push_back(pack_place(u32(lookups_.size()), bits));
    if (biased) biases_.push_back(head.offset);
    const EncodeEntry* const events = entries_.data() + head.first;
    // An escape is left to the scan.
    const auto freq = [&](u32 k) { return k < head.size ? u32(events[k].freq) : 0; };
    u32 k = 0;
    for (u32 begin = 0; begin < kProbScale; begin += 1u << bits) {
      while (events[k].cum + events[k].freq <= begin) ++k;
      const i32 symbol = i32(k + 1) + (biased ? 0 : head.offset);
      lookups_.push_back(pack_lookup(freq(k), events[k].cum + freq(k), freq(k + 1), symbol));
    }
  }
  places_.resize(std::max<std::size_t>(places_.size(), kFewTables));
}

}  // namespace fcmrt::cpu

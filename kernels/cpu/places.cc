#include "places.h"

#include <algorithm>
#include <limits>

#include "pool.h"

namespace fcmrt::cpu {
namespace {

constexpr std::size_t kBlock = 1024;  // what is searched element by element
constexpr std::size_t kChunk = 64 * kBlock;

template <class Index>
u32 count_coded(const Index* indexes, std::size_t count, u32 skip) {
  if (skip > std::numeric_limits<Index>::max()) return 0;
  const Index least = Index(skip);
  u32 sum = 0;
  for (std::size_t p = 0; p < count;) {
    // Sums as narrow as the indexes, for the compiler's vectors.
    const std::size_t end = std::min<std::size_t>(p + 128, count);
    Index part = 0;
    for (; p < end; ++p) part = Index(part + (indexes[p] >= least));
    sum += part;
  }
  return sum;
}

// Number of the element that is the coded one number `left`; `count` if there is none.
template <class Index>
std::size_t find_coded(const Index* indexes, std::size_t count, u32 skip, u64 left) {
  for (std::size_t p = 0; p < count; ++p) {
    if (indexes[p] < skip) continue;
    if (left == 0) return p;
    --left;
  }
  return count;
}

// Calls `work` with the indexes as what they are.
template <class Work>
auto typed(const Indexes& indexes, Work&& work) {
  return indexes.wide ? work(static_cast<const u16*>(indexes.data))
                      : work(static_cast<const u8*>(indexes.data));
}

}  // namespace

Indexes part(const Indexes& indexes, Range range) {
  return typed(indexes, [&](auto* all) {
    return Indexes{all + range.first, range.size(), indexes.wide};
  });
}

Places::Places(Indexes indexes, u32 skip, u32 segments, u32 threads, Scratch<u32>& before)
    : indexes_(indexes), skip_(skip), segments_(segments), coded_(indexes.count) {
  if (segments == 1 || skip == 0) return;
  blocks_ = (indexes.count + kBlock - 1) / kBlock;
  u32* const counts = before.reserve(blocks_ + 1);
  const u32 chunks = u32((indexes.count + kChunk - 1) / kChunk);
  run_tasks(threads, chunks, [&](u32 chunk, u32) {
    const std::size_t end = std::min(indexes.count, (chunk + 1) * kChunk);
    for (std::size_t p = chunk * kChunk; p < end; p += kBlock) {
      counts[p / kBlock] = typed(indexes, [&](auto* all) {
        return count_coded(all + p, std::min(kBlock, indexes.count - p), skip);
      });
    }
  });
  u32 sum = 0;
  for (std::size_t block = 0; block < blocks_; ++block) {
    const u32 count = counts[block];
    counts[block] = sum;
    sum += count;
  }
  counts[blocks_] = sum;
  coded_ = sum;
  before_ = counts;
}

std::size_t Places::begin_of(u32 segment) const {
  if (segment == 0) return 0;
  if (segment == segments_) return indexes_.count;
  const u64 number = share_begin(coded_, segment, segments_);
  if (!before_) return number;
  if (number == coded_) return indexes_.count;
  // The last block with no more coded elements before it holds the one of that number.
  const u32* const behind = std::upper_bound(before_, before_ + blocks_, u32(number));
  const std::size_t block = std::size_t(behind - before_) - 1;
  const std::size_t first = block * kBlock;
  return first + typed(indexes_, [&](auto* all) {
           return find_coded(all + first, std::min(kBlock, indexes_.count - first), skip_,
                             number - before_[block]);
         });
}

}  // namespace fcmrt::cpu

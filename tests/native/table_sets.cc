#include "table_sets.h"

#include <algorithm>
#include <cmath>

#include "fcmrt/tables.h"

namespace fcmrt::fuzz {
namespace {

// Frequencies of so many events, the last one's included.
std::vector<u32> random_freqs(Choices& choices, u32 events) {
  std::vector<u32> freqs(events, 1);
  // What is left goes to events in pieces: some stay at 1, some get nearly all.
  for (u32 left = kProbScale - events; left > 0;) {
    const u32 piece = choices.between(1, std::min(left, std::max(1u, kProbScale / events)));
    freqs[choices.below(events)] += piece;
    left -= piece;
  }
  return freqs;
}

TableSet gaussian() {
  TableSet set;
  for (int t = 0; t < 64; ++t) {
    const double sigma = 0.2 * std::pow(100.0, t / 63.0);
    const int reach = int(std::ceil(3 * sigma));
    std::vector<u32> freqs;
    u32 sum = 0;
    for (int k = -reach; k <= reach; ++k) {
      const double density = std::exp(-0.5 * k * k / (sigma * sigma)) / (sigma * 2.5066282746);
      freqs.push_back(std::max(1u, u32(std::min(density, 0.9) * 16000)));
      sum += freqs.back();
    }
    freqs.push_back(1);
    freqs[reach] += kProbScale - sum - 1;  // wraps where the middle is to be lowered
    set.add(-reach, freqs);
  }
  return set;
}

// Nothing but an escape, which is certain.
TableSet escape_only() {
  TableSet set;
  for (const i32 offset : {0, kMaxOffset, -kMaxOffset}) set.add(offset, {kProbScale});
  return set;
}

// A certain symbol, as nearly as there is one, beside a fair one.
TableSet certain() {
  TableSet set;
  set.add(7, {kProbScale - 1, 1});
  set.add(-1, {kProbScale / 2, kProbScale / 2});
  return set;
}

// Many events in one bucket of the look-up, at either end of the slots.
TableSet crowded() {
  TableSet set;
  set.add(-2, {1, 1, 16380, 1, 1});
  std::vector<u32> front(101, 1), back(101, 1);
  front.back() = back.front() = kProbScale - 100;
  set.add(0, front);
  set.add(3, back);
  return set;
}

TableSet widest(Choices& choices) {
  TableSet set;
  set.add(-2048, random_freqs(choices, kMaxTableSize + 1));
  std::vector<u32> flat(kMaxTableSize + 1, 1);
  flat.back() = kProbScale - kMaxTableSize;
  set.add(-kMaxOffset, flat);
  set.add(kMaxOffset - i32(kMaxTableSize), random_freqs(choices, kMaxTableSize + 1));
  return set;
}

// Offsets at the borders of what vector loops hold in one integer.
TableSet borders(Choices& choices) {
  TableSet set;
  for (const i32 offset : {-8192, -8191, 8191, 8191 - 300}) {
    set.add(offset, random_freqs(choices, 300));
  }
  return set;
}

TableSet alike(Choices& choices, u32 count, u32 events) {
  TableSet set;
  const std::vector<u32> freqs = random_freqs(choices, events);
  for (u32 t = 0; t < count; ++t) set.add(i32(t) - 20, freqs);
  return set;
}

// As many tables as there may be: an event of every fourth frequency, and its counterpart.
TableSet most_tables() {
  TableSet set;
  for (u32 t = 0; t < kMaxTables; ++t) set.add(0, {4 * t + 1, kProbScale - 4 * t - 1});
  return set;
}

}  // namespace

void TableSet::add(i32 offset, const std::vector<u32>& table) {
  offsets.push_back(offset);
  sizes.push_back(i32(table.size()) - 1);
  firsts.push_back(u32(freqs.size()));
  freqs.insert(freqs.end(), table.begin(), table.end());
}

std::vector<TableSet> make_fixed_sets() {
  Choices choices{{}};
  return {
      gaussian(),
      escape_only(),
      certain(),
      crowded(),
      widest(choices),
      borders(choices),
      alike(choices, 300, 5),
      alike(choices, 66, kMaxTableSize + 1),  // more events than 18 bits count
      most_tables(),
  };
}

TableSet make_random_set(Choices& choices) {
  TableSet set;
  for (u32 t = choices.between(1, 11); t > 0; --t) {
    set.add(i32(choices.below(100)) - 50, random_freqs(choices, choices.between(1, 40)));
  }
  return set;
}

}  // namespace fcmrt::fuzz
